"""Primitives of `emit`: views of feature maps in SRAM, and instructions together with the bytes they touch."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.constants import Block
from tvm_re2na.codegen.graph import Cut, Window
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.isa.encoding import make
from tvm_re2na.codegen.sync import Access, Step
from tvm_re2na.codegen.units import PoolStep


@dataclass(frozen=True)
class View:
    """Rows of images in SRAM, channels-last: address of the first byte and the strides in bytes."""

    address: int
    pixel: int
    row: int
    image: int

    def at(self, channel: int = 0, row: int = 0) -> View:
        return View(self.address + channel + row * self.row, self.pixel, self.row, self.image)

    def access(self, images: int, rows: int, width: int, channels: int) -> Access:
        """The bytes of `images` x `rows` x `width` pixels of `channels` channels."""
        last = (images - 1) * self.image + (rows - 1) * self.row + (width - 1) * self.pixel
        whole = self.row == width * self.pixel and (images == 1 or self.image == rows * self.row)
        run, stride = (channels, self.pixel) if whole and channels < self.pixel else (0, 0)
        return Access("sram", self.address, self.address + last + channels, run, stride)


def dense_view(address: int, rows: int, width: int, channels: int) -> View:
    """A buffer that holds `rows` rows per image and nothing else."""
    return View(address, channels, width * channels, rows * width * channels)


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

    def reads(self, channels: int) -> Access:
        return self.source.access(self.images, self.in_rows, self.in_width, channels)

    def writes(self, channels: int) -> Access:
        return self.target.access(self.images, self.out_rows, self.out_width, channels)


class Emitter:
    """Appends steps; knows how to move data and how to drive the array, not what for."""

    def __init__(self, arch: Architecture) -> None:
        self.arch = arch
        self.steps: list[Step] = []
        self._mode: Mode | None = None

    def load(self, source: int, dram: int, sram: int, size: int) -> None:
        self._transfer("LOAD", source, dram, sram, size, 1, size, size, 1, 0, 0)

    def store(self, source: int, dram: int, sram: int, size: int) -> None:
        self._transfer("STORE", source, dram, sram, size, 1, size, size, 1, 0, 0)

    def store_channels(
        self, source: int, dram: int, sram: int, channels: int, pixels: int, dram_pixel: int, sram_pixel: int
    ) -> None:
        """Some channels of each pixel, to where all channels of a pixel lie together."""
        if channels == dram_pixel == sram_pixel:
            self.store(source, dram, sram, channels * pixels)
        else:
            self._transfer("STORE", source, dram, sram, channels, pixels, dram_pixel, sram_pixel, 1, 0, 0)

    def transpose(
        self, name: str, source: int, dram: int, sram: int, channels: int, pixels: int, dram_channel: int
    ) -> None:
        """Between channels-last in SRAM and channels-first in DRAM, where a channel's pixels lie `dram_channel` apart."""
        self._transfer(name, source, dram, sram, 1, channels, dram_channel, 1, pixels, 1, channels)

    def _transfer(self, name: str, source: int, dram: int, sram: int, size: int, rows: int, *strides: int) -> None:
        dram_row, sram_row, planes, dram_plane, sram_plane = strides
        dram_stop = dram + size + (rows - 1) * dram_row + (planes - 1) * dram_plane
        sram_stop = sram + size + (rows - 1) * sram_row + (planes - 1) * sram_plane
        row_strides = {"dram_row_stride": dram_row, "sram_row_stride": sram_row}
        plane_strides = {"dram_plane_stride": dram_plane, "sram_plane_stride": sram_plane}
        instruction = make(
            name,
            source,
            dram_addr=dram,
            sram_addr=sram,
            bytes=size,
            rows=rows,
            planes=planes,
            **row_strides,
            **plane_strides,
        )
        in_dram = Access("dram", dram, dram_stop, *((size, dram_row) if planes == 1 and rows > 1 else (0, 0)))
        in_sram = Access("sram", sram, sram_stop, *((size, sram_row) if planes == 1 and rows > 1 else (0, 0)))
        reads, writes = (in_dram, in_sram) if name == "LOAD" else (in_sram, in_dram)
        self.steps.append(Step(instruction, (reads,), (writes,)))

    def configure(self, mode: Mode, source: int) -> None:
        if mode is not self._mode:
            self.steps.append(Step(make("RECONFIGURE", source, mode=int(mode), rows=self.arch.array_rows)))
            self._mode = mode

    def conv(self, source: int, block: Block, weights: int, window: Window, cut: Cut, geometry: Geometry) -> None:
        self.configure(Mode.GROUPED if block.groups > 1 else Mode.CONV, source)
        target = geometry.target
        instruction = make(
            "CONV",
            source,
            in_addr=geometry.source.address,
            weight_addr=weights + block.bias_bytes,
            bias_addr=weights,
            out_addr=target.address,
            out_c=block.out_c,
            groups=block.groups,
            rows=self.arch.array_rows,
            steps=block.steps,
            lsb=cut.lsb,
            lo=cut.lo,
            hi=cut.hi,
            **geometry.fields(window, block.in_c),
        )
        reads = (geometry.reads(block.in_c), Access("sram", weights, weights + block.bytes))
        self.steps.append(Step(instruction, reads, (geometry.writes(block.out_c),)))

    def pool(self, step: PoolStep, channels: int, geometry: Geometry) -> None:
        self.configure(Mode.POOL, step.source)
        instruction = make(
            "POOL",
            step.source,
            in_addr=geometry.source.address,
            out_addr=geometry.target.address,
            pad_value=step.pad_value,
            lo=step.lo,
            hi=step.hi,
            **geometry.fields(step.window, channels),
        )
        self.steps.append(Step(instruction, (geometry.reads(channels),), (geometry.writes(channels),)))
