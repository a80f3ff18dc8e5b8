"""What was made once need not be made again: quantised models and built libraries, in a folder of the user's.

    RE2NA_CACHE        the folder (re2na in XDG_CACHE_HOME, or ~/.cache/re2na)
    RE2NA_CACHE_BYTES  how large it may grow (2 GiB); 0 turns the cache off

`pipeline.quantize` and `artefacts` use it, and so do all that call them. In Python, `with cache.off():` does without.
"""

from __future__ import annotations

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from tvm_re2na.cache.store import CacheStore, refusal
from tvm_re2na.codegen.errors import Re2naError

__all__ = ["BYTES", "FOLDER", "CacheError", "CacheStore", "current", "folder", "limit", "off", "refusal"]

FOLDER, BYTES = "RE2NA_CACHE", "RE2NA_CACHE_BYTES"
DEFAULT_BYTES = 2 * 2**30

_off: ContextVar[bool] = ContextVar("tvm_re2na.cache.off", default=False)


class CacheError(Re2naError, ValueError):
    """A setting of the cache is wrong; the message names the variable, its value and what was expected."""


@contextmanager
def off(when: bool = True) -> Iterator[None]:
    """Within it, nothing is taken from the cache and nothing put there; as it was before, if not `when`."""
    token = _off.set(when or _off.get())
    try:
        yield
    finally:
        _off.reset(token)


def current() -> CacheStore | None:
    """The user's cache, None where there is none to use: it is off, or its folder is not safe, which is told once."""
    if _off.get() or not limit():
        return None
    place = folder()
    reason = refusal(place)
    if reason is not None:
        _tell(reason)
        return None
    return CacheStore(place, limit())


def folder() -> Path:
    """Where the cache is, or would be."""
    named = os.environ.get(FOLDER)
    if named:
        return Path(named).absolute()
    base = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if base.is_absolute():  # the XDG specification ignores others
        return base / "re2na"
    try:
        return Path.home() / ".cache" / "re2na"
    except RuntimeError:  # a user without a home, as in a container
        return Path(tempfile.gettempdir()) / f"re2na.{os.geteuid()}"


def limit() -> int:
    """Bytes that the entries may take together; 0: the cache is off. Raises CacheError for what is no number."""
    text = os.environ.get(BYTES) or str(DEFAULT_BYTES)
    if not text.isdecimal():
        raise CacheError(f"{BYTES} = '{text}' is no number of bytes (0 turns the cache off)")
    return int(text)


@cache
def _tell(reason: str) -> None:
    logging.getLogger(__name__).warning("the cache is not used: %s", reason)
