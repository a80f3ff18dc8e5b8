"""The examples in C and C++ on the demo's network: they say what Python says, and what is wrong in one line."""

from __future__ import annotations

import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest

from tests.host.conftest import HERE
from tvm_re2na import Program, Simulator, load_dataset
from tvm_re2na.cli import main
from tvm_re2na.program_inputs import read_inputs

EXAMPLES = HERE.parents[1] / "examples"
PIXELS = ("0.1307", "0.3081")  # MNIST's mean and deviation


def run(*words: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(word) for word in words], capture_output=True, text=True, timeout=120, check=False)


def printed(*words: str | Path) -> str:
    done = run(*words)
    assert done.returncode == 0, done.stderr
    return done.stdout


@dataclass(frozen=True)
class Example:
    """A picture, the library and the program of one network, as the examples' own scripts and the command write them."""

    library: Path
    picture: Path
    program: Path
    numbers: Path
    label: int


@pytest.fixture(scope="module")
def example(built: Path, demo_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Example:
    folder, data = tmp_path_factory.mktemp("example"), demo_data / "mnist_test1000.npz"
    given = Example(folder / "net.so", folder / "picture.pgm", folder / "net.re2na", folder / "input.bin", 3)
    quantized = folder / "net.int8.onnx"
    calibration = ("--calibration", demo_data / "mnist_calibration128.npz", "--calibration-limit", "16")
    for command in (
        ("quantize", demo_data / "lenet5_mnist.onnx", *calibration, "--output", quantized),
        ("compile", quantized, "--output", given.program),
    ):
        assert main([str(word) for word in command]) == 0
    image = str(int(np.flatnonzero(load_dataset(data).y == given.label)[0]))
    script = (sys.executable, EXAMPLES / "cpp" / "export_network.py", "--model", quantized, "--bundle")
    told = printed(*script, "--image", image, "--output", given.library)
    assert "100% of the MACs on Re²Na" in told and f"class {given.label}, mean {PIXELS[0]}, std {PIXELS[1]}" in told
    script = (sys.executable, EXAMPLES / "c" / "make_input.py", given.program, data)
    assert f"784 bytes, class {given.label}" in printed(*script, "--image", image, "--output", given.numbers)
    return given


def test_both_languages_say_what_the_picture_shows(built: Path, example: Example, demo_data: Path) -> None:
    program = Program.open(example.program)
    numbers = np.fromfile(example.numbers, np.int8).reshape(program.inputs[0].shape)
    result = Simulator(program).run([numbers])
    scores = result.outputs[0][0]
    total = result.counters.total
    in_c = printed(built / "c" / "run_program", example.program, example.numbers)
    assert f"largest {scores.max()} at {example.label} of 10" in in_c
    counted = (total.macs, total.overflows, total.dram_bytes)
    assert "{} multiply-accumulates, {} overflows, {} bytes of DRAM traffic".format(*counted) in in_c
    in_cpp = printed(built / "cpp" / "classify", example.library, example.picture, *PIXELS)
    found = [(int(place), float(score)) for place, score in re.findall(r"class (\d+)  score (\S+)", in_cpp)]
    assert found[0] == (example.label, float(scores.max()) * program.meta["output_scale"])
    assert [score for _, score in found] == sorted((score for _, score in found), reverse=True)
    assert len(found) == 3


def test_the_script_writes_what_the_command_would_take(example: Example, demo_data: Path) -> None:
    images, labels = read_inputs(Program.open(example.program), demo_data / "mnist_test1000.npz", None)
    assert labels is not None
    expected = images[int(np.flatnonzero(labels == example.label)[0])]
    assert np.fromfile(example.numbers, np.int8).tobytes() == np.ascontiguousarray(expected).tobytes()


def test_what_is_wrong_is_said_in_c(built: Path, example: Example, tmp_path: Path) -> None:
    damaged = bytearray(example.program.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    (tmp_path / "damaged.re2na").write_bytes(damaged)
    (tmp_path / "short.bin").write_bytes(b"1")
    for words, code, message in (
        ([], 2, "usage: "),
        ([tmp_path / "none", example.numbers], 1, "none: cannot be opened"),
        ([tmp_path, example.numbers], 1, "is empty, or cannot be read"),
        ([example.numbers, example.numbers], 1, "input.bin: no Re2Na program"),
        ([tmp_path / "damaged.re2na", example.numbers], 1, "damaged.re2na: "),
        ([example.program, tmp_path / "short.bin"], 1, "short.bin: has 1 bytes, input 'input_0' takes 784"),
        ([example.program, example.numbers, example.numbers], 1, "2 files were given, the program has 1 inputs"),
    ):
        done = run(built / "c" / "run_program", *words)
        assert (done.returncode, message in done.stderr, done.stderr.count("\n")) == (code, True, 1), done.stderr


def test_what_is_wrong_is_said_in_cpp(built: Path, example: Example, tmp_path: Path) -> None:
    pictures = {
        "text": (b"P2 1 1 255 0", "it does not start with P5 or P6"),
        "short": (b"P5 2 2 255 123", "3 bytes of pixels, its header says 4"),
        "no_size": (b"P5 # 28 28 255", "a number is missing in its header"),
        "huge": (b"P5 99999 1 255 ", "99999x1 pixels, expected 1 to 16384 a side"),
        "deep": (b"P5 1 1 65535 12", "pixels up to 65535, expected 255"),
        "colours": (b"P6 28 28 255 " + bytes(3 * 784), "1, 28, 28"),
        "larger": (b"P5 14 56 255 " + bytes(784), "1, 28, 28"),
    }
    (tmp_path / "not_a.so").write_bytes(b"text")
    cases: list[tuple[list[str | Path], int, str]] = [
        ([], 2, "usage: "),
        ([tmp_path / "none.so", example.picture], 1, "none.so: no such file"),
        ([example.picture, example.picture], 1, "picture.pgm: no library: its name does not end in .so"),
        ([tmp_path / "not_a.so", example.picture], 1, "not_a.so"),
        ([example.library, tmp_path / "none.pgm"], 1, "none.pgm: cannot be opened"),
        ([example.library, example.picture, "0", "x"], 1, "STD = 'x' is no number"),
        ([example.library, example.picture, "0", "0"], 1, "STD = 0"),
    ]
    for name, (content, message) in pictures.items():
        (tmp_path / name).write_bytes(content)
        cases.append(([example.library, tmp_path / name], 1, message))
    for words, code, message in cases:
        done = run(built / "cpp" / "classify", *words)
        assert done.returncode == code and not done.stdout, done
        assert message.replace(",", "") in done.stderr.replace(",", ""), done.stderr
