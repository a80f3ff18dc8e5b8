"""THE instruction table. Encoder, decoder, assembler, disassembler, C header, validator and documentation all derive from it.

An instruction is a little-endian bit string, fields packed from bit 0 in the order below, padded with zeros to whole 8-byte
words; its length follows from its opcode. Every number here is an ASSUMPTION: the hardware group has published no encoding.
Addresses and strides are in bytes; tensors lie in memory as (N, H, W, C), channels innermost.

What a field may hold stands with it, as far as it is an interval (`limits.py`). Relations that are none are left to the
instruction's check in `runtime/src/insn`: shapes that the array has, groups that divide channels, products of several fields
(n * out_c, pool_h * pool_w), bytes that lie in their memory.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from functools import cached_property


class Engine(enum.IntEnum):
    """The three engines; each runs its own instructions in program order."""

    LOAD = 0
    ARRAY = 1
    STORE = 2


class Mode(enum.IntEnum):
    """How the connections between the PBs are set; chosen by RECONFIGURE."""

    CONV = 0
    DENSE = 1
    GROUPED = 2
    POOL = 3
    ELTWISE = 4


ENGINES = tuple(Engine)


@dataclass(frozen=True)
class Field:
    """`bits` wide; a signed field is two's complement. `default`: its value where none is given; None: it must be given.

    It holds `least` to `limit`, a number or an expression (`expressions.py`) over fields of the instruction and of the machine;
    None: what its bits hold. A signed field's expression is the name of another one of as many bits. `where`: a field; where that
    is 0, this one means nothing, and may hold anything.
    """

    name: str
    bits: int
    doc: str
    signed: bool = False
    default: int | None = None
    least: int | None = None
    limit: int | str | None = None
    where: str | None = None

    @cached_property
    def lowest(self) -> int:
        """That its bits hold."""
        return -(1 << (self.bits - 1)) if self.signed else 0

    @cached_property
    def highest(self) -> int:
        """That its bits hold."""
        return (1 << (self.bits - self.signed)) - 1

    @cached_property
    def low(self) -> int:
        """The smallest that it may hold on any machine, beside any fields."""
        return self.lowest if self.least is None or self.where else self.least

    @cached_property
    def high(self) -> int:
        """The largest that it may hold on some machine, beside some fields."""
        return self.limit if isinstance(self.limit, int) and not self.where else self.highest

    @cached_property
    def is_limited(self) -> bool:
        """To less than its bits hold."""
        return self.least is not None or self.limit is not None


@dataclass(frozen=True)
class Group:
    """Fields that several instructions have alike. Where an instruction has all of them, the C header keeps them in one struct."""

    name: str  # of the member
    type: str  # of the struct: re2na_...
    doc: str  # of the type
    fields: dict[str, str]  # the instruction's field: its name in the struct


@dataclass(frozen=True)
class InstructionFormat:
    """One row of the table."""

    name: str
    opcode: int
    engine: Engine
    doc: str
    body: tuple[Field, ...]

    @cached_property
    def fields(self) -> tuple[Field, ...]:
        return HEADER + self.body

    @cached_property
    def defaults(self) -> dict[str, int]:
        """The body's fields that need not be given."""
        return {field.name: field.default for field in self.body if field.default is not None}

    @cached_property
    def groups(self) -> tuple[Group, ...]:
        names = {field.name for field in self.body}
        return tuple(group for group in GROUPS if names.issuperset(group.fields))

    @cached_property
    def places(self) -> dict[str, str]:
        """Where the C header keeps each field of the body: `lsb`, or `window.kernel_h` in a group."""
        grouped = {name: f"{group.name}.{member}" for group in self.groups for name, member in group.fields.items()}
        return {field.name: grouped.get(field.name, field.name) for field in self.body}

    @cached_property
    def size(self) -> int:
        """Encoded length in bytes, a multiple of 8."""
        return -(-sum(field.bits for field in self.fields) // 64) * 8


HEADER = (
    Field("opcode", 8, "which instruction"),
    Field("wait", 3, "take one token from each engine of the set (bit 0 load, 1 array, 2 store) before starting"),
    Field("signal", 3, "give one token to each engine of the set when finished"),
    Field("flags", 2, "zero", limit=0),
    Field("source", 16, "index of the source operator, for listing, trace and report"),
)

_PES = "array_rows * array_columns"

_TRANSFER = (
    Field("dram_addr", 32, "first byte in DRAM"),
    Field("sram_addr", 32, "first byte in SRAM"),
    Field("bytes", 32, "length of a contiguous run", least=1, limit="sram_bytes"),
    Field("rows", 32, "runs in a plane", least=1),
    Field("dram_row_stride", 32, "from run to run in DRAM"),
    Field("sram_row_stride", 32, "from run to run in SRAM"),
    Field("planes", 16, "planes", least=1),
    Field("dram_plane_stride", 32, "from plane to plane in DRAM"),
    Field("sram_plane_stride", 32, "from plane to plane in SRAM"),
)

_CODED = Field(
    "coded",
    16,
    "bytes that the one run, of at most 65535, takes in DRAM, all of them constants, where it is coded: rows and planes are 1, and"
    " strides mean nothing; 0: it is not",
    default=0,
    limit=f"{2**16 - 1} * min(weight_coding, 1)",
)

_IMAGES = (
    Field("n", 16, "images", least=1),
    Field("in_h", 16, "input rows that are there; rows outside are padding"),
    Field("in_w", 16, "input columns that are there"),
    Field("in_c", 16, "input channels", least=1),
    Field("in_pixel_stride", 16, "from pixel to pixel of the input"),
    Field("in_row_stride", 32, "from row to row of the input"),
    Field("in_image_stride", 32, "from image to image of the input"),
    Field("out_h", 16, "output rows", least=1),
    Field("out_w", 16, "output columns", least=1),
    Field("out_pixel_stride", 16, "from pixel to pixel of the output"),
    Field("out_row_stride", 32, "from row to row of the output"),
    Field("out_image_stride", 32, "from image to image of the output"),
    Field("kernel_h", 16, "rows of the window", least=1),
    Field("kernel_w", 16, "columns of the window", least=1),
    Field("stride_h", 16, "input rows from output to output", least=1),
    Field("stride_w", 16, "input columns from output to output", least=1),
    Field("dilation_h", 8, "input rows between the window's rows", least=1),
    Field("dilation_w", 8, "input columns between the window's columns", least=1),
    Field("pad_top", 16, "padding rows above the input"),
    Field("pad_left", 16, "padding columns left of the input"),
)

_CUT = (
    Field("lsb", 8, "bits cut off below the result", limit="acc_bits - 1"),
    Field("lo", 8, "smallest result", signed=True, limit="hi"),
    Field("hi", 8, "largest result", signed=True),
)

_LINEAR = (
    Field("in_addr", 32, "input"),
    Field("weight_addr", 32, "weights, `steps` lines of out_c bytes, in the order of k"),
    Field("bias_addr", 32, "where first = 1: out_c biases, int32 little-endian, rounding half included"),
    Field("out_addr", 32, "output"),
)


def _sparse(k: str) -> tuple[Field, ...]:
    """Of a sum of `k` products."""
    return (
        Field("steps", 32, "lines of weights that are there; k: all of them, and no bitmap is read", limit=k),
        Field(
            "mask_addr",
            32,
            "where steps < k: bitmap of ceil(k / 8) bytes, bit i % 8 of byte i / 8 says whether step i has a line; line j belongs"
            " to the j-th set bit, steps without a line count as zero, lines without a set bit are unused",
            default=0,
        ),
    )


_OUTPUT_PATH = (
    Field(
        "pool_h", 8, "rows of the window of results whose maximum is kept; windows do not overlap", default=1, least=1
    ),
    Field("pool_w", 8, "columns of that window; out_h and out_w count windows", default=1, least=1),
    Field("add", 1, "add a second operand to the cut result, as ELTWISE does (a the result, b the operand)", default=0),
    Field("add_addr", 32, "second operand, in the order of the output, channels contiguous", default=0),
    Field("add_pixel_stride", 16, "from pixel to pixel of the second operand", default=0),
    Field("add_row_stride", 32, "from row to row of the second operand", default=0),
    Field("add_image_stride", 32, "from image to image of the second operand", default=0),
    Field("shift_a", 8, "bits cut off the result before the addition", default=0, limit="acc_bits - 1", where="add"),
    Field(
        "shift_b",
        8,
        "bits cut off the second operand before the addition",
        default=0,
        limit="acc_bits - 1",
        where="add",
    ),
    Field("add_lo", 8, "smallest sum", signed=True, default=0, limit="add_hi", where="add"),
    Field("add_hi", 8, "largest sum", signed=True, default=0),
)

_PARTS = (
    Field("first", 1, "start from the biases; otherwise go on from the parked sums", default=1),
    Field("last", 1, "cut and write the results; otherwise park the sums", default=1),
    Field(
        "sum_addr",
        32,
        "parked sums, read where first = 0, written where last = 0: int32 little-endian, of every pixel before the window keeps"
        " its maximum, in the order (image, row, column, output channel), without gaps",
        default=0,
    ),
)

_VIEW = ("addr", "pixel_stride", "row_stride", "image_stride")
_VIEW_DOC = "Where a tensor lies: its first byte, then from pixel to pixel, row to row, image to image; channels are contiguous."
_OF_SIDES = (
    "in_pixel_stride",
    "in_row_stride",
    "in_image_stride",
    "out_pixel_stride",
    "out_row_stride",
    "out_image_stride",
)


def _view(name: str, prefix: str) -> Group:
    return Group(name, "view", _VIEW_DOC, {f"{prefix}_{member}": member for member in _VIEW})


# groups of one type stand together
GROUPS = (
    Group("transfer", "transfer", "What is copied, and both places.", {field.name: field.name for field in _TRANSFER}),
    Group(
        "window",
        "sliding",
        "A window that slides over images, and the sizes on either side of it.",
        {field.name: field.name for field in _IMAGES if field.name not in _OF_SIDES},
    ),
    _view("input", "in"),
    _view("output", "out"),
    _view("operand", "add"),
)

INSTRUCTIONS = (
    InstructionFormat("HALT", 0x00, Engine.ARRAY, "end of the program; all engines are idle", ()),
    InstructionFormat(
        "RECONFIGURE",
        0x01,
        Engine.ARRAY,
        "switch the connections between the PBs",
        (
            Field("mode", 8, ", ".join(f"{mode:d} {mode.name.lower()}" for mode in Mode), limit=len(Mode) - 1),
            Field(
                "rows",
                16,
                "rows of the array's shape, its columns are PEs / rows; array_rows in modes other than conv and grouped",
                least=1,
                limit=_PES,
            ),
        ),
    ),
    InstructionFormat("LOAD", 0x10, Engine.LOAD, "copy DRAM to SRAM, or decode (docs/coding.md)", (*_TRANSFER, _CODED)),
    InstructionFormat("STORE", 0x11, Engine.STORE, "copy SRAM to DRAM", _TRANSFER),
    InstructionFormat(
        "CONV",
        0x20,
        Engine.ARRAY,
        "convolution of out_c <= rows, k runs over (kernel row, kernel column, channel of the group), channel fastest;"
        " its output path can keep the maximum of neighbours or add a second operand, not both;"
        " sums can be formed in parts, and are parked in SRAM from `first` to `last`",
        (
            *_LINEAR,
            *_IMAGES,
            Field("out_c", 16, "output channels", least=1, limit="rows"),
            Field(
                "groups",
                16,
                "groups of input and output channels; 1 in conv mode, and of a part of a sum; more in grouped mode",
                least=1,
                limit="max(1, out_c * first * last)",
            ),
            Field(
                "rows", 16, "rows of the shape it is made for; those of the RECONFIGURE before it", least=1, limit=_PES
            ),
            *_CUT,
            Field(
                "cuts",
                1,
                "each output channel has an lsb of its own, at most acc_bits - 1: the out_c bytes behind the biases, or at"
                " bias_addr where first = 0; the field lsb means nothing",
                default=0,
                limit="channel_cuts",
            ),
            *_sparse("kernel_h * kernel_w * (in_c // groups)"),
            *_OUTPUT_PATH,
            *_PARTS,
        ),
    ),
    InstructionFormat(
        "DENSE",
        0x21,
        Engine.ARRAY,
        "fully connected layer of n * out_c <= PEs; the sums stay in the PEs from `first` to `last`",
        (
            *_LINEAR,
            Field("n", 16, "images", least=1),
            Field("in_c", 32, "inputs of this part of the sum; its k", least=1, limit="sram_bytes"),
            Field("out_c", 16, "outputs", least=1),
            Field("in_image_stride", 32, "from image to image of the input"),
            Field("out_image_stride", 32, "from image to image of the output"),
            Field("first", 1, "start from the bias; otherwise go on from the sums in the PEs"),
            Field("last", 1, "cut and write the results; otherwise leave the sums in the PEs"),
            *_CUT,
            *_sparse("in_c"),
        ),
    ),
    InstructionFormat(
        "POOL",
        0x22,
        Engine.ARRAY,
        "maximum over a window, then clamp; a 1 x 1 window with pad_value 0 pads with zeros",
        (
            Field("in_addr", 32, "input"),
            Field("out_addr", 32, "output"),
            *_IMAGES,
            Field("pad_value", 8, "what padding counts as", signed=True),
            Field("lo", 8, "smallest result", signed=True, limit="hi"),
            Field("hi", 8, "largest result", signed=True),
        ),
    ),
    InstructionFormat(
        "ELTWISE",
        0x23,
        Engine.ARRAY,
        "clamp(a >> shift_a + b >> shift_b), each shift rounding as the machine does; b is left out if unary",
        (
            Field("a_addr", 32, "first operand"),
            Field("b_addr", 32, "second operand"),
            Field("out_addr", 32, "output; may be an operand itself"),
            Field("bytes", 32, "elements", least=1, limit="sram_bytes"),
            Field("shift_a", 8, "bits cut off the first operand", limit="acc_bits - 1"),
            Field("shift_b", 8, "bits cut off the second operand", limit="acc_bits - 1"),
            Field("unary", 1, "one operand only"),
            Field("lo", 8, "smallest result", signed=True, limit="hi"),
            Field("hi", 8, "largest result", signed=True),
        ),
    ),
    InstructionFormat(
        "LOOKUP",
        0x24,
        Engine.ARRAY,
        "replace every byte by its entry in a table of 256 bytes, in any mode; only where activation_table = 1",
        (
            Field("in_addr", 32, "input"),
            Field("out_addr", 32, "output; may be the input itself"),
            Field("table_addr", 32, "the table; entry i is that of the byte i, so that the last is that of -1"),
            Field("n", 16, "images", least=1),
            Field("in_c", 16, "channels", least=1),
            Field("out_h", 16, "rows, as many as the input has", least=1),
            Field("out_w", 16, "columns, as many as the input has", least=1),
            *(field for field in _IMAGES if field.name in _OF_SIDES),
        ),
    ),
)

BY_OPCODE = {row.opcode: row for row in INSTRUCTIONS}
BY_NAME = {row.name: row for row in INSTRUCTIONS}
