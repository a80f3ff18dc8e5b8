"""A unit of work on stored tensors, and what every kind of it says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, TypeAlias

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Place
from tvm_re2na.codegen.emit.views import Geometry, View
from tvm_re2na.codegen.emit.writer import Setting, Writer
from tvm_re2na.codegen.graph.ops import Op, Shape4, Window
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.blocks import Block, Weights

Rows: TypeAlias = tuple[int, int]  # first, behind the last
Columns: TypeAlias = tuple[int, int]  # the same
Tiles: TypeAlias = Mapping[int, int]  # outputs of one channel -> tiles that have so many


class Among(NamedTuple):
    """Neighbouring channels, or columns, of a stored tensor: the first of them, and how many the tensor has."""

    first: int
    total: int


class Sampling(NamedTuple):
    """Of an image of `height` x `width` pixels every `rows`-th row is read, and of that every `columns`-th pixel."""

    rows: int
    columns: int
    height: int
    width: int


@dataclass(frozen=True)
class Work:
    """Some rows of a unit's output, of some images, for some blocks of weights. `target`: where channel 0 of the first row lies."""

    first_image: int
    images: int
    rows: Rows
    sources: tuple[View, ...]
    target: View
    blocks: Sequence[Block] = ()
    array_rows: int = 0  # of the shape
    record: Callable[[Block], Hashable] = id  # the buffer that holds a block's bytes, which are loaded there
    sums: Hashable = None  # the buffer in which sums wait for their next part


@dataclass(frozen=True, eq=False)
class Unit(ABC):
    """Reads stored tensors `inputs`, writes `output`; shapes are (N, C, H, W). `source` is the operator's index in the graph.

    The channels that it sees may be some of a stored tensor's: `among` tells for each input (without entries: all of them),
    `out_first` is the first that it writes. So may the columns: `beside`, `out_column`.
    """

    source: int
    inputs: tuple[str, ...]
    output: str
    in_shape: Shape4
    out_shape: Shape4
    among: tuple[Among, ...] = field(default=(), kw_only=True)
    out_first: int = field(default=0, kw_only=True)
    beside: tuple[Among, ...] = field(default=(), kw_only=True)
    out_column: int = field(default=0, kw_only=True)
    # of inputs[0], where it is loaded without the other pixels
    sampling: Sampling | None = field(default=None, kw_only=True)

    made_of: ClassVar[dict[type[Op], type[Unit]]] = {}  # operators that become a unit each, whatever stands beside them
    by_channel: ClassVar[bool] = False  # it works on each channel by itself, in whatever order they lie
    codable: ClassVar[bool] = True  # what its blocks hold are weights, which a machine may decode
    plain: ClassVar[bool] = False  # it goes through bytes in a row: it reads and makes all channels of stored tensors

    def __init_subclass__(cls, of: tuple[type[Op], ...] = ()) -> None:
        """`of`: the operators that `made` makes such a unit of."""
        Unit.made_of |= dict.fromkeys(of, cls)

    @classmethod
    def made(cls, op: Op, source: int, inputs: tuple[str, ...], in_shape: Shape4, out_shape: Shape4) -> Unit:
        """The unit that computes an operator."""
        raise TypeError(f"{op.name}: no unit computes {op.kind}")

    @classmethod
    def pixel_step(cls, op: Op) -> int:
        """How many pixels it is, at most, from one that an instruction writes to the next."""
        del op
        return 1

    @property
    def joins_cascades(self) -> bool:
        """Whether it works strip by strip, never goes back to rows that it has not needed before, and sees tensors in the shape in
        which they are stored."""
        return True

    @property
    @abstractmethod
    def kind(self) -> str:
        """In dumps."""

    @abstractmethod
    def cycles(self, weights: Weights, tiles: Tiles, steps: int, durations: Durations) -> int:
        """On the array, for all of the tiles; `steps` as for `records`."""

    @abstractmethod
    def settings(self, weights: Weights) -> list[Setting]:
        """What the array is set to for the instructions of a tile, one after the other."""

    @abstractmethod
    def draft(self, work: Work, writer: Writer) -> None:
        """The instructions for some work."""

    def operand_shape(self, operand: int) -> Shape4:
        """How the unit sees an input; a stored tensor may be seen in several shapes of the same byte order."""
        del operand
        return self.in_shape

    def part(self, operand: int) -> Among:
        """Which channels of the stored tensor an input is."""
        return self.among[operand] if self.among else Among(0, self.operand_shape(operand)[1])

    def columns(self, operand: int) -> Among:
        """Which columns of the stored tensor an input is."""
        return self.beside[operand] if self.beside else Among(0, self.operand_shape(operand)[3])

    def stored_shape(self, operand: int) -> Shape4:
        """`operand_shape` with all channels and columns of the stored tensor."""
        batch, _, height, _ = self.operand_shape(operand)
        return batch, self.part(operand).total, height, self.columns(operand).total

    def needed_rows(self, operand: int, rows: Rows) -> Rows:
        """Rows of an input that are needed for some (not no) rows of the output."""
        del operand
        return rows

    def needed_columns(self, operand: int, columns: Columns) -> Columns:
        """The same for columns."""
        del operand
        return columns

    @property
    def column_step(self) -> int:
        """What makes some columns of the output begins at a multiple of so many."""
        return 1

    def narrowed(self, columns: Columns) -> Unit:
        """What makes some columns of the output."""
        return replace(self, **self.narrowed_fields(columns))

    def narrowed_fields(self, columns: Columns) -> dict[str, Any]:
        """Those of its fields that are others then."""
        needed = [self.needed_columns(operand, columns) for operand in range(len(self.inputs))]
        beside = (self.columns(operand) for operand in range(len(self.inputs)))
        return {
            "in_shape": (*self.in_shape[:3], needed[0][1] - needed[0][0]),
            "out_shape": (*self.out_shape[:3], columns[1] - columns[0]),
            "beside": tuple(Among(seen.first + own[0], seen.total) for seen, own in zip(beside, needed, strict=True)),
            "out_column": self.out_column + columns[0],
        }

    @property
    def whole(self) -> Hashable:
        """The same for all that make columns of what one unit made before it was cut."""
        return self.source, self.output, self.out_first

    @property
    def replaceable(self) -> tuple[str, ...]:
        """Inputs whose bytes the output may take as it is written."""
        return self.inputs

    def shapes(self, arch: Architecture) -> list[int]:
        """Rows of the array's shapes that the unit can work in; none where it has no weights to spread over them."""
        del arch
        return []

    def blocks(self, rows: int, arch: Architecture, depth: int = 0) -> list[Block]:
        """Of its weights, for one of those shapes; sums in parts of `depth` input channels, if it can (`part_depths`)."""
        del rows, arch, depth
        return []

    def part_depths(self) -> list[int]:
        """Input channels of the parts in which its sums may be formed, the most first."""
        return []

    @property
    def sampled(self) -> Unit | None:
        """The same of an input that has only the pixels which are read, where some are not."""
        return None

    def fetch(self, work: Work, writer: Writer) -> None:
        """What comes back of what `draft` sent through DRAM (`scratch`), once all of it is there."""
        del work, writer

    @property
    def pooled(self) -> int:
        """Results on the array that become one output."""
        return 1

    @property
    def is_joined(self) -> bool:
        """Whether it does what two units could do one after the other."""
        return False

    def part_steps(self, arch: Architecture) -> list[int]:
        """Steps at a time of a sum that is cut because its weights are larger than what is worth one transfer, the most first; none
        where sums are computed as a whole."""
        del arch
        return []

    def rows_at_once(self, rows: int) -> int:
        """Input rows that go through DRAM at a time, where `rows` of the output come back at a time; none where none goes."""
        del rows
        return 0

    def records(self, weights: Weights, steps: int, arch: Architecture) -> Sequence[Block]:
        """What is loaded of its weights, in order; of a sum that is cut, parts of at most so many steps."""
        del steps, arch
        return weights.blocks

    @property
    def streamed_bytes(self) -> int:
        """Of weights that are in no blocks of a shape."""
        return 0

    def parts_of_sums(self, steps: int, arch: Architecture) -> int:
        """How many records there are of those."""
        del steps, arch
        return 1

    def part_bytes(self, steps: int, arch: Architecture) -> int:
        """The most that one of them has."""
        del steps, arch
        return 0

    @property
    def scratch_bytes(self) -> int:
        """Of DRAM, that all of the output goes through."""
        return 0

    @property
    def scratch(self) -> Hashable:
        """That piece of DRAM."""
        return ("scratch", self.output)

    def geometry(self, window: Window, work: Work, pooled: int = 1) -> Geometry:
        """The window slid over the input rows that are there to make the output's, each `pooled` rows of results."""
        (first, last), (start, stop) = self.needed_rows(0, work.rows), work.rows
        top = start * pooled * window.stride[0] - window.padding[0]
        width, out_width = self.in_shape[3], self.out_shape[3]
        height, pad_top = (last - first, first - top) if last > first and width else (0, 0)
        return Geometry(work.sources[0], work.target, work.images, height, width, stop - start, out_width, pad_top)


