"""The same elements in another order of bytes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.writer import Writer
from tvm_re2na.codegen.schedule.unit.base import Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Weights


@dataclass(frozen=True, eq=False)
class RelayoutUnit(Unit):
    """The same elements in (N, C, H, W) order, stored for another shape: bytes move through DRAM, by transfers alone."""

    joins_cascades = False

    @property
    def kind(self) -> str:
        return "relayout"

    @property
    def scratch_bytes(self) -> int:
        return math.prod(self.out_shape)

    def cycles(self, weights: Weights, tiles: Sequence[int], arch: Architecture) -> int:
        return self.alu_cycles(1, tiles, arch)

    def draft(self, work: Work, writer: Writer) -> None:
        raise NotImplementedError("a relayout is transfers, which its stage makes")
