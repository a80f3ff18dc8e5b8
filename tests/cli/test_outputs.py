"""The files that commands write: what is said of them, and whose place they take."""

from __future__ import annotations

import shutil
from pathlib import Path

import onnx
import pytest

from tests.cli.conftest import Command
from tests.quantize.networks import FloatNet
from tvm_re2na.cli import outputs
from tvm_re2na.codegen.isa.assembler import assemble
from tvm_re2na.codegen.program import Program


@pytest.fixture
def two(tmp_path: Path, small_float: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> tuple[Path, Path]:
    """Two networks of one name."""
    monkeypatch.chdir(tmp_path)
    paths = tmp_path / "one" / "small.onnx", tmp_path / "other" / "small.onnx"
    for path in paths:
        path.parent.mkdir()
    shutil.copy(small_float[0], paths[0])
    net = FloatNet(seed=5)
    onnx.save(net.build(net.conv("input", 3, 4)), paths[1])
    return paths


def test_two_models_of_one_name(re2na: Command, two: tuple[Path, Path], small_float: tuple[Path, Path]) -> None:
    one, other = two
    known = ("--calibration", small_float[1])
    for command, output in (("quantize", "small.int8.onnx"), ("compile", "small.re2na")):
        for _ in range(2):
            assert (re2na(command, one, *known).code, re2na(command, one, *known).stderr) == (0, ""), "its own"
        before = Path(output).read_bytes()
        found = re2na(command, other, *known)
        assert found.code == 0
        assert found.stderr == (
            f"re2na: warning: {output}: was made from another model than {other}, and is replaced;"
            " --output names another file\n"
        )
        assert Path(output).read_bytes() != before
        assert re2na(command, one, *known, "--output", output).stderr == "", "who names a file means it"
    assert re2na("quantize", one, *known).code == 0
    assert re2na("compile", "small.int8.onnx").stderr == "", "made from the same model in the end"


@pytest.mark.parametrize("content", [b"", b"no file of ours", bytes(range(256))])
def test_a_foreign_file_says_nothing(tmp_path: Path, content: bytes) -> None:
    for name in ("x.onnx", "x.re2na"):
        (tmp_path / name).write_bytes(content)
        assert outputs._source_in(tmp_path / name) is None


def test_compile_says_what_it_drew(re2na: Command, small: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    found = re2na("compile", small, "--output", tmp_path / "net.re2na", "--plot", tmp_path / "net.svg")
    assert found.code == 0, found.stderr
    assert found.stdout.endswith(f"wrote {tmp_path / 'net.svg'}\n")


def test_disasm_into_a_file(re2na: Command, program: Path, tmp_path: Path) -> None:
    listing = re2na("disasm", program).stdout
    found = re2na("disasm", program, "--output", tmp_path / "net.txt")
    assert (found.code, found.stdout) == (0, f"wrote {tmp_path / 'net.txt'}\n")
    assert (tmp_path / "net.txt").read_text() == listing
    missing = re2na("disasm", program, "--output", tmp_path / "missing" / "net.txt")
    assert (missing.code, missing.stderr.count("\n")) == (2, 1)


def test_disasm_json(re2na: Command, program: Path) -> None:
    found = re2na("disasm", program, "--json").json
    assert found.keys() == {"program", "instructions"}
    instructions, rows = Program.open(program).instructions, found["instructions"]
    assert len(rows) == len(instructions)
    at = 0
    for index, (row, instruction) in enumerate(zip(rows, instructions, strict=True)):
        assert row.keys() == {"index", "offset", "name", "engine", "layer", "wait", "signal", "fields"}
        assert (row["index"], row["offset"], row["fields"]) == (index, at, instruction.values)
        words = [f"{name}={value}" for name, value in row["fields"].items()]
        words += [f"{name}={','.join(row[name])}" for name in ("wait", "signal") if row[name]]
        (again,) = assemble(" ".join([row["name"], f"source={instruction.source}", *words]))
        assert again == instruction
        at += instruction.format.size


def test_the_first_column_of_compare_is_the_given_model(
    re2na: Command, small_float: tuple[Path, Path], small: Path
) -> None:
    floating, images = small_float
    given = re2na("compare", floating, "--data", images, "--calibration", images, "--limit", 2)
    assert "float, ONNX Runtime" in given.stdout and "same class as float" in given.stdout
    quantized = re2na("compare", small, "--data", images, "--limit", 2)
    assert "int8, ONNX Runtime" in quantized.stdout and "same class as ONNX Runtime" in quantized.stdout
    assert "float" not in quantized.stdout
