"""A file is the old one or the new one, whole, whatever happens while it is written; nothing is left beside it."""

from __future__ import annotations

import errno
import os
import random
import resource
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tvm_re2na.codegen import files
from tvm_re2na.codegen.files import write_atomically

WRITER = """
import sys
from tvm_re2na.codegen.files import write_atomically
print("ready", flush=True)
while True:
    for letter in (b"a", b"b"):
        write_atomically(sys.argv[1], letter * 2**20)
"""


def test_writers_that_are_killed(tmp_path: Path) -> None:
    target, rng, left = tmp_path / "net.re2na", random.Random(0), 0
    write_atomically(target, b"a" * 2**20)
    for _ in range(12):
        with subprocess.Popen([sys.executable, "-c", WRITER, target], stdout=subprocess.PIPE) as writer:
            assert writer.stdout is not None
            writer.stdout.readline()
            time.sleep(rng.uniform(0, 0.02))
            writer.kill()
        content = target.read_bytes()
        assert len(content) == 2**20
        assert len(set(content)) == 1
        left += len(list(tmp_path.iterdir())) - 1
    assert left, "no writer was killed while it wrote"
    write_atomically(target, b"new")
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"new"


def test_temporaries_of_the_living_stay(tmp_path: Path) -> None:
    target = tmp_path / "net.re2na"
    handle, living = files._begin(target)
    dead = tmp_path / f".{target.name}.0123abcd.part"
    foreign = tmp_path / f".{target.name}.part"
    for path in (dead, foreign):
        path.touch()
    write_atomically(target, b"new")
    assert sorted(tmp_path.iterdir()) == sorted([living, foreign, target])
    os.close(handle)


def test_a_temporary_that_was_swept_before_it_was_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lock, swept = files.fcntl.flock, []

    def late(handle: int, how: int) -> None:
        lock(handle, how)
        if not swept:
            swept.extend(tmp_path.iterdir())
            swept[0].unlink()

    monkeypatch.setattr(files.fcntl, "flock", late)
    write_atomically(tmp_path / "net.re2na", b"new")
    assert swept
    assert (tmp_path / "net.re2na").read_bytes() == b"new"


@pytest.mark.parametrize("step", ["fsync", "replace", "open"])
def test_a_step_that_fails(step: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = tmp_path / "net.re2na"
    target.write_bytes(b"old")

    def fail(*_: object, **__: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path if step == "replace" else os, step, fail)
    with pytest.raises(OSError, match="No space left on device") as caught:
        write_atomically(target, b"new")
    monkeypatch.undo()
    assert caught.value.filename == str(target)
    assert list(tmp_path.iterdir()) == [target]
    assert target.read_bytes() == b"old"


def test_a_write_that_stops_in_the_middle(tmp_path: Path) -> None:
    """A limit on the file's size makes the system write less than it is given, and then nothing."""
    target = tmp_path / "net.re2na"
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(OSError, match="File too large") as caught:
            write_atomically(target, bytes(2**20))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert caught.value.filename == str(target)
    assert not list(tmp_path.iterdir())


def test_modes_and_syncs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    sync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda handle: (synced.append(os.fstat(handle).st_mode & 0o170000), sync(handle)))
    before = os.umask(0o027)
    try:
        write_atomically(tmp_path / "kept", b"")
        write_atomically(tmp_path / "found again", b"", durable=False)
    finally:
        os.umask(before)
    assert (tmp_path / "kept").stat().st_mode & 0o777 == 0o640
    assert synced == [0o100000, 0o040000], "the file, then its folder"


FILLER = """
import sys, time
from tvm_re2na.codegen.files import whole_folder
with whole_folder(sys.argv[1]) as folder:
    (folder / "part").mkdir()
    (folder / "part" / "file").write_bytes(b"x")
    print("ready", flush=True)
    time.sleep(60)
"""


def test_a_folder_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(RuntimeError), files.whole_folder(target) as folder:
        (folder / "file").touch()
        raise RuntimeError("in the middle")
    assert not list(tmp_path.iterdir())
    with subprocess.Popen([sys.executable, "-c", FILLER, target], stdout=subprocess.PIPE) as filler:
        assert filler.stdout is not None
        filler.stdout.readline()
        with files.whole_folder(tmp_path / "other"):
            pass
        with files.whole_folder(target) as folder:
            (folder / "mine").touch()
        (left,) = [path for path in tmp_path.iterdir() if path.name.startswith(".out.")]
        assert (left / "part" / "file").read_bytes() == b"x", "that of a living writer stays"
        filler.kill()
    (target / "mine").unlink()
    with files.whole_folder(target) as folder:
        (folder / "new").touch()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["other", "out"]
    assert [path.name for path in target.iterdir()] == ["new"]


def test_errors_within_a_folder_name_its_files(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with pytest.raises(FileNotFoundError) as raised, files.whole_folder(target) as folder:
        (folder / "missing" / "file").touch()
    assert raised.value.filename == str(target / "missing" / "file")
    target.mkdir()
    (target / "mine").touch()
    with pytest.raises(FileExistsError, match=files.NOT_FREE) as full, files.whole_folder(target):
        pass
    assert full.value.filename == str(target)
    assert [path.name for path in tmp_path.rglob("*")] == ["out", "mine"]