def row_bytes(shape: Shape4) -> int:
    """Bytes of one row of pixels."""
    return shape[3] * shape[1]


def seen_places(window: Window, axis: int, outputs: Rows, size: int) -> Rows:
    """Input rows (axis 0), or columns (1), that the output's see, inside an image of `size`; empty where only padding is seen."""
    start, stop = _reached(window, axis, outputs)
    first = min(max(start, 0), size)
    return first, max(min(stop, size), first)


def _reached(window: Window, axis: int, outputs: Rows) -> Rows:
    """The same, padding included."""
    start = outputs[0] * window.stride[axis] - window.padding[axis]
    return start, (outputs[1] - 1) * window.stride[axis] - window.padding[axis] + window.reach[axis]


def narrowed_window(window: Window, columns: Columns, width: int) -> Window:
    """Slid over the columns that some of the output's see of `width`: with the padding that these do."""
    (start, stop), (first, last) = _reached(window, 1, columns), seen_places(window, 1, columns, width)
    left, right = (first - start, stop - last) if first < last else (0, 0)
    return replace(window, padding=(window.padding[0], left, window.padding[2], right))


def record_places(block: Block, record: Hashable) -> dict[str, Place]:
    """Addresses of a block's biases, bitmap and lines of weights in the buffer that holds its record."""
    # the address of no lines must be one all the same
    lines = block.bias_bytes + block.mask_bytes if block.steps else 0
    places = {"bias_addr": Place("sram", record, 0), "weight_addr": Place("sram", record, lines)}
    return places if block.mask is None else {**places, "mask_addr": Place("sram", record, block.bias_bytes)}
