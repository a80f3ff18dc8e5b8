"""Files that are there whole or not at all."""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

NOT_FREE = "is there already, and is no empty folder"
RANDOM = 4  # bytes in the name of a temporary


def write_atomically(path: str | os.PathLike[str], data: bytes | bytearray, *, durable: bool = True) -> None:
    """Write beside `path`, then rename: whatever happens meanwhile, the old file stays as it was, or the new one is whole.

    What killed writers of the same file have left behind is removed. `durable`: that is true of a power cut, too. A device or a
    pipe is no file to replace, and is written to. An OSError names `path`.
    """
    target = Path(path)
    try:
        if target.exists() and not target.is_file():
            target.write_bytes(data)
            return
        _sweep(target)
        _write(target, data, durable)
        if durable:
            _sync_folder(target.parent)
    except OSError as error:  # the name of a temporary would tell nobody anything
        error.filename, error.filename2 = os.fspath(path), None
        raise


def _write(target: Path, data: bytes | bytearray, durable: bool) -> None:
    handle, temporary = _begin(target)
    try:
        with os.fdopen(handle, "wb") as stream:  # its lock goes as it is closed
            stream.write(data)
            stream.flush()
            if durable:
                os.fsync(handle)
            temporary.replace(target)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


@contextmanager
def whole_folder(path: str | os.PathLike[str]) -> Iterator[Path]:
    """A new folder beside `path` to fill, which takes its name at the end; after any error nothing of it is left.

    At `path` there is nothing, or an empty folder: anything else is a FileExistsError. What killed writers of the same folder have
    left behind is removed. An OSError names `path`, or a file in it.
    """
    target = Path(path)
    temporary = target
    try:
        if not is_free(target):
            raise FileExistsError(errno.EEXIST, NOT_FREE)
        _sweep(target)
        handle, temporary = _begin_folder(target)
        try:
            yield temporary
            temporary.rename(target)
        finally:
            shutil.rmtree(temporary, ignore_errors=True)  # nothing, where it has its name
            os.close(handle)
        _sync_folder(target.parent)
    except OSError as error:
        inside = error.filename is not None and Path(error.filename).is_relative_to(temporary)
        error.filename = os.fspath(target / Path(error.filename).relative_to(temporary) if inside else target)
        error.filename2 = None
        raise


def is_free(folder: Path) -> bool:
    """Whether a new folder may take this name."""
    return not os.path.lexists(folder) or (folder.is_dir() and not folder.is_symlink() and not any(folder.iterdir()))


def _begin_folder(target: Path) -> tuple[int, Path]:
    """As `_begin`, of a folder."""
    while True:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(RANDOM)}.part")
        with suppress(FileExistsError):
            temporary.mkdir()
            handle = os.open(temporary, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return handle, temporary
            os.close(handle)


@contextmanager
def naming(path: str | os.PathLike[str]) -> Iterator[None]:
    """An OSError within that names no file is about this one: a disk that is full, or fails, does not say where."""
    try:
        yield
    except OSError as error:
        error.filename = error.filename or os.fspath(path)
        raise


def _begin(target: Path) -> tuple[int, Path]:
    """A new temporary, locked for as long as its writer lives."""
    while True:
        temporary = target.with_name(f".{target.name}.{secrets.token_hex(RANDOM)}.part")
        with suppress(FileExistsError):
            handle = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o666)
            fcntl.flock(handle, fcntl.LOCK_EX)
            if os.fstat(handle).st_nlink:
                return handle, temporary
            os.close(handle)  # swept by another writer before it was locked


def _sweep(target: Path) -> None:
    """Remove the temporaries that nobody holds any more: a lock ends with its process, wherever that ran."""
    ours = re.compile(re.escape(f".{target.name}.") + rf"[0-9a-f]{{{2 * RANDOM}}}\.part")
    for name in os.listdir(target.parent):  # noqa: PTH208  names are enough
        if ours.fullmatch(name):
            with suppress(OSError):  # written by another process, or not ours to remove
                _sweep_one(target.with_name(name))


def _sweep_one(left: Path) -> None:
    handle = os.open(left, (os.O_RDONLY if left.is_dir() else os.O_WRONLY) | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if left.is_dir():
            shutil.rmtree(left, ignore_errors=True)
        else:
            left.unlink()
    finally:
        os.close(handle)


def _sync_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(handle)
    except OSError as error:
        if error.errno != errno.EINVAL:  # a file system that cannot do it for folders
            raise
    finally:
        os.close(handle)
