"""Stage `emit`: the plan becomes instructions with the bytes they touch, in program order."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.constants import Block
from tvm_re2na.codegen.emitter import Emitter, Geometry, View, dense_view
from tvm_re2na.codegen.graph import Window
from tvm_re2na.codegen.isa import Mode
from tvm_re2na.codegen.isa.encoding import make
from tvm_re2na.codegen.layout import DramLayout
from tvm_re2na.codegen.plan import Plan
from tvm_re2na.codegen.sync import Access, Step
from tvm_re2na.codegen.tile import Strip, cut_strips, input_rows, mid_rows
from tvm_re2na.codegen.units import DenseUnit, EltwiseUnit, RelayoutUnit, Unit, WindowUnit


def emit(plan: Plan, layout: DramLayout, arch: Architecture) -> list[Step]:
    """All units' instructions and the final HALT, without tokens."""
    emitter = Emitter(arch)
    arrived: set[str] = set()
    for index, unit in enumerate(plan.graph.units):
        for name in unit.inputs:
            if name in layout.inputs and name in plan.resident and name not in arrived:
                emitter.load(
                    unit.source, layout.tensors[name], plan.tensor_address(name), plan.graph.stored[name].bytes
                )
                arrived.add(name)
        _UnitEmitter(emitter, plan, layout, index).run(unit)
    emitter.steps.append(Step(make("HALT")))
    return emitter.steps


Rows = tuple[int, int]


