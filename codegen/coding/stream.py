"""Coded streams: some bytes as they are, then code words of the rest, dealt out to the decoder's lanes in turn.

u16 plain      how many bytes come first as they are
parameters     of the code: Golomb-Rice u8 k; Huffman u8 count of magnitudes, then a nibble each: bits of its word, 0: no word
plain bytes
words          value i of the rest is lane i % lanes of the decoder's; a lane that needs a bit and has none takes the next byte,
               its highest bit first. What is left of a lane's last byte means nothing.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture, WeightCoding
from tvm_re2na.codegen.coding.words import Bytes8, CodeBook, Counts, best_book

MOST_BYTES = 2**16 - 1  # that a LOAD decodes, and that it decodes them from
CHUNK_BYTES = 32 * 1024  # of a record, a LOAD each
LAST_BYTES = (
    MOST_BYTES - 128
)  # what remains of it is one chunk, though it may have to stay as it is behind its code's parameters
LANE_BITS = 8  # that a lane takes at a time
_PLAIN = struct.Struct("<H")

Words: TypeAlias = npt.NDArray[np.uint64]


@dataclass(frozen=True)
class Chunk:
    """Bytes start..stop of a record, coded; `offset` is where they lie in the coded record."""

    start: int
    stop: int
    offset: int
    coded: bytes


@dataclass(frozen=True)
class Coder:
    """Codes the records of one unit. `bus` and `lanes`: bytes a cycle over the DRAM bus, and out of the decoder."""

    book: CodeBook
    lanes: int
    bus: int

    @classmethod
    def of(cls, arch: Architecture, counts: Counts) -> Coder | None:
        """The best code for so many of each magnitude; None where the machine has no decoder, or there is nothing to code."""
        if arch.weight_coding is WeightCoding.NONE or not counts.any():
            return None
        return cls(best_book(arch.weight_coding, counts), arch.decoder_bytes_per_cycle, arch.dram_bytes_per_cycle)

    def bus_bytes(self, plain: int, counts: Counts) -> int:
        """About how many bytes the bus could move while a record is loaded that begins with so many plain bytes."""
        values = int(counts.sum())
        size = plain + values
        chunks = max(1, size // CHUNK_BYTES)
        header = chunks * (_PLAIN.size + len(self.book.parameters) + min(values, self.lanes) // 2)
        coded = plain + header + int(counts @ self.book.bits) // 8
        return max(coded, size * self.bus // self.lanes) if coded < size else size

    def record(self, data: bytes, plain: int, line: int) -> tuple[Chunk, ...]:
        """A record whose first `plain` bytes stay as they are, in chunks cut between lines of `line` bytes; none where coding does
        not make it smaller."""
        chunks, start, offset = [], 0, 0
        while start < len(data):
            stop = start + CHUNK_BYTES
            if plain <= stop - line and line <= CHUNK_BYTES // 2:
                stop -= (stop - plain) % line
            stop = len(data) if len(data) - start <= LAST_BYTES else stop
            coded = self.stream(data[start:stop], min(max(plain - start, 0), stop - start))
            chunks.append(Chunk(start, stop, offset, coded))
            start, offset = stop, offset + len(coded)
        return tuple(chunks) if offset < len(data) else ()

    def stream(self, data: bytes, plain: int) -> bytes:
        """One chunk; all of it plain where that is smaller."""
        words = interleaved(np.frombuffer(data, np.uint8)[plain:], self.book, self.lanes)
        head = self.book.parameters
        if len(words) >= len(data) - plain:
            words, plain = b"", len(data)
        return _PLAIN.pack(plain) + head + data[:plain] + words


def interleaved(values: Bytes8, book: CodeBook, lanes: int) -> bytes:
    """Words of values (n,), the lanes' bytes in the order in which they are taken."""
    if not values.size:
        return b""
    rows = -(-values.size // (4 * lanes)) * 4
    lengths, codes = np.zeros(rows * lanes, np.uint8), np.zeros(rows * lanes, np.uint32)
    lengths[: values.size], codes[: values.size] = book.lengths.take(values), book.codes.take(values)
    by_lane = np.ascontiguousarray(lengths.reshape(rows, lanes).T)
    ends = (by_lane.cumsum(1, dtype=np.uint32) + 7) // LANE_BITS  # bytes of a lane, up to each value
    of_lane = ends[:, -1].cumsum(dtype=np.uint32) - ends[:, -1]  # where they begin
    behind = np.ascontiguousarray((ends + of_lane[:, None]).T)
    before = np.concatenate([of_lane[None], behind[:-1]]).reshape(-1)
    counts = behind.reshape(-1) - before  # that are taken with each value, 2 at most
    places = counts.cumsum(dtype=np.uint32) - counts
    source = _lane_bytes(lengths.reshape(rows, lanes), codes.reshape(rows, lanes))
    result = np.empty(source.size, np.uint8)
    for number in range(2):
        found = np.flatnonzero(counts > number)
        result[places[found] + number] = source[before[found] + number]
    return result.tobytes()


def _lane_bytes(lengths: Bytes8, codes: npt.NDArray[np.uint32]) -> Bytes8:
    """Words (rows, lanes), rows a multiple of 4, as bytes of lane after lane, each from a byte of its own on."""
    pairs, pair_bits = codes[::2] << lengths[1::2] | codes[1::2], lengths[::2] + lengths[1::2]
    fours = pairs[::2].astype(np.uint64) << pair_bits[1::2].astype(np.uint64) | pairs[1::2]
    bits = (pair_bits[::2] + pair_bits[1::2]).T.astype(np.uint64)
    ends = bits.cumsum(1)
    whole = (ends[:, -1] + np.uint64(7)) // np.uint64(LANE_BITS)  # bytes of each lane
    starts = ends - bits + ((whole.cumsum() - whole) * np.uint64(LANE_BITS))[:, None]
    words = _joined(fours.T.reshape(-1), bits.reshape(-1), starts.reshape(-1))
    return words.byteswap().view(np.uint8)[: int(whole.sum())]


def _joined(values: Words, bits: Words, starts: Words) -> Words:
    """Numbers of up to 64 bits, each from a bit of its own on in words whose highest bit comes first; starts ascend."""
    at, offset = (starts >> np.uint64(6)).astype(np.int64), starts & np.uint64(63)
    result = np.zeros(int(at[-1]) + 2, np.uint64)
    values = values << (np.uint64(64) - bits)  # a shift by 64 leaves nothing
    firsts = np.append(0, np.flatnonzero(at[1:] != at[:-1]) + 1)
    result[at[firsts]] = np.bitwise_or.reduceat(values >> offset, firsts)
    behind = values << (np.uint64(64) - offset)
    spill = np.flatnonzero(behind)
    result[at[spill] + 1] |= behind[spill]
    return result
