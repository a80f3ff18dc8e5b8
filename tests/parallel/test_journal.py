"""What an interrupted run had finished: taken by the same run, refused by any other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import in_memory
from tvm_re2na.identity import identity
from tvm_re2na.parallel.journal import JournalError, open_journal
from tvm_re2na.parallel.shards import Job, run_shards
from tvm_re2na.parallel.worker_pool import ThisProcess
from tvm_re2na.quantize import QuantizeOptions

RUN: dict[str, object] = {"model": "ab" * 32, "batch": 1}
SHARDS = 4


class Stop(Exception):
    pass


def work(index: int, stop: int, calls: list[int]) -> dict[str, Any]:
    if index == stop:
        raise Stop
    calls.append(index)
    return {"index": index, "bytes": bytes([index, 0, 255]), "third": index / 3}


def run(path: Path, stop: int = -1, run: dict[str, object] = RUN) -> tuple[list[Any], list[int], list[int]]:
    """The results, the shards that were done now, and the progress."""
    calls: list[int] = []
    steps: list[int] = []
    job = Job(work, lambda index: (index, stop, calls), [10] * SHARDS, str)
    with open_journal(path, lambda: run, SHARDS) as journal:
        try:
            return run_shards(ThisProcess(), job, lambda done, of: steps.append(done), journal), calls, steps
        except (Stop, RuntimeError):
            return [], calls, steps


def test_what_is_finished_is_not_done_again(tmp_path: Path) -> None:
    whole, _, _ = run(tmp_path / "whole")
    file = tmp_path / "run"
    assert run(file, stop=2) == ([], [0, 1], [0, 10, 20])
    assert run(file) == (whole, [2, 3], [20, 30, 40])
    assert run(file) == (whole, [], [40])
    assert whole[3] == {"index": 3, "bytes": b"\x03\x00\xff", "third": 1.0}


DAMAGE = [
    b'{"shard":2,"resu',
    b'{"shard":2,"resu\n',
    b"\x00\x00\x00\x00\n",
    b"\xff",
    b"[" * 9999 + b"\n",
    b'{"base64":5}\n',
    b'{"shard":2,"result":5}\n',  # no checksum
    b'{"shard":2,"result":"other","crc32":1}\n',
]


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_last_line_does_not_count(tmp_path: Path, damage: bytes) -> None:
    file = tmp_path / "run"
    run(file, stop=2)
    whole = file.read_bytes()
    file.write_bytes(whole + damage)
    assert run(file, stop=3)[1] == [2]
    assert file.read_bytes().startswith(whole)
    assert run(file)[1] == [3]


@pytest.mark.parametrize("line", [b"{}", b'{"shard":0,"result":5}', b"changed"])
def test_damage_before_is_told(tmp_path: Path, line: bytes) -> None:
    file = tmp_path / "run"
    run(file)
    lines = file.read_bytes().split(b"\n")
    changed = lines[2].replace(b"0.3333", b"0.3334") if line == b"changed" else line
    assert changed != lines[2]
    file.write_bytes(b"\n".join([*lines[:2], changed, *lines[3:]]))
    with pytest.raises(JournalError, match=r"run: line 3 is damaged"):
        run(file)


def test_files_of_other_runs_are_refused_and_left_alone(tmp_path: Path) -> None:
    file = tmp_path / "run"
    run(file, stop=2)
    before = file.read_bytes()
    other = {"model": "cd" * 32, "batch": 2, "arch": "x"}
    told = r"differs in model \(abababababab there, cdcdcdcdcdcd here\); batch \(1 there, 2 here\); arch \(nothing there, x here\)"
    with pytest.raises(JournalError, match=told):
        run(file, run=other)
    assert file.read_bytes() == before
    for content in (b"my notes", b"[]\n", b'{"format": "re2na resume 1"}\n'):
        file.write_bytes(content)
        with pytest.raises(JournalError, match="no file to resume from, and is not overwritten"):
            run(file)
        assert file.read_bytes() == content


def test_two_runs_at_once_are_refused(tmp_path: Path) -> None:
    with (
        open_journal(tmp_path / "run", lambda: RUN, SHARDS),
        pytest.raises(JournalError, match="another run is writing there"),
        open_journal(tmp_path / "run", lambda: RUN, SHARDS),
    ):
        pass
    assert run(tmp_path / "run")[1] == [0, 1, 2, 3]


def test_an_empty_file_is_begun(tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    assert run(tmp_path / "run")[1] == [0, 1, 2, 3]


def test_an_identity_follows_from_content() -> None:
    x = np.zeros((3, 1, 2, 2), np.float32)
    other = x.copy()
    other[2, 0, 1, 1] = 1

    def of(x: np.ndarray, labels: list[int] | None, **more: object) -> object:
        y = None if labels is None else np.array(labels)
        return identity(
            "compare", data=in_memory("somewhere", x, y), arch=Architecture(), options=QuantizeOptions(), **more
        )

    same = of(x, [1, 2, 3], batch=1)
    assert same == of(x.copy(), [1, 2, 3], batch=1)
    assert all(
        same != found for found in (of(other, [1, 2, 3], batch=1), of(x, [1, 2, 4], batch=1), of(x, None, batch=1))
    )
    assert of(x, None, batch=2) != of(x, None, batch=1)
    keep = [QuantizeOptions(keep_float=frozenset(names)) for names in ("abcdef", "fedcba")]
    assert identity("x", options=keep[0]) == identity("x", options=keep[1])
