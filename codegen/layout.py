"""Pass `layout`: where constants, inputs, outputs and spilled tensors lie in DRAM."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import dataclass

from tvm_re2na.codegen.bytes import aligned
from tvm_re2na.codegen.plan import Plan
from tvm_re2na.codegen.schedule.unit.blocks import Block, Bytes


@dataclass(frozen=True)
class DramLayout:
    """Addresses in bytes by piece: ("record", unit, output channel, input channel), ("tensor", name), ("scratch", name)."""

    constants: bytes
    addresses: dict[Hashable, int]
    dram_bytes: int

    def __str__(self) -> str:
        lines = [f"constants {len(self.constants)} bytes at 0"]
        lines += [f"{' '.join(map(str, key))} at {at}" for key, at in self.addresses.items() if isinstance(key, tuple)]
        return "\n".join([*lines, f"dram {self.dram_bytes} bytes"]) + "\n"


def lay_out(plan: Plan) -> DramLayout:
    """Constants first and unpadded, then every tensor that DRAM has to hold."""
    addresses: dict[Hashable, int] = {}
    parts: list[Bytes] = []
    size = 0
    for index, block in _blocks(plan):
        if plan.residence.records[index] != index:
            continue
        addresses[("record", index, block.out_c0, block.in_c0)] = size
        parts += block.record()
        size += block.dram_bytes
    graph, residence = plan.graph, plan.residence
    end = aligned(size)
    for name, stored in graph.stored.items():
        if name in residence.tensors.inputs or name in residence.stored:
            addresses[("tensor", name)] = end
            end += aligned(stored.bytes)
    for unit in graph.units:
        if unit.scratch_bytes:
            addresses[unit.scratch] = end
            end += aligned(unit.scratch_bytes)
    return DramLayout(b"".join(parts), addresses, end)


def _blocks(plan: Plan) -> Iterator[tuple[int, Block]]:
    for stage in plan.stages:
        for position, weights in enumerate(stage.weights):
            index = stage.first + position
            yield from ((index, block) for block in plan.weights.records(index, weights, stage.chunk))
