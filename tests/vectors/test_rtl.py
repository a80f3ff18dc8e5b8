"""Vectors replayed by the processing elements of examples/rtl: Verilog's arithmetic, under Icarus Verilog."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.runtime.programs import in_order, random_input, random_program
from tests.vectors.reader import Folder
from tvm_re2na.codegen.arch import AccOverflow, CutOverflow
from tvm_re2na.codegen.program import Program
from tvm_re2na.vectors import write_vectors

REPLAY = Path(__file__).parents[2] / "examples" / "rtl" / "replay.py"
MISSING = [
    name
    for name, there in (("iverilog", shutil.which("iverilog")), ("cocotb", find_spec("cocotb_tools")))
    if there is None
]
needs_verilog = pytest.mark.skipif(bool(MISSING), reason=f"needs {' and '.join(MISSING)} (docs/vectors.md)")


def replay(folder: Path, *options: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, REPLAY, folder, "--rows", "4", "--columns", "4", *options]
    return subprocess.run([str(word) for word in command], capture_output=True, text=True, check=False)


def computed(found: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    """The instructions that were replayed."""
    return [row for row in json.loads(found.stdout) if "reason" not in row]


@needs_verilog
def test_a_tile_of_each_layer(lenet: Folder) -> None:
    found = replay(lenet.path, "--tiles", "2", "--json")
    assert found.returncode == 0, found.stdout + found.stderr
    rows = computed(found)
    assert [row["layer"] for row in rows] == ["/conv1/Conv", "/conv2/Conv", "/fc1/Gemm", "/fc2/Gemm", "/fc3/Gemm"]
    for row in rows:
        assert row["results"] >= 6 and row["unequal"] == 0
        # five cycles an operation, without a gap; an operand has to be fetched and to reach the multiplier first
        assert 0 < row["cycles"] - 5 * row["steps"] <= 4 * row["tiles"]


def random_vectors(path: Path, name: str, seeds: Iterable[int]) -> list[Path]:
    """Folders of random programs of one instruction, for machines as the Verilog's, whose results do not overlap."""
    found = []
    for seed in seeds:
        program = in_order(random_program(seed, (name,), length=1))
        if (program.arch.acc_overflow, program.arch.cut_overflow) != (AccOverflow.WRAP, CutOverflow.SATURATE):
            continue
        inputs, folder = random_input(program, seed), path / f"{name}{seed}"
        np.save(path / "x.npy", inputs[0])
        write_vectors(program, path / "x.npy", folder, instructions=[own(program, name)])
        if all(map(tidy, Folder(folder).found["steps"], own_fields(folder))):
            found.append(folder)
    return found


def own(program: Program, name: str) -> range:
    numbers = [index for index, at in enumerate(program.instructions) if at.name == name]
    return range(numbers[0], numbers[-1] + 1)


def own_fields(folder: Path) -> list[dict[str, Any]]:
    found = Folder(folder).found
    return [found["instructions"][step["instruction"]]["fields"] for step in found["steps"]]


def tidy(step: dict[str, Any], fields: dict[str, int]) -> bool:
    """Whether every result has a byte of its own. Parked sums always have."""
    if fields.get("last") == 0:
        return True
    written = sum(size for each in step["touches"] if each["writes"] for _, size in each["runs"])
    pixels = fields.get("out_h", 1) * fields.get("out_w", 1)
    channels = fields.get("out_c") or fields.get("in_c") or fields["bytes"]
    return written in (0, fields.get("n", 1) * pixels * channels)


def features(name: str, fields: dict[str, int]) -> set[str]:
    """What is more than the simplest form."""
    k = fields.get("kernel_h", 1) * fields.get("kernel_w", 1) * fields.get("in_c", 0) // fields.get("groups", 1)
    found = {word for word in ("add", "cuts") if fields.get(word)}
    found |= {word for word in ("n", "groups", "pool_h", "pool_w") if fields.get(word, 1) > 1}
    found |= {word for word in ("first", "last") if fields.get(word) == 0}
    found |= {"lo"} if fields["lo"] > -128 else set()
    return found | ({"steps"} if fields.get("steps", k) < k else set()) | ({"b"} if fields.get("unary") == 0 else set())


@needs_verilog
@pytest.mark.parametrize(
    ("name", "seeds", "wanted"),
    [
        (
            "CONV",
            (*range(36), 78, 125, 128),
            {"n", "groups", "steps", "cuts", "pool_h", "pool_w", "add", "first", "last"},
        ),
        ("DENSE", range(14), {"n", "steps", "first", "last"}),
        # of 59 many results are lo
        ("POOL", (11, 13, 59), {"n", "lo"}),
        ("ELTWISE", range(14), {"b", "lo"}),
    ],
)
def test_random_instructions(tmp_path: Path, name: str, seeds: Iterable[int], wanted: set[str]) -> None:
    """Any width of accumulator and data, padding, strides, groups, steps without weights, LSBs by channel, layers in parts."""
    seen: set[str] = set()
    for folder in random_vectors(tmp_path, name, seeds):
        found = replay(folder, "--tiles", "40", "--json")
        assert found.returncode == 0, (folder, found.stdout, found.stderr)
        replayed = {row["index"] for row in computed(found)}
        for at in Folder(folder).found["instructions"]:
            seen |= features(name, at["fields"]) if at["index"] in replayed else set()
    assert seen >= wanted


@needs_verilog
def test_every_product(tmp_path: Path) -> None:
    sources = [REPLAY.parent / name for name in ("check_pe.v", "pe.v", "cut.v")]
    subprocess.run(["iverilog", "-g2012", "-o", tmp_path / "check", *sources], check=True)
    found = subprocess.run(["vvp", tmp_path / "check"], capture_output=True, text=True, check=True)
    assert found.stdout.splitlines()[-1].startswith("65536 products, 0 wrong")


@needs_verilog
def test_a_difference_is_found(lenet: Folder, tmp_path: Path) -> None:
    folder = tmp_path / "changed"
    shutil.copytree(lenet.path, folder)
    manifest = json.loads((folder / "vectors.json").read_text())
    (index,) = [at["index"] for at in manifest["instructions"] if at["layer"] == "/fc3/Gemm" and at["name"] == "DENSE"]
    (step,) = [step for step in manifest["steps"] if step["instruction"] == index]
    path = folder / step["after"]["sram"]
    lines = path.read_text().splitlines()
    (at,) = [number for number, line in enumerate(lines) if line == "@00000000"]
    first = int(lines[at + 1][:2], 16)
    lines[at + 1] = f"{first ^ 1:02x}{lines[at + 1][2:]}"
    path.write_text("\n".join(lines))
    manifest["steps"] = [step]
    (folder / "vectors.json").write_text(json.dumps(manifest))
    found = replay(folder, "--json")
    assert (found.returncode, [row["unequal"] for row in computed(found)]) == (1, [1])


def test_another_machine_is_refused(tmp_path: Path) -> None:
    if MISSING:
        pytest.skip(f"needs {' and '.join(MISSING)}")
    (tmp_path / "vectors.json").write_text(
        json.dumps({"format": 1, "machine": {"acc_overflow": "saturate"}, "instructions": [], "steps": []})
    )
    found = replay(tmp_path)
    assert found.returncode == 2
    assert found.stderr == "replay: the machine has acc_overflow = saturate, pe.v has wrap\n"