class _UnitEmitter:
    def __init__(self, emitter: Emitter, plan: Plan, layout: DramLayout, index: int) -> None:
        self.emitter = emitter
        self.plan = plan
        self.layout = layout
        self.index = index
        self.tiling = plan.tilings[index]
        self.turns: dict[str, int] = {}

    def run(self, unit: Unit) -> None:
        emitters: dict[type[Unit], Callable[..., None]] = {
            WindowUnit: self._window,
            DenseUnit: self._dense,
            EltwiseUnit: self._eltwise,
            RelayoutUnit: self._relayout,
        }
        emitters[type(unit)](unit)

    def _buffer(self, role: str) -> int:
        """The address of the next buffer in turn."""
        turn = self.turns.get(role, 0)
        self.turns[role] = turn + 1
        return self.plan.buffer_address(self.index, role, turn % self.tiling.count(role))

    # -- windows: convolution, pooling, both

    def _window(self, unit: WindowUnit) -> None:
        slices, strips = self.tiling.slices, self.tiling.strips
        if self.tiling.strips_outer:
            for strip in strips:
                source, target = self._input(unit, strip), self._full_target(unit, strip)
                for blocks in slices:
                    self._compute(unit, strip, blocks, self._weights(unit, blocks), source, target)
                self._send(unit, strip, target, 0, unit.out_shape[1])
            return
        whole = self._input(unit, strips[0]) if len(strips) == 1 else None
        for blocks in slices:
            weights = self._weights(unit, blocks)
            for strip in strips:
                source = whole or self._input(unit, strip)
                first, count = _channels(unit, blocks)
                target = (
                    self._full_target(unit, strip)
                    if self.plan.where(unit).output
                    else self._slice_target(unit, strip, count)
                )
                offset = 0 if self.plan.where(unit).output else -first
                self._compute(unit, strip, blocks, weights, source, target.at(offset))
                self._send(unit, strip, target.at(first + offset), first, count)

    def _weights(self, unit: WindowUnit, blocks: tuple[Block, ...]) -> int:
        if not blocks:
            return 0
        address = self._buffer("weight")
        start = self.layout.records[(self.index, blocks[0].out_c0)]
        self.emitter.load(unit.source, start, address, sum(block.bytes for block in blocks))
        return address

    def _input(self, unit: Unit, strip: Strip, operand: int = 0) -> View:
        """The strip's input rows, loaded if the tensor is in DRAM."""
        _, channels, height, width = unit.in_shape
        first, last = input_rows(unit, strip)
        name = unit.inputs[operand]
        if name in self.plan.resident:
            view = dense_view(self.plan.tensor_address(name), height, width, channels)
            return View(view.address + strip.n0 * view.image + first * view.row, view.pixel, view.row, view.image)
        address = self._buffer(f"in{operand}" if operand else "in")
        size = strip.images * (last - first) * width * channels
        start = self.layout.tensors[name] + (strip.n0 * height + first) * width * channels
        self.emitter.load(unit.source, start, address, size)
        return dense_view(address, last - first, width, channels)

    def _full_target(self, unit: Unit, strip: Strip) -> View:
        """Where the strip's output rows go, all channels: their place in SRAM, or a buffer on the way to DRAM."""
        _, channels, height, width = unit.out_shape
        if self.plan.where(unit).output:
            view = dense_view(self.plan.tensor_address(unit.output), height, width, channels)
            return View(view.address + strip.n0 * view.image + strip.y0 * view.row, view.pixel, view.row, view.image)
        return dense_view(self._buffer("out"), strip.rows, width, channels)

    def _slice_target(self, unit: Unit, strip: Strip, channels: int) -> View:
        return dense_view(self._buffer("out"), strip.rows, unit.out_shape[3], channels)

    def _compute(
        self, unit: WindowUnit, strip: Strip, blocks: tuple[Block, ...], weights: int, source: View, target: View
    ) -> None:
        """One strip of some output channels; `target` is where output channel 0 would lie."""
        rows = (strip.y0, strip.y1)
        first, count = _channels(unit, blocks)
        if unit.pool is None:
            self._convolve(unit, strip, blocks, weights, source, target, rows)
            return
        if unit.conv is not None:
            middle_rows = mid_rows(unit, strip)
            middle = dense_view(self._buffer("mid"), middle_rows[1] - middle_rows[0], unit.mid_shape[3], count)
            self._convolve(unit, strip, blocks, weights, source, middle.at(-first), middle_rows)
            source = middle
        geometry = _geometry(
            unit.pool.window,
            strip,
            source,
            target.at(first),
            mid_rows(unit, strip),
            rows,
            unit.mid_shape[3],
            unit.out_shape[3],
        )
        self.emitter.pool(unit.pool, count, geometry)

    def _convolve(
        self,
        unit: WindowUnit,
        strip: Strip,
        blocks: tuple[Block, ...],
        weights: int,
        source: View,
        target: View,
        rows: Rows,
    ) -> None:
        conv = unit.conv
        if conv is None:
            return
        geometry = _geometry(
            conv.window, strip, source, target, input_rows(unit, strip), rows, unit.in_shape[3], unit.mid_shape[3]
        )
        for block in blocks:
            placed = replace(geometry, source=source.at(block.in_c0), target=target.at(block.out_c0))
            self.emitter.conv(conv.source, block, weights, conv.window, conv.cut, placed)
            weights += block.bytes

    def _send(self, unit: Unit, strip: Strip, view: View, first: int, channels: int) -> None:
        """Store what a strip computed, if the tensor is wanted in DRAM."""
        base = self.layout.tensors.get(unit.output)
        if base is None:
            return
        _, total, height, width = unit.out_shape
        pixels = strip.images * strip.rows * width
        start = base + (strip.n0 * height + strip.y0) * width * total + first
        self.emitter.store_channels(unit.source, start, view.address, channels, pixels, total, view.pixel)

    # -- dense layers

    def _dense(self, unit: DenseUnit) -> None:
        strip = self.tiling.strips[0]
        source = self._input(unit, strip)
        target = self._full_target(unit, strip)
        for (block,) in self.tiling.slices:
            record = self.layout.records[(self.index, block.out_c0)]
            bias = None
            for k in range(0, block.steps, self.tiling.chunk):
                steps = min(self.tiling.chunk, block.steps - k)
                head = block.bias_bytes if k == 0 else 0
                address = self._buffer("weight")
                start = record + (0 if k == 0 else block.bias_bytes + k * block.out_c)
                self.emitter.load(unit.source, start, address, head + steps * block.out_c)
                bias = address if k == 0 else bias
                self._dense_chunk(unit, block, k, steps, address, head, source, target)
        self._send(unit, strip, target, 0, unit.out_shape[1])

    def _dense_chunk(
        self, unit: DenseUnit, block: Block, k: int, steps: int, address: int, head: int, source: View, target: View
    ) -> None:
        batch = unit.in_shape[0]
        first, last = k == 0, k + steps == block.steps
        self.emitter.configure(Mode.DENSE, unit.source)
        instruction = make(
            "DENSE",
            unit.source,
            in_addr=source.address + k,
            weight_addr=address + head,
            bias_addr=address,
            out_addr=target.address + block.out_c0,
            n=batch,
            in_c=steps,
            steps=steps,
            out_c=block.out_c,
            in_image_stride=unit.in_shape[1],
            out_image_stride=unit.out_shape[1],
            first=int(first),
            last=int(last),
            lsb=unit.cut.lsb,
            lo=unit.cut.lo,
            hi=unit.cut.hi,
        )
        reads = (
            Access("sram", source.address + k, source.address + (batch - 1) * unit.in_shape[1] + k + steps),
            Access("sram", address, address + head + steps * block.out_c),
        )
        writes = Access(
            "sram",
            target.address + block.out_c0,
            target.address + (batch - 1) * unit.out_shape[1] + block.out_c0 + block.out_c,
        )
        self.emitter.steps.append(Step(instruction, reads, (writes,) if last else ()))

    # -- element-wise

    def _eltwise(self, unit: EltwiseUnit) -> None:
        for strip in self.tiling.strips:
            views = [self._input(unit, strip, operand) for operand in range(len(unit.inputs))]
            target = self._full_target(unit, strip)
            size = strip.images * strip.rows * unit.out_shape[3] * unit.out_shape[1]
            unary = len(views) == 1
            self.emitter.configure(Mode.ELTWISE, unit.source)
            instruction = make(
                "ELTWISE",
                unit.source,
                a_addr=views[0].address,
                b_addr=0 if unary else views[1].address,
                out_addr=target.address,
                bytes=size,
                shift_a=unit.shifts[0],
                shift_b=0 if unary else unit.shifts[1],
                unary=int(unary),
                lo=unit.lo,
                hi=unit.hi,
            )
            reads = tuple(Access("sram", view.address, view.address + size) for view in views)
            writes = (Access("sram", target.address, target.address + size),)
            self.emitter.steps.append(Step(instruction, reads, writes))
            self._send(unit, strip, target, 0, unit.out_shape[1])

    # -- another byte order

    def _relayout(self, unit: RelayoutUnit) -> None:
        scratch = self.layout.scratch[self.index]
        _, channels, height, width = unit.in_shape
        for strip in cut_strips(unit.in_shape, self.tiling.chunk):
            view = self._input(unit, strip)
            for image in range(strip.images):
                start = scratch + (strip.n0 + image) * channels * height * width + strip.y0 * width
                self._transposed(
                    "STORE",
                    unit.source,
                    start,
                    view.address + image * view.image,
                    channels,
                    strip.rows * width,
                    height * width,
                )
        _, channels, height, width = unit.out_shape
        for strip in self.tiling.strips:
            target = self._full_target(unit, strip)
            for image in range(strip.images):
                start = scratch + (strip.n0 + image) * channels * height * width + strip.y0 * width
                self._transposed(
                    "LOAD",
                    unit.source,
                    start,
                    target.address + image * target.image,
                    channels,
                    strip.rows * width,
                    height * width,
                )
            self._send(unit, strip, target, 0, channels)

    def _transposed(self, name: str, source: int, dram: int, sram: int, channels: int, pixels: int, plane: int) -> None:
        """In parts of at most as many pixels as the instruction counts."""
        most = 2**16 - 1
        for first in range(0, pixels, most):
            count = min(most, pixels - first)
            self.emitter.transpose(name, source, dram + first, sram + first * channels, channels, count, plane)


def _channels(unit: WindowUnit, blocks: tuple[Block, ...]) -> tuple[int, int]:
    """First output channel and number of output channels that some blocks compute; all of them where there are none."""
    if not blocks:
        return 0, unit.out_shape[1]
    return blocks[0].out_c0, sum(block.out_c for block in blocks)


def _geometry(
    window: Window, strip: Strip, source: View, target: View, given: Rows, rows: Rows, in_width: int, out_width: int
) -> Geometry:
    """The window slid over the input rows `given` to make the output rows `rows`."""
    pad_top = given[0] - (rows[0] * window.stride[0] - window.padding[0])
    return Geometry(source, target, strip.images, given[1] - given[0], in_width, rows[1] - rows[0], out_width, pad_top)
