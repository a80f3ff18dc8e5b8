"""Views of feature maps in SRAM, and a window slid over them."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from tvm_re2na.codegen.emit.draft import Place, Touch
from tvm_re2na.codegen.graph.ops import Window


@dataclass(frozen=True)
class View:
    """Rows of images in a buffer, channels-last: offset of the first byte and the strides in bytes."""

    key: Hashable
    offset: int
    pixel: int
    row: int
    image: int

    def at(self, channel: int = 0, row: int = 0, column: int = 0) -> View:
        offset = self.offset + channel + row * self.row + column * self.pixel
        return View(self.key, offset, self.pixel, self.row, self.image)

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
