"""Primitives of `emit`: views of feature maps in SRAM, and drafts of the array's instructions with the bytes they touch."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Draft, Place, Schedule, Touch
from tvm_re2na.codegen.graph.ops import Window
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.schedule.blocks import Block
from tvm_re2na.codegen.schedule.units import AddStep, ConvUnit, DenseUnit, EltwiseUnit, PoolStep


@dataclass(frozen=True)
class View:
    """Rows of images in a buffer, channels-last: offset of the first byte and the strides in bytes."""

    key: Hashable
    offset: int
    pixel: int
    row: int
    image: int

    def at(self, channel: int = 0, row: int = 0) -> View:
        return View(self.key, self.offset + channel + row * self.row, self.pixel, self.row, self.image)

    @property
    def place(self) -> Place:
        return Place("sram", self.key, self.offset)

    def touch(self, images: int, rows: int, width: int, channels: int) -> Touch:
        """The bytes of `images` x `rows` x `width` pixels of `channels` channels."""
        last = (images - 1) * self.image + (rows - 1) * self.row + (width - 1) * self.pixel
        whole = self.row == width * self.pixel and (images == 1 or self.image == rows * self.row)
        run, stride = (channels, self.pixel) if whole and channels < self.pixel else (0, 0)
        return Touch("sram", self.key, self.offset, self.offset + last + channels, run, stride)


def dense_view(key: Hashable, rows: int, width: int, channels: int, offset: int = 0) -> View:
    """A buffer that holds `rows` rows per image and nothing else."""
    return View(key, offset, channels, width * channels, rows * width * channels)


@dataclass(frozen=True)
class Geometry:
    """A window slid over `in_rows` x `in_width` pixels of `images` images, giving `out_rows` x `out_width`."""

    source: View
    target: View
    images: int
    in_rows: int
    in_width: int
    out_rows: int
    out_width: int
    pad_top: int

    def fields(self, window: Window, channels: int) -> dict[str, int]:
        return {
            "n": self.images,
            "in_h": self.in_rows,
            "in_w": self.in_width,
            "in_c": channels,
            "in_pixel_stride": self.source.pixel,
            "in_row_stride": self.source.row,
            "in_image_stride": self.source.image,
            "out_h": self.out_rows,
            "out_w": self.out_width,
            "out_pixel_stride": self.target.pixel,
            "out_row_stride": self.target.row,
            "out_image_stride": self.target.image,
            "kernel_h": window.kernel[0],
            "kernel_w": window.kernel[1],
            "stride_h": window.stride[0],
            "stride_w": window.stride[1],
            "dilation_h": window.dilation[0],
            "dilation_w": window.dilation[1],
            "pad_top": self.pad_top,
            "pad_left": window.padding[1],
        }

    def reads(self, channels: int) -> tuple[Touch, ...]:
        """Nothing where only padding is seen."""
        return (self.source.touch(self.images, self.in_rows, self.in_width, channels),) if self.in_rows else ()

    @property
    def places(self) -> dict[str, Place]:
        """Addresses; an input of which nothing is seen may be anywhere."""
        return {"in_addr": (self.source if self.in_rows else self.target).place, "out_addr": self.target.place}

    def writes(self, channels: int) -> tuple[Touch, ...]:
        return (self.target.touch(self.images, self.out_rows, self.out_width, channels),)


class Emitter:
    """Appends drafts; knows how to drive the array, not what for."""

    def __init__(self, arch: Architecture) -> None:
        self.arch = arch
        self.schedule = Schedule()
        self.stage = 0
        self._mode: tuple[Mode, int] | None = None

    def append(self, draft: Draft) -> None:
        self.schedule.drafts.append(draft)
        self.schedule.stages.append(self.stage)

    def configure(self, mode: Mode, source: int, rows: int = 0) -> None:
        setting = (mode, rows or self.arch.array_rows)
        if setting != self._mode:
            self.append(Draft("RECONFIGURE", source, {"mode": int(mode), "rows": setting[1]}))
            self._mode = setting

    def conv(
        self, unit: ConvUnit, block: Block, rows: int, weights: Hashable, geometry: Geometry, operand: View | None
    ) -> None:
        """One block; `weights` is the buffer that holds its record, `operand` what a residual addition adds."""
        conv = unit.conv
        self.configure(Mode.GROUPED if block.groups > 1 else Mode.CONV, conv.source, rows)
        values = {
            "out_c": block.out_c,
            "groups": block.groups,
            "rows": rows,
            "steps": block.steps,
            "pool_h": unit.pool[0],
            "pool_w": unit.pool[1],
            "lsb": conv.cut.lsb,
            "lo": conv.cut.lo,
            "hi": conv.cut.hi,
            **geometry.fields(conv.window, block.in_c),
        }
        places = {**geometry.places, **_record(block, weights)}
        reads = (*geometry.reads(block.in_c), Touch("sram", weights, 0, block.bytes))
        if unit.add is not None and operand is not None:
            values |= _add_fields(unit.add, operand)
            places["add_addr"] = operand.place
            reads += (operand.touch(geometry.images, geometry.out_rows, geometry.out_width, block.out_c),)
        self.append(Draft("CONV", conv.source, values, places, reads, geometry.writes(block.out_c)))

    def pool(self, step: PoolStep, channels: int, geometry: Geometry) -> None:
        self.configure(Mode.POOL, step.source)
        values = {"pad_value": step.pad_value, "lo": step.lo, "hi": step.hi, **geometry.fields(step.window, channels)}
        reads, writes = geometry.reads(channels), geometry.writes(channels)
        self.append(Draft("POOL", step.source, values, geometry.places, reads, writes))

    def move(self, source: int, start: View, target: View, rows: int, width: int) -> None:
        """Rows within SRAM, by a pooling of single pixels."""
        step = PoolStep(source, Window((1, 1)), 0, -128, 127)
        self.pool(step, start.pixel, Geometry(start, target, 1, rows, width, rows, width, 0))

    def dense(self, unit: DenseUnit, block: Block, last: bool, weights: Hashable, source: View, target: View) -> None:
        """One part of a block's sum; `source` and `target` are the whole input and output."""
        self.configure(Mode.DENSE, unit.source)
        batch = unit.in_shape[0]
        values = {
            "n": batch,
            "in_c": block.in_c,
            "out_c": block.out_c,
            "steps": block.steps,
            "in_image_stride": source.image,
            "out_image_stride": target.image,
            "first": int(block.bias is not None),
            "last": int(last),
            "lsb": unit.cut.lsb,
            "lo": unit.cut.lo,
            "hi": unit.cut.hi,
        }
        source, target = source.at(block.in_c0), target.at(block.out_c0)
        places = {"in_addr": source.place, "out_addr": target.place, **_record(block, weights)}
        reads = (source.touch(batch, 1, 1, block.in_c), Touch("sram", weights, 0, block.bytes))
        writes = (target.touch(batch, 1, 1, block.out_c),) if last else ()
        self.append(Draft("DENSE", unit.source, values, places, reads, writes))

    def eltwise(self, unit: EltwiseUnit, operands: list[View], target: View, size: int) -> None:
        self.configure(Mode.ELTWISE, unit.source)
        unary = len(operands) == 1
        values = {
            "bytes": size,
            "shift_a": unit.shifts[0],
            "shift_b": 0 if unary else unit.shifts[1],
            "unary": int(unary),
            "lo": unit.lo,
            "hi": unit.hi,
        }
        places = {"a_addr": operands[0].place, "b_addr": operands[-1].place, "out_addr": target.place}
        reads = tuple(Touch("sram", view.key, view.offset, view.offset + size) for view in operands)
        writes = (Touch("sram", target.key, target.offset, target.offset + size),)
        self.append(Draft("ELTWISE", unit.source, values, places, reads, writes))


def _record(block: Block, weights: Hashable) -> dict[str, Place]:
    """Addresses of a block's biases, bitmap and lines of weights in the buffer that holds its record."""
    lines = (
        block.bias_bytes + block.mask_bytes if block.steps else 0
    )  # the address of no lines must be one all the same
    places = {"bias_addr": Place("sram", weights, 0), "weight_addr": Place("sram", weights, lines)}
    return places if block.mask is None else {**places, "mask_addr": Place("sram", weights, block.bias_bytes)}


def _add_fields(add: AddStep, operand: View) -> dict[str, int]:
    return {
        "add": 1,
        "add_pixel_stride": operand.pixel,
        "add_row_stride": operand.row,
        "add_image_stride": operand.image,
        "shift_a": add.shift_a,
        "shift_b": add.shift_b,
        "add_lo": add.lo,
        "add_hi": add.hi,
    }
