"""`--verbose`: the steps and their times on stderr, and stdout as without it."""

from __future__ import annotations

import logging
import re
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tvm_re2na import cache, frontends, progress
from tvm_re2na.codegen.passes import PASSES
from tvm_re2na.logs import PACKAGE, timed

LINE = re.compile(r"re2na: +\d+ ms  (.+)  \[(tvm_re2na[\w.]*)\]")


def lines(stderr: str) -> list[tuple[str, str]]:
    found = [LINE.fullmatch(line) for line in stderr.splitlines()]
    assert all(found), stderr
    return [(match[1], match[2]) for match in found if match]


def test_steps_of_quantising(re2na: Command, demo_data: Path, tmp_path: Path) -> None:
    arguments = ("quantize", demo_data / "lenet5_mnist.onnx", "--calibration", demo_data / "mnist_calibration128.npz")
    options = ("--calibration-limit", 8, "--scales", "largest", "--output", tmp_path / "out.onnx", "--json")
    quiet, told = re2na(*arguments, *options), re2na(*arguments, *options, "--verbose")
    assert quiet.stdout == told.stdout
    assert not [line for line in quiet.stderr.splitlines() if LINE.fullmatch(line)]
    said = lines("\n".join(line for line in told.stderr.splitlines() if "warning" not in line))
    steps = [text.partition(":")[0] for text, logger in said if logger == "tvm_re2na.pipeline"]
    assert steps == ["load the model", "quantise"]
    assert all(re.search(r": \d+\.\d\d s$", text) for text, logger in said if logger == "tvm_re2na.pipeline")
    assert any(logger == "tvm_re2na.progress" for _, logger in said)


@pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
def test_passes_of_the_compiler(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    once = re2na("compile", quantized, "--output", tmp_path / "a.re2na", "-v")
    twice = re2na("compile", quantized, "--output", tmp_path / "a.re2na", "-vv")
    steps = [text.partition(":")[0] for text, _ in lines(once.stderr)]
    assert steps == ["load the model", "import into TVM", "compile for Re²Na"]
    passes = [text.split(": ")[1].split(",")[0] for text, logger in lines(twice.stderr) if logger.endswith(".compiler")]
    assert tuple(passes) == PASSES


def test_what_the_cache_has(re2na: Command, demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(cache.FOLDER, str(tmp_path / "cache"))
    monkeypatch.delenv(cache.BYTES)
    arguments = ("quantize", demo_data / "lenet5_mnist.onnx", "--calibration", demo_data / "mnist_calibration128.npz")
    options = ("--calibration-limit", 8, "--scales", "largest", "--output", tmp_path / "out.onnx", "-vv")
    told = [re2na(*arguments, *options).stderr for _ in range(2)]
    found = [re.findall(r"ms  (.*): \w{64}\.entry  \[tvm_re2na\.cache\.store\]", text) for text in told]
    assert found == [["not there"], ["taken"]]


def test_a_failure_is_one_line_still_and_nothing_stays(re2na: Command, tmp_path: Path) -> None:
    found = re2na("quantize", tmp_path / "none.onnx", "--calibration", tmp_path, "-v")
    assert found.code == 2
    assert found.stderr.count("\n") == 1 and found.stderr.startswith("re2na: error: ")
    logger = logging.getLogger(PACKAGE)
    assert not logger.handlers and logger.level == logging.NOTSET
    with progress.progress_bar() as silent:
        assert silent is progress.silent


def test_in_python_it_is_the_logging_of_python(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, PACKAGE), progress.progress_bar() as told:

        @timed("a step", "tvm_re2na.somewhere")
        def step() -> int:
            for done in range(3):
                told("a stage", done, 2)
            return 1

        assert step() == 1
        with pytest.raises(ValueError, match="fails"), timed("another", "tvm_re2na.somewhere"):
            raise ValueError("fails")
    assert [record.getMessage().rpartition(",")[0] or record.getMessage()[:6] for record in caplog.records] == [
        "a stage: 2 of 2",
        "a step",
    ]
