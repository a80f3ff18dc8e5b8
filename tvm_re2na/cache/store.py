"""A bounded folder of entries, each a file that is named after the digest of its key and says what it is.

    MAGIC, sha256 of all that follows, length of the header (8 bytes), header, contents

The header is JSON: the whole key, and name and length of each part of the contents. An entry that is not what it should be is as
good as none: it is never used, and the next one takes its place. What is taken from here may be run, so the folder and the entries
must be the user's, and nobody else may write to the folder.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import re
import stat
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from tvm_re2na.codegen.files import write_atomically

Key: TypeAlias = Mapping[str, str]
EntryParts: TypeAlias = dict[str, bytes]

MAGIC = b"re2na cache 1\n"
DIGEST, LENGTH = 32, 8  # bytes
NAME = re.compile(r"[0-9a-f]{64}\.entry|\.[0-9a-f]{64}\.entry\..+")  # an entry, or one that is (or was) being written


@dataclass(frozen=True)
class CacheStore:
    """`folder` need not exist; `limit` is what all entries together may take, in bytes."""

    folder: Path
    limit: int

    def get(self, key: Key) -> EntryParts | None:
        """What `put` was given for this key; None where it is not there, damaged, or not what it says. Never fails."""
        path = self._path(key)
        try:
            content = _read(path)
        except OSError:
            _tell("not there", path)
            return None
        parts = unpack(content, key)
        _tell("damaged" if parts is None else "taken", path)
        if parts is not None:
            with suppress(OSError):
                os.utime(path)  # used last
        return parts

    def put(self, key: Key, parts: Mapping[str, bytes]) -> None:
        """Keep it, whole or not at all; what was not used for longest goes. A folder that takes nothing costs the entry only."""
        content = pack(key, parts)
        if len(content) > self.limit:
            return
        with suppress(OSError):
            self.folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            if refusal(self.folder) is None:  # it may have been made by somebody else just now
                self._make_room(len(content))
                write_atomically(self._path(key), content, durable=False)  # damage is found by the checksum

    def size(self) -> tuple[int, int]:
        """(files, bytes)."""
        sizes = [size for _, size, _ in self._files()]
        return len(sizes), sum(sizes)

    def clear(self) -> tuple[int, int]:
        """Remove all entries, and nothing else; (files, bytes) that were removed. Raises OSError where that is not allowed."""
        sizes = []
        for _, size, path in self._files():
            path.unlink(missing_ok=True)
            sizes.append(size)
        return len(sizes), sum(sizes)

    def _path(self, key: Key) -> Path:
        return self.folder / f"{hashlib.sha256(_key_text(key)).hexdigest()}.entry"

    def _files(self) -> Iterator[tuple[int, int, Path]]:
        """(when it was used last, bytes, path) of whatever is ours in the folder."""
        try:
            found = list(os.scandir(self.folder))
        except OSError:
            return
        for entry in found:
            with suppress(OSError):  # another process has removed it
                if NAME.fullmatch(entry.name) and entry.is_file(follow_symlinks=False):
                    known = entry.stat(follow_symlinks=False)
                    yield known.st_mtime_ns, known.st_size, Path(entry.path)

    def _make_room(self, size: int) -> None:
        files = sorted(self._files())
        total = size + sum(size for _, size, _ in files)
        for _, old, path in files:
            if total <= self.limit:
                return
            path.unlink(missing_ok=True)
            total -= old


def _tell(what: str, path: Path) -> None:
    logging.getLogger(__name__).debug("%s: %s", what, path.name)


def refusal(folder: Path) -> str | None:
    """Why a folder cannot be trusted, None where it can, or is not there yet."""
    try:
        found = folder.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        return f"{folder}: {error.strerror}"
    if not stat.S_ISDIR(found.st_mode):
        return f"{folder} is no folder"
    if found.st_uid != os.geteuid():
        return f"{folder} belongs to user {found.st_uid}, this is user {os.geteuid()}"
    if found.st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        return f"{folder} can be written by others (mode {stat.S_IMODE(found.st_mode):o}): chmod go-w {folder}"
    return None


def pack(key: Key, parts: Mapping[str, bytes]) -> bytes:
    """The bytes of an entry."""
    header = json.dumps({"key": dict(key), "parts": [[name, len(part)] for name, part in parts.items()]}).encode()
    body = b"".join([len(header).to_bytes(LENGTH, "little"), header, *parts.values()])
    return MAGIC + hashlib.sha256(body).digest() + body


def unpack(content: bytes, key: Key) -> EntryParts | None:
    """The parts of an entry; None unless it is whole, and the key is its own."""
    start = len(MAGIC) + DIGEST
    body = memoryview(content)[start:]
    if not content.startswith(MAGIC) or hashlib.sha256(body).digest() != content[len(MAGIC) : start]:
        return None
    at = LENGTH + int.from_bytes(body[:LENGTH], "little")
    try:
        header = json.loads(bytes(body[LENGTH:at]))
        sizes = header["parts"] if header["key"] == dict(key) else None
        return None if sizes is None else _cut(body[at:], sizes)
    except (ValueError, KeyError, TypeError, RecursionError):  # whole, but written by somebody else
        return None


def _cut(contents: memoryview, sizes: list[tuple[str, int]]) -> EntryParts:
    parts, at = {}, 0
    for name, length in sizes:
        parts[name] = bytes(contents[at : at + length])
        at += length
    return parts


def _key_text(key: Key) -> bytes:
    return json.dumps(dict(key), sort_keys=True).encode()


def _read(path: Path) -> bytes:
    """A plain file of this user's. Raises OSError for anything else."""
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    with os.fdopen(handle, "rb") as stream:
        found = os.fstat(handle)
        if not stat.S_ISREG(found.st_mode) or found.st_uid != os.geteuid():
            raise PermissionError(f"{path}: no plain file of user {os.geteuid()}")
        return stream.read()
