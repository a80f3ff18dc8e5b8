"""`re2na vectors`."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tests.vectors.reader import Folder
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.library import Simulator


def test_layers_and_instructions(re2na: Command, program: Path, images: Path, tmp_path: Path) -> None:
    folder = tmp_path / "vectors"
    choice = ("--layers", "/conv1/Conv", "/fc3/Gemm", "--instructions", "3-4", "13")
    found = re2na("vectors", program, "--data", images, *choice, "-o", folder, "--json")
    assert (found.code, found.stderr) == (0, "")
    read = Folder(folder).found
    wanted = [at["index"] for at in read["instructions"] if at["layer"] in ("/conv1/Conv", "/fc3/Gemm")]
    assert [step["index"] for step in found.json["steps"]] == sorted({*wanted, 3, 4, 13})
    assert found.json["cycles"] == read["program"]["cycles"] == 6527
    assert found.json["files"] == len(read["files"])


def test_table(re2na: Command, program: Path, images: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    read = Program.from_bytes(program.read_bytes())
    first = next(index for index, step in enumerate(read.instructions) if step.name == "CONV")
    found = re2na(
        "vectors", program, "--data", images, "--instructions", first, "-o", tmp_path / "empty", "--format", "plain"
    )
    assert found.code == 0, found.stderr
    lines = [line.split() for line in found.stdout.splitlines()]
    span = Simulator(read).timing.instructions[first]
    assert [str(first), "CONV", "/conv1/Conv", f"{span.start:,}", f"{span.finish:,}"] in lines
    assert found.stdout.endswith(f"wrote {tmp_path / 'empty'}\n")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--layers", "fc9"), "layer 'fc9': the program has no instruction for it; it has /conv1/Conv"),
        (("--instructions", "7", "99"), "instruction 99: the program has instructions 0 to {last}"),
        (("--instructions", "9-7"), "'9-7' is no number and no span of numbers, like 12 or 12-15"),
        (("--instructions", "x"), "'x' is no number and no span of numbers, like 12 or 12-15"),
        (("--image", "1000"), "image 1000: the data has images 0 to 999"),
        (("--mean", "1,2"), "mean"),
    ],
)
def test_wrong_options(
    re2na: Command, program: Path, images: Path, tmp_path: Path, options: tuple[str, ...], told: str
) -> None:
    found = re2na("vectors", program, "--data", images, *options, "-o", tmp_path / "vectors")
    assert (found.code, found.stdout) == (2, "")
    last = len(Program.from_bytes(program.read_bytes()).instructions) - 1
    assert told.format(last=last) in found.stderr
    assert not list(tmp_path.iterdir())


def test_folders_that_cannot_be(re2na: Command, program: Path, images: Path, tmp_path: Path) -> None:
    full, file = tmp_path / "full", tmp_path / "file"
    full.mkdir()
    (full / "mine").touch()
    file.touch()
    for path, why in (
        (full, "is there already, and is no empty folder"),
        (file, "is there already, and is no empty folder"),
        (tmp_path / "missing" / "vectors", "its folder does not exist"),
    ):
        found = re2na("vectors", program, "--data", images, "-o", path)
        assert (found.code, found.stderr) == (2, f"re2na: error: {path}: cannot be written: {why}\n")
    assert {path.name for path in tmp_path.rglob("*")} == {"full", "mine", "file"}


def test_what_is_no_program(re2na: Command, images: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.re2na"
    path.write_bytes(b"RE2NAPRG")
    found = re2na("vectors", path, "--data", images, "-o", tmp_path / "vectors")
    assert found.code == 2
    assert str(path) in found.stderr
    assert list(tmp_path.iterdir()) == [path]


def test_numbers_of_the_machine(lenet: Folder) -> None:
    """As docs/vectors.md shows them."""
    machine = lenet.found["machine"]
    assert (machine["acc_bits"], machine["acc_overflow"], machine["rounding"]) == (17, "wrap", "half_up")
    assert lenet.found["memories"]["sram"] == {"width": 8, "words": 1572864}
    assert json.loads((lenet.path / "vectors.json").read_text()) == lenet.found
