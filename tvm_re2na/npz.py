"""`.npz` and `.npy` files, read with suspicion: a header is compared with what there is before memory is taken for its promise."""

from __future__ import annotations

import math
import os
import re
import struct
import zipfile
from collections.abc import Collection
from dataclasses import dataclass
from typing import IO, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.batches import shape_text
from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.files import naming

Fields: TypeAlias = dict[str, npt.NDArray[Any]]

MOST_PACKED = 100  # times as large as in the archive a field may become, beyond the bytes that are always allowed
ALLOWED = 2**28
MAGIC = b"\x93NUMPY"
LONGEST_HEADER = 4096
PIECE = 2**20
# a header is a Python dictionary: these are all the forms in which NumPy writes those of plain numbers, and nothing is evaluated
DTYPE = re.compile(r"""['"]descr['"]\s*:\s*['"]([<>|=]?[biuf][1248])['"]""")
ORDER = re.compile(r"""['"]fortran_order['"]\s*:\s*(True|False)""")
SHAPE = re.compile(r"""['"]shape['"]\s*:\s*\(\s*((?:\d{1,18}\s*,\s*){0,32}(?:\d{1,18}\s*)?)\)""")


class DataError(Re2naError, ValueError):
    """A data file or folder cannot be used; the message names the file, the field, its value and what was expected."""


@dataclass(frozen=True)
class _Header:
    dtype: np.dtype[Any]
    shape: tuple[int, ...]
    fortran: bool

    @property
    def bytes(self) -> int:
        return self.dtype.itemsize * math.prod(self.shape)


def read_npz(path: str | os.PathLike[str], names: Collection[str]) -> Fields:
    """The fields with these names, as far as they are there; of an `.npy` file its array, which is called `x`.

    Raises DataError for a file that is none, OSError for one that cannot be read.
    """
    with naming(path), open(path, "rb") as stream:  # noqa: PTH123  a text is a path, too
        if stream.read(len(MAGIC)) == MAGIC:
            stream.seek(0)
            return {"x": _array(stream, os.fstat(stream.fileno()).st_size, str(path))}
        try:
            with zipfile.ZipFile(stream) as archive:
                members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
                return {name: _read(archive, members[name], f"{path}: {name}") for name in names if name in members}
        except (DataError, MemoryError):
            raise
        except Exception as error:  # each way of packing has errors of its own: zlib.error, LZMAError, OSError, ...
            raise DataError(f"{path}: no readable .npz file ({error or type(error).__name__})") from error


def field_names(path: str | os.PathLike[str]) -> list[str]:
    """Of what `read_npz` has read."""
    if not zipfile.is_zipfile(path):
        return ["x"]
    with zipfile.ZipFile(path) as archive:
        return sorted(name.removesuffix(".npy") for name in archive.namelist())


def _read(archive: zipfile.ZipFile, member: zipfile.ZipInfo, where: str) -> npt.NDArray[Any]:
    most = max(ALLOWED, MOST_PACKED * member.compress_size)
    if member.file_size > most:
        raise DataError(
            f"{where} is {member.file_size} bytes, packed into {member.compress_size}; at most {most} are read"
            f" ({ALLOWED}, or {MOST_PACKED} times the packed size)"
        )
    with archive.open(member) as stream:
        return _array(stream, member.file_size, where)


def _array(stream: IO[bytes], size: int, where: str) -> npt.NDArray[Any]:
    """Of a stream of so many bytes, at its beginning."""
    length, header = _header(stream, where)
    held = size - length
    if header.bytes != held:
        raise DataError(
            f"{where} is {header.dtype} {shape_text(header.shape)}, which is {header.bytes} bytes; the file has {held}"
        )
    values = np.empty(held, np.uint8)
    at = 0
    while at < held:
        piece = stream.read(min(PIECE, held - at))
        if not piece:
            raise DataError(f"{where} ends after {at} of {held} bytes")
        values[at : at + len(piece)] = np.frombuffer(piece, np.uint8)
        at += len(piece)
    stream.read(1)  # the end is where an archive's checksum is looked at
    return values.view(header.dtype).reshape(header.shape, order="F" if header.fortran else "C")


def _header(stream: IO[bytes], where: str) -> tuple[int, _Header]:
    """Bytes up to the data, and what they say."""
    start = stream.read(len(MAGIC) + 2)
    if start[: len(MAGIC)] != MAGIC or start[-2:] not in (b"\x01\x00", b"\x02\x00", b"\x03\x00"):
        raise DataError(f"{where} is no array of NumPy's")
    form = "<H" if start[-2] == 1 else "<I"
    (length,) = struct.unpack(form, stream.read(struct.calcsize(form)))
    if length > LONGEST_HEADER:
        raise DataError(f"{where} has a header of {length} bytes, at most {LONGEST_HEADER} are read")
    text = stream.read(length).decode("latin-1")
    dtype, order, shape = DTYPE.search(text), ORDER.search(text), SHAPE.search(text)
    if dtype is None or order is None or shape is None:
        raise DataError(f"{where} is no array of plain numbers: its header is {text.strip()[:80]!r}")
    sizes = tuple(int(size) for size in shape[1].split(",") if size.strip())
    return len(start) + struct.calcsize(form) + length, _Header(np.dtype(dtype[1]), sizes, order[1] == "True")
