"""Stage `layout`: where constants, inputs, outputs and spilled tensors lie in DRAM."""

from __future__ import annotations

from dataclasses import dataclass

from tvm_re2na.codegen.memory import aligned
from tvm_re2na.codegen.plan import Plan, uses_scratch


@dataclass(frozen=True)
class DramLayout:
    """Addresses in bytes. `records`: weight blocks by (unit, first output channel). `scratch`: by unit."""

    constants: bytes
    records: dict[tuple[int, int], int]
    tensors: dict[str, int]
    inputs: frozenset[str]
    scratch: dict[int, int]
    dram_bytes: int


def lay_out(plan: Plan) -> DramLayout:
    """Constants first and unpadded, then every tensor that DRAM has to hold."""
    records, parts, size = {}, [], 0
    for index, blocks in enumerate(plan.blocks):
        for block in blocks:
            records[(index, block.out_c0)] = size
            parts.append(block.record)
            size += block.bytes
    graph = plan.graph
    border = {stored for _, _, stored in (*graph.inputs, *graph.outputs)}
    tensors: dict[str, int] = {}
    scratch: dict[int, int] = {}
    end = aligned(size)
    for name, stored in graph.stored.items():
        if name in border or name not in plan.resident:
            tensors[name] = end
            end += aligned(stored.bytes)
    for index, unit in enumerate(graph.units):
        if uses_scratch(unit):
            scratch[index] = end
            end += aligned(graph.stored[unit.output].bytes)
    inputs = frozenset(stored for _, _, stored in graph.inputs)
    return DramLayout(b"".join(parts), records, tensors, inputs, scratch, end)
