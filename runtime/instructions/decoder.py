"""What a coded stream decodes to, bit by bit: docs/coding.md, and `codegen/coding`, where streams are made."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

import numpy as np

from tvm_re2na.codegen.arch import MAGNITUDES, Architecture, WeightCoding
from tvm_re2na.codegen.coding.words import (
    GOLOMB_PARAMETERS,
    HUFFMAN_BITS,
    LONGEST_WORD,
    CodeBook,
    Word,
    golomb,
    huffman,
)
from tvm_re2na.runtime.instructions.machine import Ints, SimulationError


def decode(arch: Architecture, stream: Ints, count: int) -> Ints:
    """`count` int8 values from all bytes (n,) of a stream, as int64. Raises SimulationError where it is none."""
    left = _Bytes(stream)
    plain = left.take() | left.take() << 8
    book = _book(arch, left)
    if plain > count:
        raise SimulationError(f"the coded stream has {plain} plain bytes, {count} are wanted")
    values = [left.take() for _ in range(plain)]
    values += _values(left, {word: at for at, word in enumerate(book.words) if word[1]}, arch, count - plain)
    if left.bytes:
        raise SimulationError(f"the coded stream has {len(left.bytes)} bytes more than its values")
    return np.array(values, np.int64).astype(np.uint8).view(np.int8).astype(np.int64)


class _Bytes:
    """What is left of a stream."""

    def __init__(self, stream: Ints) -> None:
        self.bytes = deque((stream & 255).tolist())

    def take(self) -> int:
        if not self.bytes:
            raise SimulationError("the coded stream ends before its last value")
        return int(self.bytes.popleft())


def _book(arch: Architecture, left: _Bytes) -> CodeBook:
    parameter = left.take()
    if arch.weight_coding is WeightCoding.GOLOMB:
        if parameter not in GOLOMB_PARAMETERS:
            raise SimulationError(f"the code of the stream has number {parameter}, at most {GOLOMB_PARAMETERS[-1]}")
        return golomb(parameter)
    if parameter > MAGNITUDES:
        raise SimulationError(f"the code of the stream has {parameter} magnitudes, at most {MAGNITUDES}")
    pairs = [left.take() for _ in range(-(-parameter // 2))]
    lengths = [pair >> shift & 15 for pair in pairs for shift in (0, 4)][:parameter]
    if max(lengths, default=0) > HUFFMAN_BITS or sum(2.0**-length for length in lengths if length) > 1:
        raise SimulationError("the code of the stream has words that are too long, or too many")
    return huffman(lengths)


def _values(left: _Bytes, magnitudes: dict[Word, int], arch: Architecture, count: int) -> Iterator[int]:
    lanes: list[deque[int]] = [deque() for _ in range(arch.decoder_bytes_per_cycle)]

    def bit(lane: deque[int]) -> int:
        if not lane:
            byte = left.take()
            lane.extend(byte >> place & 1 for place in range(7, -1, -1))
        return lane.popleft()

    for number in range(count):
        lane = lanes[number % len(lanes)]
        word, length = 0, 0
        while (word, length) not in magnitudes:
            if length == LONGEST_WORD:
                raise SimulationError("no word of the stream's code begins so")
            word, length = word << 1 | bit(lane), length + 1
        magnitude = magnitudes[word, length]
        yield -magnitude if magnitude and bit(lane) else magnitude
