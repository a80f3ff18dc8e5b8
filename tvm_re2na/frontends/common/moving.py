"""The operators that move or compare elements and leave their scale alone: one entry here is all that a front end needs of one.

Their data is the first operand; what they do stands in attributes, which have the same names in both TVMs, and in constants.
After the integers have been found, Relay has such an operator as it is, Relax between a `dequantize` and a `quantize` of the same
scale.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar

from tvm_re2na.codegen.offload.operator import Operator, Tensor
from tvm_re2na.frontends.common.description import (
    Bounds,
    Constants,
    Shape,
    depth_to_space,
    max_pool2d,
    resize2d,
    strided_slice,
    take,
)

# of the attributes, the values of further operands, the data,
# the shape before what follows the operator, the result, the bounds of the clamps behind it
Describe: TypeAlias = Callable[[Any, Constants, Tensor, Shape, Tensor, Bounds | None], Operator]
T = TypeVar("T")


@dataclass(frozen=True)
class Moving:
    """The calls of either TVM that are an operator of this kind, with how many operands they have besides the data, and the ONNX
    nodes that become Relax's (`nodes.py`)."""

    relay: Mapping[str, int]
    relax: Mapping[str, int]
    nodes: Mapping[str, tuple[str, ...]]
    describe: Describe
    clamped: bool = False  # whether clamps behind it are part of it
    always: bool = True  # whether it leaves the scale alone whatever its attributes are


def _reshape(
    attrs: Any, constants: Constants, data: Tensor, moved: Shape, result: Tensor, after: Bounds | None
) -> Operator:
    del attrs, constants, moved, after
    return Operator("reshape", (data,), result)


MOVING: dict[str, Moving] = {
    "max_pool2d": Moving(
        {"nn.max_pool2d": 0}, {"nn.max_pool2d": 0}, {"nn.max_pool2d": ("MaxPool",)}, max_pool2d, clamped=True
    ),
    "resize2d": Moving(
        {"image.resize2d": 0},
        {"image.resize2d": 1},
        {"image.resize2d": ("Resize",)},
        resize2d,
        clamped=True,
        always=False,
    ),
    "depth_to_space": Moving(
        {"nn.depth_to_space": 0},
        {"nn.pixel_shuffle": 0},
        {"nn.depth_to_space": ("DepthToSpace",), "nn.pixel_shuffle": ("DepthToSpace",)},
        depth_to_space,
        clamped=True,
    ),
    "take": Moving({"take": 1}, {"take": 1}, {"take": ("Gather",)}, take),
    "strided_slice": Moving({"strided_slice": 0}, {"strided_slice": 4}, {"strided_slice": ("Slice",)}, strided_slice),
    "reshape": Moving(
        {"reshape": 0, "squeeze": 0, "expand_dims": 0, "nn.batch_flatten": 0},
        {"reshape": 1, "squeeze": 0, "expand_dims": 0, "flatten": 0},
        {"reshape": ("Flatten", "Reshape")},
        _reshape,
    ),
}


def describers(taken_apart: Callable[..., T]) -> dict[str, Callable[..., T]]:
    """For each of these kinds what describes a form of it: `taken_apart`, a function of a front end, with the kind's `Describe`."""
    return {kind: partial(taken_apart, moving.describe) for kind, moving in MOVING.items()}
