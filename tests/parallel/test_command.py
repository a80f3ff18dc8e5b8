"""`--jobs`, `--dask` and `--resume`: the same JSON, and what is said of options that cannot be followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Command, program, quantized, re2na
from tests.cli.test_failures import assert_failure
from tvm_re2na import frontends
from tvm_re2na.parallel import dask

__all__ = ["program", "quantized", "re2na"]  # fixtures

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")


@pytest.fixture
def words(demo_data: Path) -> list[object]:
    return ["--data", demo_data / "mnist_test1000.npz", "--limit", 70, "--json"]


@pytest.mark.usefixtures("built_once")
@pytest.mark.parametrize("command", ["run", "compare"])
def test_workers_give_the_same_json(
    command: str, re2na: Command, program: Path, quantized: Path, words: list[object], cluster: Any, tmp_path: Path
) -> None:
    file = program if command == "run" else quantized
    alone = re2na(command, file, *words, "--resume", tmp_path / "run")
    assert alone.code == 0, alone.stderr
    for more in (["--jobs", 2], ["--dask", cluster.scheduler_address]):
        found = re2na(command, file, *words, *more)
        assert found.code == 0, found.stderr
        assert found.stdout == alone.stdout
    resumed = re2na(command, file, *words, "--jobs", 2, "--resume", tmp_path / "run")
    assert resumed.stdout == alone.stdout
    other = re2na(command, file, *words[:-2], 69, "--resume", tmp_path / "run")
    assert_failure(other, 2, f"{tmp_path / 'run'}: is of another run, which differs in data (")


def test_options_that_cannot_be_followed(
    re2na: Command, program: Path, words: list[object], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dask, "SECONDS", 0.2)
    for address in ("tcp://127.0.0.1:1", "nowhere"):
        found = re2na("run", program, *words, "--dask", address)
        assert_failure(found, 2, f"--dask {address}: no Dask scheduler answers there")
    both = re2na("run", program, *words, "--dask", "tcp://127.0.0.1:1", "--jobs", 2)
    assert both.code == 2
    assert "--jobs: not allowed with argument --dask" in both.stderr
    assert_failure(re2na("run", program, *words, "--resume", tmp_path), 2, f"{tmp_path}: cannot be written")
    (tmp_path / "notes").write_text("mine")
    assert_failure(
        re2na("run", program, *words, "--resume", tmp_path / "notes"),
        2,
        "is no file to resume from, and is not overwritten",
    )
