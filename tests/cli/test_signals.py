"""SIGINT and SIGTERM: one line, the documented exit code, no file left behind. And output that nobody can take."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.cli.conftest import Command, Outcome
from tests.cli.test_failures import assert_failure
from tvm_re2na.cli import commands

CODES = {signal.SIGINT: (130, "interrupted"), signal.SIGTERM: (143, "terminated")}


@pytest.fixture(autouse=True)
def nothing_is_ignored() -> Iterator[None]:
    """As a shell ignores SIGINT for what it starts in the background, these tests with it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.parametrize("kind", CODES)
def test_a_command_that_is_stopped(kind: signal.Signals, small_float: tuple[Path, Path], tmp_path: Path) -> None:
    """It waits for its calibration images, which never come."""
    images, output = tmp_path / "images", tmp_path / "net.onnx"
    os.mkfifo(images)
    command = [sys.executable, "-m", "tvm_re2na.cli", "quantize", small_float[0], "--calibration", images]
    started = subprocess.Popen([*command, "--output", output], stderr=subprocess.PIPE, text=True)
    with started as running, images.open("wb"):  # which waits until the command has opened it, too
        running.send_signal(kind)
        try:
            _, said = running.communicate(timeout=60)
        finally:
            running.kill()
    code, word = CODES[kind]
    assert (running.returncode, said) == (code, f"re2na: error: {word}\n")
    assert list(tmp_path.iterdir()) == [images]


@pytest.mark.parametrize("kind", CODES)
def test_native_code_makes_an_error_of_its_own_of_it(
    kind: signal.Signals, re2na: Command, program: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def work(options: object) -> None:
        try:
            os.kill(os.getpid(), kind)
            signal.sigtimedwait([], 1)
        except KeyboardInterrupt as stopped:
            raise RuntimeError("a callback failed") from stopped

    monkeypatch.setattr(commands, "disasm", work)
    before = signal.getsignal(kind)
    code, word = CODES[kind]
    assert_failure(re2na("disasm", program), code, f"error: {word}\n")
    assert signal.getsignal(kind) is before


def test_what_is_ignored_stays_ignored(re2na: Command, program: Path) -> None:
    """A shell does that to SIGINT for commands in the background."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        assert re2na("check", program).code == 0
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_no_signals_in_a_thread(re2na: Command, program: Path) -> None:
    found = []
    thread = threading.Thread(target=lambda: found.append(re2na("check", program)))
    thread.start()
    thread.join()
    assert found[0].code == 0, found[0].stderr


def test_standard_output_on_a_full_disk(program: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        command = [sys.executable, "-m", "tvm_re2na.cli", "disasm", program]
        found = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, check=False)
    assert found.returncode == 2
    assert found.stderr == "re2na: error: standard output: No space left on device\n"


@pytest.mark.parametrize("command", ["check", "disasm"])  # a table, and plain lines
def test_a_reader_that_has_gone(command: str, program: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as gone:
        arguments = [sys.executable, "-m", "tvm_re2na.cli", command, program]
        found = subprocess.run(arguments, stdout=gone, stderr=subprocess.PIPE, text=True, check=False)
    assert (found.returncode, found.stderr) == (0, "")


def test_a_full_disk_names_the_file(
    re2na: Command, quantized: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    target = tmp_path / "net.re2na"
    assert_failure(re2na("compile", quantized, "--output", target), 2, f"{target}: No space left on device")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["RE2NA_KERNEL", "RE2NA_THREADS"])
def test_settings_that_are_none_without_tvm(
    name: str, re2na: Command, program: Path, demo_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """`run` asks the simulator itself, and says the same."""
    monkeypatch.setenv("RE2NA_KERNEL", "portable")
    monkeypatch.setenv("RE2NA_THREADS", "2")
    before = re2na("run", program, "--data", demo_data / "mnist_test1000.npz", "--limit", 1)
    assert before.code == 0, before.stderr
    for wrong in ("mmx", "0"):
        monkeypatch.setenv(name, wrong)
        found = re2na("run", program, "--data", demo_data / "mnist_test1000.npz", "--limit", 1)
        assert_failure(found, 3, f"{name} = '{wrong}' is no ")


@pytest.mark.parametrize("name", ["RE2NA_KERNEL", "RE2NA_CPU"])
def test_settings_that_are_none(
    name: str, re2na: Command, small: Path, small_float: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The simulator's errors come through TVM."""
    monkeypatch.setenv(name, "mmx")
    found = re2na("compare", small, "--data", small_float[1], "--limit", 1)
    assert_failure(found, 2 if name == "RE2NA_CPU" else 3, name, "mmx")


def test_a_number_of_threads_that_is_none(
    small: Path, small_float: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """In a fresh process: in one where `--threads` was given once, the variable is not asked."""
    monkeypatch.setenv("RE2NA_THREADS", "mmx")
    command = [sys.executable, "-m", "tvm_re2na.cli", "compare", small, "--data", small_float[1], "--limit", "1"]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert_failure(Outcome(found.returncode, found.stdout, found.stderr), 3, "RE2NA_THREADS", "mmx")
