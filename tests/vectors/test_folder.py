"""Folders of vectors, read by a reader that knows docs/vectors.md alone, against the C simulator and plain integers."""

from __future__ import annotations

import itertools
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.runtime.programs import in_order, random_input, random_program
from tests.vectors.reader import BadVectorsError, Folder
from tvm_re2na.codegen.program import Program
from tvm_re2na.program_inputs import read_inputs
from tvm_re2na.runtime import reference
from tvm_re2na.runtime.instructions.machine import SimulationError
from tvm_re2na.runtime.library import Simulator
from tvm_re2na.vectors import ChoiceError, write_vectors

NOTHING = -1000  # where a memory was never written


def touched(folder: Folder, step: dict[str, Any], memory: str, writes: bool) -> npt.NDArray[np.int64]:
    """Addresses."""
    runs = [
        run for each in step["touches"] if (each["memory"], each["writes"]) == (memory, writes) for run in each["runs"]
    ]
    return np.array([at for start, size in runs for at in range(start, start + size)], np.int64)


def test_the_run_is_the_simulators(lenet: Folder, program: Path, images: Path) -> None:
    x, _ = read_inputs(Program.open(program), images, 4)
    simulator = Simulator(program)
    (wanted,) = simulator.run([x[3:4]]).outputs
    found = lenet.found
    np.testing.assert_array_equal(lenet.tensor(found["dram_image"], found["inputs"][0]), x[3:4])
    np.testing.assert_array_equal(lenet.tensor(found["dram_result"], found["outputs"][0]), wanted)
    assert [(at["start"], at["finish"]) for at in found["instructions"]] == [
        (span.start, span.finish) for span in simulator.timing.instructions
    ]
    assert (found["image"], found["program"]["cycles"]) == (3, simulator.timing.cycles)


def test_the_stream_says_what_the_json_says(lenet: Folder) -> None:
    end = 0
    for at in lenet.found["instructions"]:
        decoded = lenet.fields(at["index"])
        assert at["word"] == end, "words follow each other"
        end += at["words"]
        for name, value in at["fields"].items():
            assert decoded[name] % 256 == value % 256 if value < 0 else decoded[name] == value, (at["index"], name)
        engines = ("load", "array", "store")
        for name in ("wait", "signal"):
            assert [engine for bit, engine in enumerate(engines) if decoded[name] >> bit & 1] == at[name]
    assert end == lenet.found["memories"]["instructions"]["words"]


def test_states_follow_each_other_and_change_where_they_are_said_to(lenet: Folder) -> None:
    steps = lenet.found["steps"]
    assert [step["instruction"] for step in steps] == list(range(len(lenet.found["instructions"])))
    for one, other in itertools.pairwise(steps):
        assert one["after"] == other["before"]
    assert steps[0]["before"]["dram"] == lenet.found["dram_image"]
    for step, memory in itertools.product(steps, ("sram", "dram")):
        before, after = (lenet.memory(step[when][memory]) for when in ("before", "after"))
        reads, writes = (touched(lenet, step, memory, writes) for writes in (False, True))
        changed = np.flatnonzero(before != after)
        assert set(changed) <= set(writes.tolist()), step["instruction"]
        assert (before[reads] != NOTHING).all(), "what is read was written before"
        assert (after[writes] != NOTHING).all()
    assert len(lenet.found["files"]) < 2 * len(steps), "equal states share a file"


def test_what_transfers_and_dense_layers_do(lenet: Folder) -> None:
    kinds = set()
    for step in lenet.found["steps"]:
        at = lenet.found["instructions"][step["instruction"]]
        fields = at["fields"]
        before, after = (lenet.memory(step[when]["sram"]) for when in ("before", "after"))
        if at["name"] == "LOAD":
            source = lenet.memory(step["before"]["dram"])[touched(lenet, step, "dram", False)]
            np.testing.assert_array_equal(after[touched(lenet, step, "sram", True)], source)
        elif at["name"] == "STORE":
            target = lenet.memory(step["after"]["dram"])[touched(lenet, step, "dram", True)]
            np.testing.assert_array_equal(target, before[touched(lenet, step, "sram", False)])
        elif at["name"] == "DENSE":
            k, outs = fields["in_c"], fields["out_c"]
            weights = before[fields["weight_addr"] :][: k * outs].reshape(k, outs)
            bias = before[fields["bias_addr"] :][: 4 * outs].astype(np.int8).view("<i4").astype(np.int64)
            sums = bias + before[fields["in_addr"] :][:k] @ weights
            wanted = (sums >> fields["lsb"]).clip(-128, 127).clip(fields["lo"], fields["hi"])
            np.testing.assert_array_equal(after[fields["out_addr"] :][:outs], wanted)
            assert (step["macs"], step["overflows"], step["before"]["mode"]) == (k * outs, 0, "dense")
        kinds.add(at["name"])
    assert kinds == {"LOAD", "RECONFIGURE", "CONV", "DENSE", "STORE", "HALT"}


