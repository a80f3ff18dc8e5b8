"""Code words of weights: a prefix code of magnitudes 0..128, and a sign bit behind every magnitude but 0.

Golomb-Rice: of magnitude m, m >> k ones, a zero, and the k low bits of m; where that would be `GOLOMB_ESCAPE` ones or more, so many
ones and the 8 bits of m. Where zeros are frequent, a zero is one bit instead, and others are a one and that of m - 1, whose escape
is a bit shorter. Huffman: canonical, of at most `HUFFMAN_BITS` bits: shorter words before longer ones, then small
magnitudes before large ones, each the next number.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import MAGNITUDES, WeightCoding

Counts: TypeAlias = npt.NDArray[np.int64]  # (MAGNITUDES,): how often each magnitude occurs
Bytes8: TypeAlias = npt.NDArray[np.uint8]

GOLOMB_ESCAPE = 7
GOLOMB_PARAMETERS = range(16)  # k, and 8 more where zeros are frequent
HUFFMAN_BITS = 11
COUNTED_AT_ONCE = 2**18  # bytes, which NumPy makes integers of
RAW_BITS = 8  # of an escaped magnitude
LONGEST_WORD = GOLOMB_ESCAPE + RAW_BITS + 1  # bits, with the sign

Word: TypeAlias = tuple[int, int]  # its bits as a number, and how many they are; 0 bits: there is none


@dataclass(frozen=True)
class CodeBook:
    """`parameters`: as they stand in a coded stream. `words`: of each magnitude, without the sign."""

    parameters: bytes
    words: tuple[Word, ...]

    @cached_property
    def bits(self) -> Counts:
        """Of each magnitude, sign included."""
        return np.array([length + (magnitude > 0) for magnitude, (_, length) in enumerate(self.words)], np.int64)

    @cached_property
    def lengths(self) -> Bytes8:
        """(256,) bits of the word of each byte, sign included."""
        values = np.arange(256, dtype=np.uint8).view(np.int8)
        return self.bits[np.abs(values.astype(np.int64))].astype(np.uint8)

    @cached_property
    def codes(self) -> npt.NDArray[np.uint32]:
        """(256,) the word of each byte, sign included."""
        values = np.arange(256, dtype=np.uint8).view(np.int8).astype(np.int64)
        words = np.array([word for word, _ in self.words], np.int64)[np.abs(values)]
        return np.where(values == 0, words, 2 * words + (values < 0)).astype(np.uint32)


def magnitudes(values: Bytes8) -> Counts:
    """How often each magnitude occurs among bytes."""
    flat, counts = values.reshape(-1), np.zeros(256, np.int64)
    for start in range(0, flat.size, COUNTED_AT_ONCE):
        counts += np.bincount(flat[start : start + COUNTED_AT_ONCE], minlength=256)
    found = counts[:MAGNITUDES].copy()
    found[1 : MAGNITUDES - 1] += counts[:128:-1]
    return found


def best_book(coding: WeightCoding, counts: Counts) -> CodeBook:
    """The code of fewest bits for so many of each magnitude."""
    if coding is WeightCoding.HUFFMAN:
        return huffman(huffman_lengths(counts.tolist()))
    books = [golomb(parameter) for parameter in GOLOMB_PARAMETERS]
    return min(books, key=lambda book: int(counts @ book.bits))


def golomb(parameter: int) -> CodeBook:
    """Golomb-Rice; one of `GOLOMB_PARAMETERS`."""
    kept, zeros = parameter & 7, parameter >> 3

    def word(magnitude: int) -> Word:
        if zeros and magnitude == 0:
            return 0, 1
        number = magnitude - zeros
        ones = number >> kept
        if ones >= GOLOMB_ESCAPE - zeros:
            return ((1 << GOLOMB_ESCAPE) - 1) << RAW_BITS | number, GOLOMB_ESCAPE + RAW_BITS
        low = number & ((1 << kept) - 1)
        return ((1 << (zeros + ones)) - 1) << (1 + kept) | low, zeros + ones + 1 + kept

    return CodeBook(bytes([parameter]), tuple(map(word, range(MAGNITUDES))))


def huffman(lengths: Sequence[int]) -> CodeBook:
    """The canonical code of so many bits for magnitudes 0, 1, ... (0: it does not occur)."""
    lengths = list(lengths)
    while lengths and not lengths[-1]:
        lengths.pop()
    words: list[Word] = [(0, 0)] * MAGNITUDES
    next_word = before = 0
    for length, magnitude in sorted((length, magnitude) for magnitude, length in enumerate(lengths) if length):
        next_word <<= length - before
        words[magnitude] = next_word, length
        next_word, before = next_word + 1, length
    even = [*lengths, 0]
    nibbles = bytes(even[i] | even[i + 1] << 4 for i in range(0, len(lengths), 2))
    return CodeBook(bytes([len(lengths)]) + nibbles, tuple(words))


def huffman_lengths(counts: Sequence[int], most: int = HUFFMAN_BITS) -> list[int]:
    """Bits of each symbol (0 where it does not occur), at most `most`, of least total: package-merge (Larmore, Hirschberg 1990)."""
    lengths = [0] * len(counts)
    leaves: list[tuple[int, tuple[int, ...]]] = sorted((count, (at,)) for at, count in enumerate(counts) if count)
    if len(leaves) == 1:
        lengths[leaves[0][1][0]] = 1
    key: Callable[[tuple[int, tuple[int, ...]]], int] = lambda item: item[0]  # noqa: E731
    items = leaves
    for _ in range(most - 1):
        pairs = [(a[0] + b[0], a[1] + b[1]) for a, b in zip(items[::2], items[1::2], strict=False)]
        items = sorted(leaves + pairs, key=key)
    for _, symbols in items[: max(0, 2 * len(leaves) - 2)]:
        for symbol in symbols:
            lengths[symbol] += 1
    return lengths
