"""Contents of memories as text that Verilog's `$readmemh` reads."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

LINE = 32  # bytes of a memory in a line
NOTHING = b"// no word was written yet\n"


def bytes_text(values: npt.NDArray[np.int8], written: npt.NDArray[np.bool_]) -> bytes:
    """A memory of bytes (n,), two's complement: those that were `written` (n,), each run of them behind its address."""
    edges = np.flatnonzero(np.diff(written.astype(np.int8), prepend=0, append=0)).reshape(-1, 2)
    runs = [b"@%08x\n%b\n" % (start, _lines(values[start:stop].tobytes())) for start, stop in edges.tolist()]
    return b"".join(runs) or NOTHING


def _lines(content: bytes) -> bytes:
    text = bytearray(content.hex(" ").encode())
    text[3 * LINE - 1 :: 3 * LINE] = b"\n" * len(range(3 * LINE - 1, len(text), 3 * LINE))
    return bytes(text)


def words_text(words: Iterable[int], width: int) -> bytes:
    """Words of `width` bits from address 0, one in each line; negative ones in two's complement."""
    digits, mask = -(-width // 4), (1 << width) - 1
    return "".join(f"{word & mask:0{digits}x}\n" for word in words).encode()
