"""SRAM placement of buffers with live ranges: first fit, largest first."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

ALIGNMENT = 64


@dataclass(frozen=True)
class Buffer:
    """`bytes` in use from unit `first` to unit `last`, both included."""

    key: Hashable
    bytes: int
    first: int
    last: int

    def overlaps(self, other: Buffer) -> bool:
        return self.first <= other.last and other.first <= self.last


@dataclass(frozen=True)
class Placement:
    """Offsets by key; `failed` is the first buffer that found no room, if any."""

    offsets: dict[Hashable, int]
    peak: int
    failed: Buffer | None


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def place(buffers: list[Buffer], capacity: int) -> Placement:
    """Put each buffer at the lowest offset that is free over its whole life."""
    offsets: dict[Hashable, int] = {}
    placed: list[tuple[int, Buffer]] = []
    for buffer in sorted(buffers, key=lambda item: (-item.bytes, item.first, str(item.key))):
        offset = _lowest_gap(buffer, placed)
        if offset + buffer.bytes > capacity:
            return Placement(offsets, capacity, buffer)
        offsets[buffer.key] = offset
        placed.append((offset, buffer))
    return Placement(offsets, max((offset + buffer.bytes for offset, buffer in placed), default=0), None)


def live_bytes(buffers: list[Buffer], unit: int) -> int:
    """Bytes in use at `unit`: no placement can do with less than the largest of these."""
    return sum(aligned(buffer.bytes) for buffer in buffers if buffer.first <= unit <= buffer.last)


def _lowest_gap(buffer: Buffer, placed: list[tuple[int, Buffer]]) -> int:
    offset = 0
    for start, other in sorted(
        ((start, other) for start, other in placed if buffer.overlaps(other)), key=lambda item: item[0]
    ):
        if offset + buffer.bytes <= start:
            return offset
        offset = max(offset, aligned(start + other.bytes))
    return offset
