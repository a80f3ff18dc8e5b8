"""The operators of two tensors: one entry here is all that a front end needs of one.

In Relay they are QNN operators with the scales and zero points of both operands and of the result, or plain ones where all have one
scale; in Relax operators in floating point between `dequantize` and `quantize`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy.typing as npt

from tvm_re2na.codegen.offload.operator import Operator, Rescale, Tensor
from tvm_re2na.frontends.common.description import Bounds, product_of, scales_of


@dataclass(frozen=True)
class Pair:
    """Its name in both TVMs, that of Relay's QNN operator, an empty string where all must have one scale, and the ONNX nodes that
    become it. `multiplies`: the product is rescaled; otherwise each operand is, before anything else happens."""

    name: str
    qnn: str
    nodes: tuple[str, ...]
    multiplies: bool = False

    @property
    def integers(self) -> str:
        """Relay's operator on integers."""
        return self.qnn or self.name


PAIRS: Mapping[str, Pair] = {
    "add": Pair("add", "qnn.add", ("Add",)),
    "sub": Pair("subtract", "qnn.subtract", ("Sub",)),
    "mul": Pair("multiply", "qnn.mul", ("Mul",), multiplies=True),
    "max": Pair("maximum", "", ("Max",)),
    "min": Pair("minimum", "", ("Min",)),
}


def describe_pair(
    kind: str,
    data: Sequence[Tensor],
    scales: Sequence[npt.NDArray[Any] | None],
    zero_points: Sequence[int | None],
    result: Tensor,
    after: Bounds | None,
) -> Operator:
    """`scales` and `zero_points` of both operands and of the result, if they are rescaled; None is no constant."""
    if not PAIRS[kind].qnn:
        return Operator(kind, tuple(data), result, after=after)
    left, right, target = scales
    sources = [product_of(left, right)] if PAIRS[kind].multiplies else [left, right]
    rescales = tuple(Rescale(scales_of(source), scales_of(target)) for source in sources)
    return Operator(kind, tuple(data), result, rescales, tuple(zero_points), after=after)