def test_random_programs(tmp_path: Path) -> None:
    """Sums that stay in the PEs, modes, any widths: the same bytes as the C simulator's in the end."""
    unfinished = 0
    for seed in range(40):
        program = in_order(random_program(seed, ("DENSE", "CONV", "POOL", "LOAD"), length=3))
        inputs = random_input(program, seed)
        np.save(tmp_path / "x.npy", inputs[0])
        count = len(program.instructions)
        write_vectors(program, tmp_path / "x.npy", tmp_path / str(seed), instructions=[range(count)])
        folder = Folder(tmp_path / str(seed))
        for tensor, wanted in zip(folder.found["outputs"], Simulator(program).run(inputs).outputs, strict=True):
            np.testing.assert_array_equal(folder.tensor(folder.found["dram_result"], tensor), wanted)
        for step in folder.found["steps"]:
            at = folder.found["instructions"][step["instruction"]]
            assert (step["after"]["sums"] is not None) == (at["name"] == "DENSE" and at["fields"]["last"] == 0)
            unfinished += step["after"]["sums"] is not None
    assert unfinished


def spoil(path: Path, change: Callable[[str], str]) -> None:
    text = path.read_text()
    assert change(text) != text
    path.write_text(change(text))


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("dram_image.hex", lambda text: text.replace("@00000000", "@00000001", 1)),
        ("instructions.hex", lambda text: text.replace("1", "2", 1)),
        ("vectors.json", lambda text: text.replace('"start": 0', '"start": 1', 1)),
        ("SHA256SUMS", lambda text: text.partition("\n")[2]),
    ],
)
def test_damage_is_noticed(lenet: Folder, tmp_path: Path, name: str, change: Callable[[str], str]) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(lenet.path, copy)
    check = ["sha256sum", "--quiet", "-c", "SHA256SUMS"]
    assert subprocess.run(check, cwd=copy, check=False, capture_output=True).returncode == 0
    spoil(copy / name, change)
    with pytest.raises(BadVectorsError):
        Folder(copy)


def test_choices(program: Path, images: Path, tmp_path: Path) -> None:
    found = write_vectors(
        program, images, tmp_path / "a", layers=["/fc1/Gemm"], instructions=[range(0, 1), range(13, 15)]
    )
    chosen = [step["instruction"] for step in found["steps"]]
    of_layer = [at["index"] for at in found["instructions"] if at["layer"] == "/fc1/Gemm"]
    assert chosen == sorted({0, 13, 14, *of_layer})
    Folder(tmp_path / "a")
    nothing = write_vectors(program, images, tmp_path / "b")
    assert (nothing["steps"], set(nothing["files"])) == ([], {"dram_image.hex", "dram_result.hex", "instructions.hex"})
    Folder(tmp_path / "b")


@pytest.mark.parametrize(
    ("choice", "told"),
    [
        ({"layers": ["fc9"]}, r"^layer 'fc9': the program has no instruction for it; it has /conv1/Conv, .*/fc3/Gemm$"),
        ({"instructions": [range(14, 101)]}, r"^instruction 100: the program has instructions 0 to {last}$"),
        ({"image": 1000}, r"^image 1000: the data has images 0 to 999$"),
    ],
)
def test_what_is_not_there(program: Path, images: Path, tmp_path: Path, choice: dict[str, Any], told: str) -> None:
    last = len(Program.from_bytes(program.read_bytes()).instructions) - 1
    with pytest.raises(ChoiceError, match=told.format(last=last)):
        write_vectors(program, images, tmp_path / "a", **choice)
    assert not list(tmp_path.iterdir())


def test_whole_or_not_at_all(program: Path, images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(machine: Any, index: int, at: Any) -> Any:
        if index == 9:
            raise SimulationError("in the middle")
        return step(machine, index, at)

    step = reference.step
    monkeypatch.setattr(reference, "step", fail)
    with pytest.raises(SimulationError, match="in the middle"):
        write_vectors(program, images, tmp_path / "a", instructions=[range(12)])
    assert not list(tmp_path.iterdir())
