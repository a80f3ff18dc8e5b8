"""What no schedule can beat; docs/bounds.md derives it.

compute     k-steps of the best legal mapping (shapes and modes of the machine, rounding losses included, steps whose weights are
            zero for a whole block dropped, pixels that nobody reads left out) x mac_interval, or their operands at the pace
            of the SRAM. Pooling and addition count nothing: they may hide in the array's output path.
fill        the array filled and drained once for each of the mapping's blocks.
traffic     every weight, bias and activation table once, at its packed size, weights coded where the machine can decode them; the
            network's inputs and outputs once; and what layers that do not fit the SRAM together move between them (`forced.py`).
network     the array runs the layers in order at these bounds; the DRAM delivers the weights in order at full bandwidth, and
            is ahead of the array by no more than the SRAM; all bytes take their time on the bus, the first ones and the last
            result their latency.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import MAGNITUDES, Architecture, WeightCoding
from tvm_re2na.codegen.bytes import BIAS_BYTES, mask_bytes
from tvm_re2na.codegen.coding.words import best_book, magnitudes
from tvm_re2na.codegen.graph.blocks import channel_blocks
from tvm_re2na.codegen.graph.chain import chain_of
from tvm_re2na.codegen.graph.channels import ScaleChannels
from tvm_re2na.codegen.graph.forced import most_forced
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Conv2d, Cut, Dense, Int8Array, Int32Array, Lookup, Op, Reshape
from tvm_re2na.codegen.graph.reads import Need, given, made_of, moves_nothing, needs, roots
from tvm_re2na.codegen.graph.transposed import ConvTranspose2d

SLICE_BYTES = 8 * 1024  # the fluid of the network's bound is cut into slices of about this size
FEWEST_SLICES = 32  # of a layer


@dataclass(frozen=True)
class LayerBound:
    """For one run of the program. `compute_bound` in cycles of the multiply part, `fill_bound` in cycles of filling and draining;
    `overflow_bound`: largest |sum| of an accumulator for any int8 input (L1 norm of the weights)."""

    compute_bound: int
    fill_bound: int
    cycles_bound: int
    dram_bytes_compulsory: int
    overflow_bound: int


@dataclass(frozen=True)
class NetworkBounds:
    """One entry per operator, in order, and the network's cycles and compulsory bytes, those of its weights and biases among them.
    `forced_bytes`: what is moved beyond these because layers do not fit the SRAM together."""

    layers: tuple[LayerBound, ...]
    cycles: int
    dram_bytes: int
    weight_bytes: int
    forced_bytes: int


def network_bounds(graph: Graph, arch: Architecture) -> NetworkBounds:
    """Bounds of a verified graph on a machine."""
    read = needs(graph)
    traffic = _Traffic(graph, read)
    layers, packed = [], []
    for op in graph.ops:
        best, weights = _mapping(op, read[op.output], arch)
        compute, fill = best.compute(arch), best.instructions * _fill(arch)
        packed.append(weights)
        total = traffic.loaded(op) + weights + traffic.stored(op)
        cycles = max(compute + fill, -(-total // arch.dram_bytes_per_cycle))
        layers.append(LayerBound(compute, fill, cycles, total, _overflow_bound(op, arch)))
    compulsory = sum(layer.dram_bytes_compulsory for layer in layers)
    forced = most_forced(chain_of(graph, arch, read, packed), arch.sram_bytes, arch.pe_count)
    moved = -(-(compulsory + forced) // arch.dram_bytes_per_cycle)
    stored = sum(map(traffic.stored, graph.ops))
    fluid = _Fluid(arch, layers, packed, compulsory - sum(packed), stored).cycles()
    cycles = max(fluid, moved + arch.dram_latency if moved else 0)
    return NetworkBounds(tuple(layers), cycles, compulsory, sum(packed), forced)


# ---- compute, and packed weights


class _Mapping(NamedTuple):
    """How an operator may lie on the array: steps of all passes, bytes of operands in them, blocks with an instruction each."""

    steps: int = 0
    operands: int = 0
    instructions: int = 0

    def compute(self, arch: Architecture) -> int:
        """Cycles of the multiply part: the PEs' pace, or that of the SRAM."""
        return max(self.steps * arch.mac_interval, -(-self.operands // arch.sram_bytes_per_cycle))

    def cycles(self, arch: Architecture) -> int:
        return self.compute(arch) + self.instructions * _fill(arch)

    def plus(self, other: _Mapping) -> _Mapping:
        return _Mapping(*(mine + more for mine, more in zip(self, other, strict=True)))


class _Lines(NamedTuple):
    """A block: its steps, those that are zero left out, and what they are for."""

    steps: int
    channels: int
    groups: int = 1


def _fill(arch: Architecture) -> int:
    """Cycles of an instruction beside its multiply part: its results take one at least to leave."""
    return arch.array_fill_cycles + arch.mac_latency + 1


def _on_columns(blocks: list[_Lines], outputs: int, columns: int) -> _Mapping:
    """Blocks, one after the other, for so many outputs of a channel."""
    passes = -(-outputs // columns)
    operands = sum(block.steps * (passes * block.channels + block.groups * outputs) for block in blocks)
    return _Mapping(
        passes * sum(block.steps for block in blocks), operands, sum(1 for block in blocks if block.steps and outputs)
    )


def _mapping(op: Op, output: Need, arch: Architecture) -> tuple[_Mapping, int]:
    """The one of fewest cycles over all shapes, and fewest bytes of weights, biases and tables; nothing where nobody reads."""
    if isinstance(op, Conv2d | ConvTranspose2d) and output.pixels:
        shapes = [_array_mapping(op, output, *shape, arch.weight_coding) for shape in arch.shapes]
        return _best((mapping for mapping, _ in shapes), arch), min(size for _, size in shapes)
    if isinstance(op, Dense) and output.pixels:
        return _dense_mapping(op, output.shape[0], arch)
    if isinstance(op, ScaleChannels) and output.pixels:
        return _scale_mapping(output, arch)
    return _Mapping(), op.table.size if isinstance(op, Lookup) and output.pixels else 0


def _best(mappings: Iterable[_Mapping], arch: Architecture) -> _Mapping:
    return min(mappings, key=lambda mapping: mapping.cycles(arch))


def _array_mapping(
    op: Conv2d | ConvTranspose2d, output: Need, rows: int, columns: int, coding: WeightCoding
) -> tuple[_Mapping, int]:
    """And packed bytes, for one shape of the array."""
    if isinstance(op, ConvTranspose2d):
        return _transposed_mapping(op, output, rows, columns, coding)
    lines = op.weight.reshape(len(op.weight), -1)
    cuts = list(channel_blocks(len(lines), op.groups, rows))
    parts = [lines[first:last] for first, last, _ in cuts]
    packed = [_packed(part) for part in parts]
    size = len(op.cut.lsbs) + sum(size for _, size in packed) - _saved(parts, coding)
    blocks = [
        _Lines(steps, len(part), groups) for (steps, _), part, (_, _, groups) in zip(packed, parts, cuts, strict=True)
    ]
    return _on_columns(blocks, output.shape[0] * output.pixels, columns), size


def _transposed_mapping(
    op: ConvTranspose2d, output: Need, rows: int, columns: int, coding: WeightCoding
) -> tuple[_Mapping, int]:
    """Of all its convolutions, each with its part of the kernel and of the pixels."""
    found = _Mapping()
    cuts = list(channel_blocks(len(op.weight), op.groups, rows))
    for above, left in op.sub_convolutions():
        pixels = int(np.count_nonzero(output.rows[above.first :: op.window.stride[0]]))
        pixels *= int(np.count_nonzero(output.columns[left.first :: op.window.stride[1]]))
        lines = op.weight_of(above, left).reshape(len(op.weight), -1)
        blocks = [_Lines(_packed(lines[first:last])[0], last - first, groups) for first, last, groups in cuts]
        found = found.plus(_on_columns(blocks, output.shape[0] * pixels, columns))
    whole = op.weight.reshape(len(op.weight), -1)
    parts = [whole[first:last] for first, last, _ in cuts]
    return found, sum(_packed(part)[1] for part in parts) - _saved(parts, coding)


def _dense_mapping(op: Dense, batch: int, arch: Architecture) -> tuple[_Mapping, int]:
    """As a dense layer, one image after the other, or as a convolution whose columns are the images of the batch."""
    outputs = len(op.weight)
    at_once = min(outputs, max(1, arch.pe_count // batch))
    parts = [op.weight[start : start + at_once] for start in range(0, outputs, at_once)]
    dense = [_Lines(_packed(part)[0], len(part)) for part in parts]
    mappings, size = [_on_columns(dense, batch, 1)], BIAS_BYTES * outputs
    # bitmaps left out: where a dense layer is cut along k, parts that lack no step have none
    size += sum(block.steps * block.channels for block in dense)
    size -= _saved(parts, arch.weight_coding, drops=True)
    for rows, columns in arch.shapes:
        if -(-outputs // rows) * -(-batch // columns) < batch * len(dense):
            parts = [op.weight[start : start + rows] for start in range(0, outputs, rows)]
            packed = [_packed(part) for part in parts]
            blocks = [_Lines(steps, len(part)) for (steps, _), part in zip(packed, parts, strict=True)]
            mappings.append(_on_columns(blocks, batch, columns))
            size = min(size, sum(taken for _, taken in packed) - _saved(parts, arch.weight_coding))
    return _best(mappings, arch), size


def _scale_mapping(output: Need, arch: Architecture) -> tuple[_Mapping, int]:
    """One step for each image, whose weights are its own, and block of channels; biases alone are loaded."""
    batch, channels = output.shape[:2]
    mappings = []
    for rows, columns in arch.shapes:
        blocks = [_Lines(1, last - first, groups) for first, last, groups in channel_blocks(channels, channels, rows)]
        mappings.append(_on_columns(blocks * batch, output.pixels, columns))
    return _best(mappings, arch), BIAS_BYTES * channels


def _packed(lines: Int8Array) -> tuple[int, int]:
    """Steps of a block (outputs, k) and bytes of its record; whichever of dropping zero steps or not takes less, for each."""
    outputs, k = lines.shape
    present = int(np.count_nonzero(lines.any(axis=0)))
    size = min(k * outputs, mask_bytes(k) + present * outputs)
    return present, BIAS_BYTES * outputs + size


def _saved(parts: list[Int8Array], coding: WeightCoding, drops: bool = False) -> int:
    """Bytes, at most, that coding saves of the lines of blocks (outputs, k) as `_packed` counts them; `drops`: all zero steps. One
    code serves a layer; chunks are cut between lines, and each line is coded or not."""
    if coding is WeightCoding.NONE:
        return 0
    kept, counts = [], np.zeros(MAGNITUDES, np.int64)
    for lines in parts:
        outputs, k = lines.shape
        present = lines.any(axis=0)
        dropped = k - int(np.count_nonzero(present))
        kept.append((lines, present if drops or dropped * outputs > mask_bytes(k) else np.ones(k, np.bool_)))
        counts += magnitudes(lines.view(np.uint8))
        counts[0] -= outputs * int(np.count_nonzero(~kept[-1][1]))
    lengths, bits = best_book(coding, counts).lengths, 0
    for lines, there in kept:
        coded = lengths[lines.view(np.uint8)].sum(axis=0, dtype=np.int64)[there]
        bits += int(np.maximum(8 * len(lines) - coded, 0).sum())
    return bits // 8


# ---- compulsory bytes


class _Traffic:
    """What crosses the network's border. A reshape, a concatenation or a selection of channels moves nothing: it is another
    name."""

    def __init__(self, graph: Graph, read: dict[str, Need]) -> None:
        self.graph = graph
        self.read = read
        self.root = roots(graph)
        self.made_of = made_of(graph)
        read_as = {name for op in graph.ops if not isinstance(op, Reshape) for name in op.inputs} | set(graph.outputs)
        self.views: dict[str, list[str]] = {}
        for name, root in self.root.items():
            if name in read_as:
                self.views.setdefault(root, []).append(name)
        self.given = given(graph)
        self.readers: dict[str, list[int]] = {}
        for index, op in enumerate(graph.ops):
            if not moves_nothing(op):
                for name in self._sources(op):
                    self.readers.setdefault(name, []).append(index)
        self.made = {op.output: index for index, op in enumerate(graph.ops)}

    def size(self, root: str) -> int:
        """Bytes of what anyone reads, in the shape in which it is read: a reshape itself reads nothing."""
        return max((self.read[name].bytes for name in self.views.get(root, ())), default=0)

    def loaded(self, op: Op) -> int:
        """Bytes of network inputs that the operator is the first to read."""
        if moves_nothing(op):
            return 0
        index, inputs = self.made[op.output], self.graph.inputs
        return sum(self.size(root) for root in self._sources(op) if root in inputs and self.readers[root][0] == index)

    def stored(self, op: Op) -> int:
        """Bytes of network outputs that the operator makes."""
        shape, channels = self.graph.shapes[op.output], self.given[op.output]
        return 0 if moves_nothing(op) else math.prod(shape) // shape[1] * int(np.count_nonzero(channels))

    def _sources(self, op: Op) -> list[str]:
        """The tensors among whose elements its operands are."""
        return list(dict.fromkeys(root for name in op.inputs for root in self.made_of[name]))


# ---- the network: a roofline that looks ahead no further than the SRAM


class _Fluid:
    """Compute and weights cut into slices; every rounding is in favour of the schedule that is to be bounded."""

    def __init__(
        self, arch: Architecture, layers: list[LayerBound], weights: list[int], border: int, stored: int
    ) -> None:
        """`weights`: bytes of each layer; `border`: bytes of the network's inputs and outputs, of which so many are `stored`."""
        self.arch = arch
        self.layers = layers
        self.border, self.stored = border, stored
        self.slices = [
            max(FEWEST_SLICES, -(-loaded // SLICE_BYTES)) if loaded or layer.compute_bound else 0
            for layer, loaded in zip(layers, weights, strict=True)
        ]
        self.sizes = np.repeat(
            [loaded / max(1, count) for loaded, count in zip(weights, self.slices, strict=True)], self.slices
        )

    def cycles(self) -> int:
        bandwidth, latency = self.arch.dram_bytes_per_cycle, self.arch.dram_latency
        needed = np.concatenate([[0.0], np.cumsum(self.sizes)])  # bytes that slices before each have used
        array = [0.0]  # when the array has finished so many slices
        delivered, slice_of = 0.0, 0
        for layer, slices in zip(self.layers, self.slices, strict=True):
            first, share = len(array) - 1, layer.compute_bound / max(1, slices)
            for index in range(first, first + slices):
                # the bytes of slice `index` fit once the array has come to a slice that leaves room for them
                while slice_of < index and needed[slice_of] + self.arch.sram_bytes < needed[index]:
                    slice_of += 1
                transfer = self.sizes[index] / bandwidth
                delivered = max(delivered, array[min(slice_of, index)]) + transfer
                start = max(array[-1], delivered - transfer + latency)  # a slice may begin with its first byte
                array.append(start + share)
            if layer.fill_bound:  # what the last byte is for comes behind it
                begun = array[first + 1] - share
                filled = begun + layer.compute_bound + layer.fill_bound
                array[-1] = max(array[-1], filled, delivered + latency + _fill(self.arch))
        moved = needed[-1] + self.border
        sent = 1 + latency if self.stored and any(layer.fill_bound for layer in self.layers) else 0
        return int(max(moved / bandwidth + latency if moved else 0, array[-1] + sent))


# ---- accumulators


def _overflow_bound(op: Op, arch: Architecture) -> int:
    if isinstance(op, ScaleChannels):
        return largest_product(op.cut.lsb, op.start, arch)
    if isinstance(op, ConvTranspose2d):
        weights = (op.weight_of(*kernels) for kernels in op.sub_convolutions())
        return max(largest_possible_sum(weight, op.bias, op.cut, arch) for weight in weights)
    return largest_possible_sum(op.weight, op.bias, op.cut, arch) if isinstance(op, Conv2d | Dense) else 0


def largest_product(lsb: int, start: int, arch: Architecture) -> int:
    """The largest |sum| of a product of two bytes that starts from `start`, rounding half included."""
    low, high = arch.data_min * arch.data_max, arch.data_min**2
    return max(-low - start - arch.half(lsb), high + start + arch.half(lsb))


def largest_possible_sum(weight: Int8Array, bias: Int32Array, cut: Cut, arch: Architecture) -> int:
    """The largest |sum| that any input can cause, from the weights' L1 norm; weight (O, ...), bias (O,), rounding half included."""
    low, high = sum_range(weight, bias.astype(np.int64) + cut.halves(arch), (arch.data_min, arch.data_max))
    return int(max(-low.min(), high.max()))


def sum_range(
    weight: npt.NDArray[np.signedinteger], start: npt.NDArray[np.int64], source: tuple[int, int]
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Smallest and largest sum (O,) of weight (O, ...) and inputs within `source` that starts at `start` (O,)."""
    rows = weight.reshape(len(weight), -1)
    positive = np.maximum(rows, 0).sum(1, dtype=np.int64)
    negative = positive - rows.sum(1, dtype=np.int64)
    low, high = source
    return start + low * positive - high * negative, start + high * positive - low * negative
