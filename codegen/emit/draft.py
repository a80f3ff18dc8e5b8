"""Instructions whose addresses are still names: what `emit` writes and `bind` completes.

A draft names the buffer of SRAM or the piece of DRAM that each of its addresses lies in, and the bytes it touches there. Live
ranges of buffers, and so their addresses, follow from the drafts alone. Loads are not among them: what a buffer is loaded with
is noted beside it (`Loaded`), and `codegen/memory/prefetch.py` decides when.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field, replace
from typing import NamedTuple

from tvm_re2na.codegen.emit.tokens import ByteRange, Step
from tvm_re2na.codegen.isa.encoding import make


@dataclass(frozen=True)
class Touch:
    """Bytes start..stop of a buffer (`memory` "sram") or of a piece of DRAM ("dram"), of which each `stride` bytes only the first
    `run` are touched (0: all)."""

    memory: str
    key: Hashable
    start: int
    stop: int
    run: int = 0
    stride: int = 0

    @property
    def span(self) -> tuple[int, int]:
        """First byte and the one behind the last; of channels that lie between others, those of the whole pixels."""
        if not self.stride:
            return self.start, self.stop
        return self.start // self.stride * self.stride, -(-self.stop // self.stride) * self.stride

    def at(self, base: int) -> ByteRange:
        return ByteRange(self.memory, base + self.start, base + self.stop, self.run, self.stride)


@dataclass(frozen=True)
class Place:
    """An address: `offset` bytes into a buffer or piece of DRAM."""

    memory: str
    key: Hashable
    offset: int


@dataclass(frozen=True)
class FinishedRows:
    """What a unit has finished: rows, columns and channels (first, behind the last) of a stored tensor, of `images` images from
    `first_image` on. It lies at `place` until another instruction writes there; strides in bytes."""

    tensor: str
    first_image: int
    images: int
    rows: tuple[int, int]
    columns: tuple[int, int]
    channels: tuple[int, int]
    place: Place
    pixel: int
    row: int
    image: int


@dataclass(frozen=True)
class Draft:
    """One instruction. `values` are its plain fields, `places` its addresses by field name. `finishes`: what it is the last
    instruction of."""

    name: str
    source: int
    values: Mapping[str, int]
    places: Mapping[str, Place] = field(default_factory=dict)
    reads: tuple[Touch, ...] = ()
    writes: tuple[Touch, ...] = ()
    finishes: FinishedRows | None = None

    @property
    def touches(self) -> tuple[Touch, ...]:
        return self.reads + self.writes

    def bind(self, addresses: Mapping[tuple[str, Hashable], int]) -> Step:
        """The instruction, given the address of every buffer and piece of DRAM; raises EncodeError for a field out of range."""
        placed = {name: addresses[(place.memory, place.key)] + place.offset for name, place in self.places.items()}
        instruction = make(self.name, self.source, **self.values, **placed)
        reads, writes = (
            tuple(touch.at(addresses[(touch.memory, touch.key)]) for touch in touches)
            for touches in (self.reads, self.writes)
        )
        return Step(instruction, reads, writes)


@dataclass(frozen=True)
class Part:
    """Bytes start..stop of a buffer come from `offset` of a piece of DRAM, of which each `stride` bytes only the first `run`
    are taken (0: all), or are decoded from `coded` bytes there (0: are not coded). After each `row` bytes (0: never) come those
    that lie `row_stride` bytes behind the first of these."""

    start: int
    stop: int
    dram: Hashable
    offset: int
    run: int = 0
    stride: int = 0
    coded: int = 0
    row: int = 0
    row_stride: int = 0

    @property
    def grain(self) -> int:
        """It is cut between so many bytes."""
        return self.row or self.run or 1

    def cut(self, start: int, stop: int) -> Part:
        """Bytes start..stop of it; whole rows or runs, where it has any, and all of it, where it is coded."""
        if (start, stop) == (self.start, self.stop):
            return self
        offset = self.offset + (start - self.start) // self.grain * (self.row_stride or self.stride or 1)
        return replace(self, start=start, stop=stop, offset=offset)

    def load(self, source: int, key: Hashable) -> Draft:
        """The LOAD that fills the buffer `key` with it."""
        if self.coded:
            return self._decode(source, key)
        size, dram, sram = self.stop - self.start, Place("dram", self.dram, self.offset), Place("sram", key, self.start)
        if not self.run:
            return copy("LOAD", source, dram, sram, 1, size)
        row = self.row or size
        planes = (size // row, self.row_stride, row) if row < size else (1, 0, 0)
        return copy("LOAD", source, dram, sram, row // self.run, self.run, self.stride, self.run, *planes)

    def _decode(self, source: int, key: Hashable) -> Draft:
        plain = replace(self, coded=0).load(source, key)
        in_dram = Touch("dram", self.dram, self.offset, self.offset + self.coded)
        return replace(plain, values={**plain.values, "coded": self.coded}, reads=(in_dram,))


@dataclass(frozen=True)
class Loaded:
    """A buffer that is filled from DRAM. It lies `offset` bytes into an area that its stage has for such buffers, one after the
    other, or, if it `roams`, wherever there is room earlier. Without an area it is a tensor, and has a place of its own."""

    key: Hashable
    source: int
    size: int
    parts: tuple[Part, ...]
    area: Hashable = None
    offset: int = 0
    roams: bool = False


@dataclass(frozen=True)
class Area:
    """Bytes that a stage keeps for buffers in turn."""

    size: int
    stage: int


@dataclass
class Schedule:
    """Drafts in program order, what is loaded, and the stage that each draft belongs to."""

    drafts: list[Draft] = field(default_factory=list)
    loaded: dict[Hashable, Loaded] = field(default_factory=dict)
    areas: dict[Hashable, Area] = field(default_factory=dict)
    stages: list[int] = field(default_factory=list)


def copy(name: str, source: int, dram: Place, sram: Place, rows: int, size: int, *strides: int) -> Draft:
    """LOAD or STORE of `rows` runs of `size` bytes, and of planes of them; strides: row in DRAM and SRAM, planes, plane in both."""
    dram_row, sram_row, planes, dram_plane, sram_plane = strides or (size, size, 1, 0, 0)
    values = {
        "bytes": size,
        "rows": rows,
        "planes": planes,
        "dram_row_stride": dram_row,
        "sram_row_stride": sram_row,
        "dram_plane_stride": dram_plane,
        "sram_plane_stride": sram_plane,
    }
    dram_stop = dram.offset + size + (rows - 1) * dram_row + (planes - 1) * dram_plane
    sram_stop = sram.offset + size + (rows - 1) * sram_row + (planes - 1) * sram_plane
    plain = planes == 1 and rows > 1
    in_dram = Touch("dram", dram.key, dram.offset, dram_stop, *((size, dram_row) if plain else (0, 0)))
    in_sram = Touch("sram", sram.key, sram.offset, sram_stop, *((size, sram_row) if plain else (0, 0)))
    reads, writes = (in_dram, in_sram) if name == "LOAD" else (in_sram, in_dram)
    return Draft(name, source, values, {"dram_addr": dram, "sram_addr": sram}, (reads,), (writes,))


class Strides(NamedTuple):
    """In bytes, of rows of pixels."""

    pixel: int
    row: int


def copy_pixels(
    name: str, source: int, dram: Place, sram: Place, sizes: tuple[int, int, int], in_dram: Strides, in_sram: Strides
) -> Draft:
    """`copy` of rows of pixels of channels, in runs as long as they can be."""
    rows, columns, channels = sizes
    dense = channels == in_dram.pixel == in_sram.pixel
    if rows == 1 or all(strides.row == columns * strides.pixel for strides in (in_dram, in_sram)):
        if dense:
            return copy(name, source, dram, sram, 1, rows * columns * channels)
        return copy(name, source, dram, sram, rows * columns, channels, in_dram.pixel, in_sram.pixel, 1, 0, 0)
    if dense:
        return copy(name, source, dram, sram, rows, columns * channels, in_dram.row, in_sram.row, 1, 0, 0)
    planes = rows, in_dram.row, in_sram.row
    return copy(name, source, dram, sram, columns, channels, in_dram.pixel, in_sram.pixel, *planes)
