"""One TVM's expressions, read through one class: what the forms of a QDQ model ask of them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeAlias

import numpy.typing as npt

from tvm_re2na.codegen.offload.operator import Tensor
from tvm_re2na.frontends.common import description
from tvm_re2na.frontends.common.description import Shape

Expr: TypeAlias = Any  # of either TVM, which carry no types


@dataclass(frozen=True)
class Quantity:
    """One operand of a `quantize` or `dequantize`, with its scale and zero point."""

    data: Expr
    scale: npt.NDArray[Any] | None
    zero: int | None

    @property
    def scales(self) -> tuple[float, ...]:
        return description.scales_of(self.scale)


class Weight(NamedTuple):
    """The `dequantize` of a linear operator's weights, and whether their output channels stand last."""

    dequantized: Expr
    channels_last: bool = False


class Padding(NamedTuple):
    """Widths (low, high) of each axis, and the number that is padded with, None where it is no constant."""

    widths: Iterable[tuple[Any, Any]]
    value: float | None


class ExpressionReader(ABC):
    """One TVM's expressions. Operators are called as Relax calls them, without `relax.`."""

    holds_padding = True  # whether the padding before a convolution is part of its form
    arguments: Sequence[Expr] = ()  # of the function that is the form, if it is one already

    def __init__(
        self,
        op: Callable[[Expr], str],
        array: Callable[[Expr], npt.NDArray[Any] | None],
        shape: Callable[[Expr], Shape],
        dtype: Callable[[Expr], str],
    ) -> None:
        """How a TVM is read. `op`: the operator's name of a call, otherwise an empty string. `array`: the value of a constant,
        otherwise None. `shape`: sizes, those that are not known are None."""
        self.op = op
        self.array = array
        self.shape = shape
        self.dtype = dtype

    @abstractmethod
    def value(self, expr: Expr) -> Expr:
        """What a variable stands for; anything else stands for itself."""

    @abstractmethod
    def bias(self, node: Expr) -> Expr | None:
        """What `node` adds to sums, one number for each channel, or None if it is anything else."""

    @abstractmethod
    def weight(self, main: Expr) -> Weight:
        """Of a linear operator."""

    @abstractmethod
    def fields(self, expr: Expr) -> list[Expr]:
        """Of a tuple."""

    def is_clamp(self, expr: Expr) -> bool:
        """Of one tensor: a `maximum` may be of two."""
        name = self.op(expr)
        bounded = name not in description.EXTREMA or self.array(self.value(expr.args[1])) is not None
        return name in description.CLAMPS and bounded

    @abstractmethod
    def clamp(self, clamp: Expr) -> tuple[float | None, float | None]:
        """The bounds of a `clip`, of a `maximum` or `minimum`; None is no constant."""

    @abstractmethod
    def padding(self, pad: Expr) -> Padding:
        """Of an `nn.pad`."""

    def numbers(self, expr: Expr) -> npt.NDArray[Any] | None:
        """The constant numbers that an operand is."""
        return self.array(self.value(expr))

    def constant(self, expr: Expr) -> bool:
        return self.array(expr) is not None

    def number(self, expr: Expr) -> Any:
        """The one number that all elements of a constant have, otherwise None."""
        return description.one_number(self.array(self.value(expr)))

    def tensor(self, expr: Expr) -> Tensor:
        return Tensor(self.shape(expr), self.dtype(expr), self.constant(expr))

    def quantity(self, expr: Expr) -> Quantity:
        """Of a `quantize` or `dequantize`."""
        data, scale, zero = self.value(expr).args[:3]
        return Quantity(self.value(data), self.array(self.value(scale)), self.number(zero))
