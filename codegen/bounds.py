"""What no schedule can beat: compute at the best mapping, and each byte that must cross the DRAM border, once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.constants import BIAS_BYTES
from tvm_re2na.codegen.graph import Conv2d, Dense, Graph, Int8Array, Int32Array, Op


@dataclass(frozen=True)
class LayerBound:
    """For one run of the program. `overflow_bound`: largest |sum| of an accumulator for any int8 input (L1 norm of the weights)."""

    cycles_bound: int
    dram_bytes_compulsory: int
    overflow_bound: int


def layer_bounds(graph: Graph, arch: Architecture) -> list[LayerBound]:
    """One per operator, in order."""
    return [_layer(graph, op, arch) for op in graph.ops]


def total_bound(graph: Graph, arch: Architecture) -> tuple[int, int]:
    """Cycles and DRAM bytes of the network: the longer of all compute and all compulsory transfers."""
    compute = sum(compute_cycles(graph, op, arch) for op in graph.ops)
    traffic = sum(_compulsory(graph, op) for op in graph.ops)
    return max(compute, -(-traffic // arch.dram_bytes_per_cycle)), traffic


def compute_cycles(graph: Graph, op: Op, arch: Architecture) -> int:
    """MAC cycles of the best mapping. Pooling and addition count nothing: they might hide in the output path."""
    if isinstance(op, Conv2d):
        batch, outputs, height, width = graph.shapes[op.output]
        steps = int(np.prod(op.weight.shape[1:]))
        return (
            _blocks(outputs, op.groups, arch)
            * -(-batch * height * width // arch.array_columns)
            * steps
            * arch.mac_interval
        )
    if isinstance(op, Dense):
        batch, (outputs, inputs) = graph.shapes[op.output][0], op.weight.shape
        as_dense = batch * -(-outputs // arch.pe_count)
        as_conv = -(-outputs // arch.array_rows) * -(-batch // arch.array_columns)
        return int(min(as_dense, as_conv) * inputs * arch.mac_interval)
    return 0


def _blocks(outputs: int, groups: int, arch: Architecture) -> int:
    per_group = outputs // groups
    if per_group >= arch.array_rows:
        return groups * -(-per_group // arch.array_rows)
    return -(-groups // (arch.array_rows // per_group))


def _layer(graph: Graph, op: Op, arch: Architecture) -> LayerBound:
    traffic = _compulsory(graph, op)
    cycles = max(compute_cycles(graph, op, arch), -(-traffic // arch.dram_bytes_per_cycle))
    return LayerBound(cycles, traffic, _overflow_bound(op, arch))


def _compulsory(graph: Graph, op: Op) -> int:
    """Weights and biases, and what the operator is the first to read or the one to write of the network's border."""
    size = op.weight.size + BIAS_BYTES * op.bias.size if isinstance(op, Conv2d | Dense) else 0
    for name in dict.fromkeys(op.inputs):
        if name in graph.inputs and graph.consumers(name)[0] is op:
            size += int(np.prod(graph.shapes[name]))
    return size + (int(np.prod(graph.shapes[op.output])) if op.output in graph.outputs else 0)


def _overflow_bound(op: Op, arch: Architecture) -> int:
    return largest_possible_sum(op.weight, op.bias, op.cut.lsb, arch) if isinstance(op, Conv2d | Dense) else 0


def largest_possible_sum(weight: Int8Array, bias: Int32Array, lsb: int, arch: Architecture) -> int:
    """The largest |sum| that any input can cause, from the weights' L1 norm; weight (O, ...), bias (O,), rounding half included."""
    rows = weight.reshape(len(weight), -1)
    total, size = rows.sum(1, dtype=np.int64), np.abs(rows, dtype=np.int16).sum(1, dtype=np.int64)
    positive, negative = (size + total) // 2, (size - total) // 2
    start, low, high = bias.astype(np.int64) + arch.half(lsb), -arch.data_min, arch.data_max
    return int(np.maximum(start + high * positive + low * negative, low * positive + high * negative - start).max())
