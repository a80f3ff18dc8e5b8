"""What every shard of a job needs: sent once where that is possible, opened once in each process."""

from __future__ import annotations

import hashlib
import pickle
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

from tvm_re2na.codegen.files import naming

Opened = TypeVar("Opened")
KEPT = 2  # opened parcels in a process: a worker may live for many jobs


class Handle(Protocol):
    """What a shard gets in place of the content."""

    def open(self, opener: Callable[[Any], Opened]) -> Opened:
        """What `opener` makes of the content; made once, and kept for the next shards."""


class Here:
    """Content of this process."""

    def __init__(self, content: Any) -> None:
        self._content = content
        self._opened: dict[Callable[[Any], Any], Any] = {}

    def open(self, opener: Callable[[Any], Opened]) -> Opened:
        if opener not in self._opened:
            self._opened[opener] = opener(self._content)
        made: Opened = self._opened[opener]
        return made


@dataclass(frozen=True)
class Parcel:
    """Pickled content, or the file that holds it; known by its digest."""

    digest: str
    content: bytes | Path

    def open(self, opener: Callable[[Any], Opened]) -> Opened:
        key = (self.digest, opener)
        with _lock:
            if key not in _opened:
                data = self.content if isinstance(self.content, bytes) else self.content.read_bytes()
                _opened[key] = opener(pickle.loads(data))
                while len(_opened) > KEPT:
                    _opened.popitem(last=False)
            _opened.move_to_end(key)
            made: Opened = _opened[key]
            return made


_lock = threading.RLock()
_opened: OrderedDict[tuple[str, Callable[[Any], Any]], Any] = OrderedDict()


def pack(content: Any) -> Parcel:
    """Content that travels with each shard."""
    data = pickle.dumps(content, pickle.HIGHEST_PROTOCOL)
    return Parcel(hashlib.sha256(data).hexdigest(), data)


def pack_into(folder: Path, content: Any) -> Parcel:
    """Content in a file, for processes of this machine."""
    parcel = pack(content)
    path = folder / parcel.digest
    if isinstance(parcel.content, bytes):
        with naming(path):
            path.write_bytes(parcel.content)
    return Parcel(parcel.digest, path)
