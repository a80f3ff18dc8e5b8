"""The vector instructions that the kernels are made of, and which of them a target has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import tvm

from tvm_re2na.kernels.dialect import intrinsic, tir

# LLVM's first level builds in half the time of its third; the kernels are as fast, for their vectors are spelled out
LEVEL = 1
Expr = Any


@dataclass(frozen=True)
class Instructions:
    """`lanes` sums of 32 bit fit a register. `multiply_add` is LLVM's name of the instruction for pairs, if there is one."""

    name: str
    lanes: int
    registers: int
    features: tuple[str, ...] = ()
    multiply_add: str | None = None

    @property
    def accumulators(self) -> int:
        """Registers for sums; the others hold operands and products."""
        return self.registers * 3 // 4

    def dot(self, a: Expr, b: Expr) -> Expr:
        """a0 * b0 + a1 * b1 in each lane of two vectors of `pair`s."""
        if self.multiply_add is None:
            half = self.spread(tir.const(16, "int32"))
            return ((a << half) >> half) * ((b << half) >> half) + (a >> half) * (b >> half)
        halves = f"int16x{2 * self.lanes}"
        operands = (tir.reinterpret(halves, value) for value in (a, b))
        return intrinsic(f"int32x{self.lanes}", self.multiply_add, *operands)

    def vector(self, start: Expr) -> Expr:
        """The index of as many elements as there are lanes."""
        return tir.Ramp(start, 1, self.lanes)

    def spread(self, value: Expr) -> Expr:
        """One number in all lanes."""
        return tir.Broadcast(value, self.lanes)


def pair(low: Expr, high: Expr) -> Expr:
    """Two numbers of 16 bit, widened to 32, in one of 32 bit."""
    return (low & 0xFFFF) | (high << 16)


AVX512 = Instructions("avx512", 16, 32, ("avx512f", "avx512bw"), "llvm.x86.avx512.pmaddw.d.512")
AVX2 = Instructions("avx2", 8, 16, ("avx2",), "llvm.x86.avx2.pmadd.wd")
PORTABLE = Instructions("portable", 4, 16)
X86 = (AVX512, AVX2)


def instructions_of(target: tvm.target.Target) -> Instructions | None:
    """The widest that a target names a processor for; None of one that names no processor."""
    if not target.attrs.get("mcpu"):
        return None
    known = set(tvm.target.codegen.llvm_get_cpu_features(target))
    return next((found for found in X86 if known.issuperset(found.features)), PORTABLE)
