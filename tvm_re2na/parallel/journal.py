"""What an interrupted run had finished: a file of JSON lines, the first of which says what run it is of."""

from __future__ import annotations

import base64
import fcntl
import hashlib
import json
import os
import zlib
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.files import naming, write_atomically

FORMAT = "re2na resume 2"


class JournalError(Re2naError, ValueError):
    """A file cannot be resumed from; the message names it, and what of it is another run's."""


class Journal:
    """`found`: the results of shards that a former run had finished."""

    def __init__(self, found: dict[int, Any], stream: BinaryIO) -> None:
        self.found = found
        self._stream = stream

    def add(self, index: int, result: Any) -> None:
        """Note a result, JSON with bytes in it; it is on the disk when this returns."""
        with naming(self._stream.name):
            self._stream.write(_entry(index, result))
            self._stream.flush()
            os.fsync(self._stream.fileno())


@contextmanager
def open_journal(
    path: str | os.PathLike[str] | None, run: Callable[[], Mapping[str, object]], shards: int
) -> Iterator[Journal | None]:
    """The journal in `path`, which is begun where there is none; None without a path.

    `run()` is what the results follow from: numbers, texts, and digests of what is large. A last line that is damaged, or was not
    written to its end, does not count. Raises JournalError for a file that is none, or another run's, or that one is
    writing to; OSError.
    """
    if path is None:
        yield None
        return
    file, header = Path(path), json.loads(json.dumps({"format": FORMAT, **run(), "shards": shards}))
    if not file.exists() or not file.stat().st_size:
        write_atomically(file, _line(header))
    with file.open("r+b") as stream:
        _lock(file, stream)
        found, size = _read(file, header, shards)
        stream.truncate(size)
        stream.seek(size)
        yield Journal(found, stream)


def _lock(file: Path, stream: BinaryIO) -> None:
    try:
        fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)  # until it is closed, or its process ends
    except BlockingIOError as error:
        raise JournalError(f"{file}: another run is writing there") from error


def _read(file: Path, header: dict[str, Any], shards: int) -> tuple[dict[int, Any], int]:
    """The results, and how many bytes of the file are whole lines."""
    content = file.read_bytes()
    whole = content[: content.rfind(b"\n") + 1]
    lines = whole.split(b"\n")[:-1]
    known = _parse(lines[0]) if lines else None
    if not isinstance(known, dict) or known.get("format") != FORMAT:
        raise JournalError(f"{file}: is no file to resume from, and is not overwritten")
    differing = [name for name in {**header, **known} if header.get(name) != known.get(name)]
    if differing:
        told = "; ".join(
            f"{name} ({_told(known.get(name))} there, {_told(header.get(name))} here)" for name in differing
        )
        raise JournalError(f"{file}: is of another run, which differs in {told}")
    if len(lines) > 1 and not _is_whole(_parse(lines[-1]), lines[-1]):
        whole = whole[: -len(lines.pop()) - 1]
    found: dict[int, Any] = {}
    for number, line in enumerate(lines[1:], 2):
        entry = _parse(line)
        if not _is_whole(entry, line) or not entry["shard"] < shards:
            raise JournalError(f"{file}: line {number} is damaged")
        found[entry["shard"]] = entry["result"]
    return found, len(whole)


def _entry(index: int, result: Any) -> bytes:
    """A line that carries the checksum of what it says: whoever takes the result need not look at it."""
    said = {"shard": index, "result": result}
    return _line({**said, "crc32": zlib.crc32(_line(said))})


def _is_whole(entry: Any, line: bytes) -> bool:
    try:
        return _entry(entry["shard"], entry["result"]) == line + b"\n"
    except (LookupError, TypeError):
        return False


def _line(value: Any) -> bytes:
    return json.dumps(value, separators=(",", ":"), default=_wrapped).encode() + b"\n"


def _parse(line: bytes) -> Any:
    try:
        return json.loads(line, object_hook=_unwrapped)
    except (ValueError, TypeError, RecursionError):  # no JSON, no base64, a thousand brackets
        return None


def _wrapped(value: Any) -> Any:
    if not isinstance(value, bytes):
        raise TypeError(f"{type(value).__name__} cannot be noted")
    return {"base64": base64.b64encode(value).decode()}


def _unwrapped(value: dict[str, Any]) -> Any:
    return base64.b64decode(value["base64"], validate=True) if value.keys() == {"base64"} else value


def _told(value: Any) -> str:
    """A value as a message shows it: of a digest the beginning."""
    text = "nothing" if value is None else str(value)
    return text[:12] if len(text) == hashlib.sha256().digest_size * 2 else text


def digest(*parts: bytes | str) -> str:
    """SHA-256 of the parts, each with its length."""
    total = hashlib.sha256()
    for part in parts:
        data = part.encode() if isinstance(part, str) else part
        total.update(len(data).to_bytes(8, "little"))
        total.update(data)
    return total.hexdigest()
