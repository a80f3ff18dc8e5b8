"""An operator as a front end found it: nothing of TVM in it, everything that the rules ask about."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TypeAlias, TypeVar

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arithmetic import compose, exponent, half
from tvm_re2na.codegen.graph.ops import ChannelNumbers, Cut, Window, four_axes

Scalar: TypeAlias = int | float | str
IntArray: TypeAlias = npt.NDArray[np.signedinteger]
INT32 = np.iinfo(np.int32)
EVERY_SUM = (int(INT32.min), int(INT32.max))
LINEAR = ("conv2d", "conv2d_transpose", "dense")
SUMS = ("add", "sub")  # of two tensors
RESCALED = (*LINEAR, *SUMS, "mul")
EXTREMA = ("max", "min")  # of two tensors
SELECTING = ("take", "strided_slice")
WINDOWED = ("conv2d", "conv2d_transpose", "max_pool2d")
KINDS = (
    "conv2d",
    "conv2d_transpose",
    "dense",
    "max_pool2d",
    "resize2d",
    "depth_to_space",
    "add",
    "sub",
    "mul",
    "max",
    "min",
    "concat",
    "take",
    "strided_slice",
    "reshape",
    "pad",
    "clip",
    "lookup",
)
T = TypeVar("T")


def by_kind(**values: T) -> dict[str, T]:
    """One value for each kind of operator, in the order of KINDS. Raises TypeError for one too few or too many."""
    if values.keys() != set(KINDS):
        raise TypeError(f"kinds of operators without a value, or the other way round: {values.keys() ^ set(KINDS)}")
    return {kind: values[kind] for kind in KINDS}


@dataclass(frozen=True)
class Tensor:
    """An operand or result. A size that is not known before the model runs is None."""

    shape: tuple[int | None, ...]
    dtype: str = "int8"
    constant: bool = False

    @property
    def sizes(self) -> tuple[int, ...]:
        """The shape of a static tensor."""
        return tuple(size or 0 for size in self.shape)


@dataclass(frozen=True)
class Rescale:
    """A change of scale: of a sum or product to the result, or of one operand of an addition to the result.

    Several scales belong to one channel each; an empty tuple is a scale that is not constant. `ties_away` rounds exact
    halves away from zero; otherwise they go up.
    """

    source: tuple[float, ...]
    target: tuple[float, ...]
    ties_away: bool = False

    @property
    def shift(self) -> int:
        """Bits cut off below the result, by one scale for all channels; the scales must be powers of two."""
        return self.shifts[0]

    @property
    def shifts(self) -> tuple[int, ...]:
        """The same, of each scale."""
        return tuple(exponent(self.target[0]) - exponent(scale) for scale in self.source)


@dataclass(frozen=True, eq=False)
class Operator:
    """A quantised operator as a front end found it. `before` clamps the sum, `after` the result; None is no whole number.

    `weight`: (O, C / groups, kh, kw) or (O, C), of a transposed convolution as well. `window`: of what takes a part, of one pixel,
    its padding what is left out; None is no such part. `beyond`: channels that a padding puts before and behind. `factors`: how
    often a resizing repeats each row and each column, None is another resizing; rows and columns of the blocks that channels
    become. `axis`: of a concatenation or of what takes a part; `operands`: which of the arguments, that are there once each, a
    concatenation puts there, in order; `channels`: those that are taken, None is no constant choice of channels, or the order in
    which they become blocks, pixel by pixel. `table`: of a lookup, as of `graph.ops.Lookup`.
    """

    kind: str
    inputs: tuple[Tensor, ...]
    output: Tensor
    rescales: tuple[Rescale, ...] = ()
    zero_points: tuple[int | None, ...] = ()
    weight: IntArray | None = None
    bias: IntArray | None = None
    window: Window | None = None
    groups: int = 1
    layouts: tuple[str, ...] = ()
    before: tuple[int, int] | None = EVERY_SUM
    after: tuple[int, int] | None = (-128, 127)
    pad_value: float | None = 0
    beyond: tuple[int, int] = (0, 0)
    factors: tuple[int, int] | None = None
    axis: int = 1
    operands: tuple[int, ...] = ()
    channels: ChannelNumbers | None = None
    table: npt.NDArray[np.int8] | None = None

    @property
    def splits_ties(self) -> bool:
        """Whether ties are rounded away from zero where that shows: below zero, with bits cut off."""
        ties_away = bool(self.rescales) and self.rescales[0].ties_away
        below = all(bounds is not None and bounds[0] < 0 for bounds in (self.before, self.after))
        return ties_away and below and max(self.rescales[0].shifts) > 0

    @property
    def scale_operand(self) -> int:
        """Which operand of a product has one pixel; the second, if both have or neither."""
        first, second = (four_axes(tensor.sizes)[2:] == (1, 1) for tensor in self.inputs)
        return 0 if first and not second else 1

    @property
    def entries(self) -> npt.NDArray[np.int8] | None:
        """Those of the table, that of -128 first."""
        return None if self.table is None else np.roll(self.table, len(self.table) // 2)

    def cut(self) -> Cut:
        """The cut of a linear operator or product. Shifting keeps the order, so bounds of the sum become bounds of the result."""
        shifts = self.rescales[0].shifts
        low, high = self.bounds(shifts[0])
        return Cut(shifts[0], low, high, shifts[1:] and shifts)

    def bounds(self, lsb: int) -> tuple[int, int]:
        """What all clamps leave of the results of a linear operator or product that cuts off `lsb` bits."""
        low, high = ((bound + half(lsb)) >> lsb for bound in self.before or EVERY_SUM)
        return compose((low, high), compose((-128, 127), self.after or (-128, 127)))
