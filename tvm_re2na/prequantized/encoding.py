"""How integers stand for real numbers: `real = (q - zero) * scale`, q within bounds."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np

from tvm_re2na.prequantized.errors import PrequantizedError
from tvm_re2na.quantize.net import Array

INT8 = (-128, 127)


@dataclass(frozen=True, eq=False)
class Encoding:
    """`scale` (float64) and `zero` (int64) have one value, or one for each index of `axis`; `low` and `high` bound the integers."""

    scale: Array
    zero: Array
    kind: str
    low: int
    high: int
    axis: int = 1

    @property
    def bounds(self) -> tuple[float, float]:
        """The real numbers that the integers reach: what lies outside saturates. Only where there is one scale."""
        scale, zero = float(self.scale.flat[0]), int(self.zero.flat[0])
        return (self.low - zero) * scale, (self.high - zero) * scale

    @property
    def per_tensor(self) -> bool:
        """Whether all channels have the same scale and zero point."""
        return len(np.unique(self.scale)) == 1 and len(np.unique(self.zero)) == 1

    def is_exact(self, low: int = INT8[0], high: int = INT8[1]) -> bool:
        """Whether the machine's integers (`low`..`high`) mean the same: int8, one power-of-two scale, zero point 0."""
        scale = float(self.scale.flat[0])
        plain = self.kind == "int8" and self.per_tensor and not self.zero.any() and low <= self.low <= self.high <= high
        return plain and math.frexp(scale)[0] == 0.5

    def same_as(self, other: Encoding) -> bool:
        """Whether integers mean the same in both (how far they reach may differ)."""
        return np.array_equal(self.scale, other.scale) and np.array_equal(self.zero, other.zero)

    def within(self, bounds: tuple[float, float]) -> Encoding:
        """The same for real numbers that keep to `bounds`: fewer integers are reached."""
        if not self.per_tensor:
            return self
        scale, zero = float(self.scale.flat[0]), int(self.zero.flat[0])
        integers = [round(bound / scale) + zero if math.isfinite(bound) else None for bound in bounds]
        low = self.low if integers[0] is None else min(max(integers[0], self.low), self.high)
        high = self.high if integers[1] is None else max(min(integers[1], self.high), self.low)
        return dataclasses.replace(self, low=low, high=high)

    def to_real(self, integers: Array) -> Array:
        """float32 of integers; computed in float32 as ONNX's DequantizeLinear does."""
        scale, zero = (self.along(value, integers.ndim) for value in (self.scale, self.zero))
        real: Array = (integers.astype(np.int64) - zero).astype(np.float32) * scale.astype(np.float32)
        return real

    def to_integers(self, real: Array) -> Array:
        """int64 of real numbers, ties to even, saturated."""
        scale, zero = (self.along(value, real.ndim) for value in (self.scale, self.zero))
        rounded = np.rint(real.astype(np.float32) / scale.astype(np.float32)).astype(np.int64) + zero
        integers: Array = np.clip(rounded, self.low, self.high)
        return integers

    def along(self, values: Array, rank: int) -> Array:
        if values.size == 1:
            return values.reshape(())
        shape = [1] * rank
        shape[self.axis] = values.size
        return values.reshape(shape)


def encoding(where: str, scale: Array | None, zero: Array | None, kind: str, axis: int = 1) -> Encoding:
    """Of constants of an ONNX file; `kind` is the integers' type. Raises PrequantizedError naming `where`."""
    if scale is None:
        raise PrequantizedError(
            f"{where}: its scale is computed, expected a constant (dynamic quantisation is not known)"
        )
    if scale.ndim > 1:
        raise PrequantizedError(f"{where}: its scale has shape {scale.shape}, expected one per tensor or per channel")
    if not np.isfinite(scale).all() or (scale <= 0).any():
        raise PrequantizedError(f"{where}: scale {float(scale.min())}, expected finite numbers above 0")
    if kind not in WIDTHS:
        raise PrequantizedError(f"{where}: its data are {kind}, known are {', '.join(WIDTHS)}")
    zeros = np.zeros(1, np.int64) if zero is None else zero.astype(np.int64).reshape(-1)
    return Encoding(scale.astype(np.float64).reshape(-1), zeros, kind, *WIDTHS[kind], axis)


def _range(bits: int, signed: bool) -> tuple[int, int]:
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if signed else (0, 2**bits - 1)


WIDTHS = {f"{sign}int{bits}": _range(bits, not sign) for bits in (4, 8, 16, 32) for sign in ("", "u")}
