"""The architecture description: every number of the machine, once.

A field is either a FACT (published by the hardware group: slide deck of 2021-08-05, or PyParch, MCSoC 2019) or an
ASSUMPTION of ours with its reason. Everything the simulator needs is an integer, so a program carries it exactly.
"""

from __future__ import annotations

import dataclasses
import enum
import os
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tvm_re2na.codegen.arch_fields import (
    ArchitectureError,
    assumption,
    check,
    fact,
    listed_shapes,
    parse,
    shape_name,
    shortened,
    shown,
    toml_line,
    unknown_field,
)
from tvm_re2na.codegen.files import naming

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib


LARGEST_FILE = 2**16  # bytes of a description
TABLE_BYTES = 256  # of an activation table: an entry for each byte
MAGNITUDES = 129  # of a weight: what a Huffman decoder tells apart


class AccOverflow(enum.IntEnum):
    """What the accumulator does when a sum leaves its range."""

    WRAP = 0
    SATURATE = 1


class CutOverflow(enum.IntEnum):
    """What the output cut does when the shifted sum leaves the data width."""

    SATURATE = 0
    WRAP = 1


class Rounding(enum.IntEnum):
    """What the output cut does with the bits below the least significant bit."""

    HALF_UP = 0
    TRUNCATE = 1


class WeightCoding(enum.IntEnum):
    """How weights may be coded in DRAM; docs/coding.md describes both codes."""

    NONE = 0
    GOLOMB = 1
    HUFFMAN = 2


@dataclass(frozen=True)
class Architecture:
    """One Re²Na machine. Construct with keyword arguments to change single fields; `ArchitectureError` names a bad one."""

    array_rows: int = fact(64, "PEs", "deck: 64 x 64 multiply-accumulate array of PBs", 1, 4096)
    array_columns: int = fact(64, "PEs", "deck: 64 x 64 multiply-accumulate array of PBs", 1, 4096)
    sram_bytes: int = fact(1536 * 1024, "bytes", "deck: 1.5 MB SRAM (a MB read as 2**20 bytes)", 1024, 2**31)
    acc_bits: int = fact(17, "bits", "deck: the MAC accumulates in a 17-bit register", 2, 32)
    data_bits: int = fact(8, "bits", "deck: 8 bits are cut out as the sum leaves the PE", 2, 8)
    mac_latency: int = fact(5, "cycles", "deck: one operation of a PE takes 5 cycles", 1, 64)
    mac_interval: int = assumption(
        5, "cycles", "the deck's 5 cycles read as one MAC per PE every 5 cycles; 1 describes a pipelined PE", 1, 64
    )
    acc_overflow: AccOverflow = assumption(
        AccOverflow.WRAP, "mode", "a plain two's complement register wraps; saturation costs a comparator per PE", 0, 1
    )
    cut_overflow: CutOverflow = assumption(
        CutOverflow.SATURATE, "mode", "PyParch clamps to the data range on output", 0, 1
    )
    rounding: Rounding = assumption(
        Rounding.HALF_UP, "mode", "PyParch adds one half of the cut-off LSB; so does TVM's requantize", 0, 1
    )
    sram_bytes_per_cycle: int = assumption(
        4096, "bytes/cycle", "one 64-byte bank per row of the array feeds every PE one operand a cycle", 1, 2**20
    )
    dram_bytes_per_cycle: int = assumption(
        24, "bytes/cycle", "LPDDR4-class interface (about 4.8 GB/s) at the assumed clock", 1, 2**16
    )
    dram_latency: int = assumption(
        100, "cycles", "about 500 ns from request to first byte at the assumed clock", 0, 2**20
    )
    clock_mhz: int = assumption(200, "MHz", "ultra-low-leak 22 nm at 0.8 V: a modest clock", 1, 10_000)
    reconfigure_cycles: int = assumption(
        64, "cycles", "the switches between PBs are rewritten one row of the array per cycle", 0, 2**20
    )
    alu_interval: int = assumption(
        1, "cycles", "a PE's comparator or adder takes one operand a cycle; only the multiplier is slower", 1, 64
    )
    array_fill_cycles: int = assumption(
        8,
        "cycles",
        "issue and operand set-up before the first multiply; later operands hide in the PB's second input register",
        0,
        2**16,
    )
    array_shapes: int = assumption(
        0,
        "set of shapes",
        "none published besides the array's own; bit b adds 2**b rows x (PEs / 2**b) columns for convolutions, to ask what"
        " more reconfigurability would buy",
        0,
        2**13 - 1,
    )
    channel_cuts: int = assumption(
        0,
        "0 or 1",
        "none published: 1 gives each row of the array, which computes one output channel of a convolution, an LSB of its own, to"
        " ask what scales by channel would buy; a register a row, which counts no area",
        0,
        1,
    )
    activation_table: int = assumption(
        0,
        "0 or 1",
        "the group holds a patent on an activation function unit, of which nothing else is known: 0 is a machine without; 1 has a"
        " table of 256 entries beside each row of the array, which replaces a byte by its entry each cycle",
        0,
        1,
    )
    weight_coding: WeightCoding = assumption(
        WeightCoding.NONE,
        "mode",
        "none published: golomb and huffman have a decoder between DRAM bus and SRAM, to ask what coded weights would buy",
        0,
        2,
    )
    decoder_bytes_per_cycle: int = assumption(
        64,
        "bytes/cycle",
        "a lane for each row of the array, each a weight a cycle: faster than the bus at 4 bits",
        1,
        256,
    )
    decoder_area_um2: int = assumption(
        400, "um2 per byte/cycle", "no published number: a guess of one and a half PEs for each lane", 0, 10**6
    )
    mac_energy_fj: int = assumption(
        150,
        "fJ/MAC",
        "Horowitz (ISSCC 2014), 45 nm, 0.9 V: 8-bit multiply 200 fJ and 16-bit add 50 fJ, scaled to 22 nm and 0.8 V (x 0.4),"
        " and half as much again for the PB's registers and wiring",
        0,
        10**6,
    )
    sram_energy_fj: int = assumption(
        1000,
        "fJ/byte",
        "Horowitz (ISSCC 2014), 45 nm: 64 bits from a 32 KB memory 20 pJ, 2.5 pJ a byte, scaled as above; 64 banks of 24 KB",
        0,
        10**7,
    )
    dram_energy_fj: int = assumption(
        64_000,
        "fJ/byte",
        "about 8 pJ a bit, device and interface, the upper end of what is quoted for LPDDR4 (4 to 8 pJ a bit)",
        0,
        10**9,
    )
    idle_power_uw: int = assumption(
        1000,
        "uW",
        "leakage and clock tree of an ultra-low-leak 22 nm design of this size: about 1 mW",
        0,
        10**8,
    )
    pe_area_um2: int = assumption(
        250,
        "um2/PE",
        "8-bit multiplier 282 and 16-bit adder 67 um2 in 45 nm (synthesis figures that Dally quotes beside Horowitz's energies),"
        " x (22/45)**2, and three times that for registers, comparator and switches",
        0,
        10**6,
    )
    sram_area_um2: int = assumption(
        1700,
        "um2/KiB",
        "8192 six-transistor cells of 0.1 um2 (IBM, IEDM 2008: 22 nm), and as much again for decoders and sense amplifiers",
        0,
        10**7,
    )
    dram_area_um2: int = assumption(
        30_000,
        "um2 per byte/cycle",
        "no published number: a guess of 2 mm2 for the controller and the PHY of a 12.8 GB/s port, so that bandwidth is not free",
        0,
        10**8,
    )
    shape_area_um2: int = assumption(
        10,
        "um2 per PE and further shape",
        "no published number: a guess of one more two-way multiplexer for each of a PE's 16 operand bits, 0.6 um2 each",
        0,
        10**6,
    )

    def __post_init__(self) -> None:
        for field in dataclasses.fields(self):
            check(field, getattr(self, field.name))
            if isinstance(field.default, enum.IntEnum):
                object.__setattr__(self, field.name, type(field.default)(getattr(self, field.name)))
        for rows, columns in listed_shapes(self.array_shapes, self.pe_count):
            if rows * columns != self.pe_count:
                raise ArchitectureError(f"architecture: array_shapes: {rows} rows do not divide {self.pe_count} PEs")

    @property
    def pe_count(self) -> int:
        """Processing elements of the array."""
        return self.array_rows * self.array_columns

    @property
    def shapes(self) -> tuple[tuple[int, int], ...]:
        """(rows, columns) that a convolution may use: the array's own first, then those of `array_shapes`."""
        own = (self.array_rows, self.array_columns)
        return (own, *(shape for shape in listed_shapes(self.array_shapes, self.pe_count) if shape != own))

    @property
    def acc_min(self) -> int:
        return -(1 << (self.acc_bits - 1))

    @property
    def acc_max(self) -> int:
        return (1 << (self.acc_bits - 1)) - 1

    @property
    def data_min(self) -> int:
        return -(1 << (self.data_bits - 1))

    @property
    def data_max(self) -> int:
        return (1 << (self.data_bits - 1)) - 1

    @property
    def peak_macs_per_cycle(self) -> float:
        """MACs per cycle with every PE busy: 819.2 for the default machine."""
        return self.pe_count / self.mac_interval

    @property
    def area_mm2(self) -> float:
        """A PROXY of the silicon's area, to compare machines with each other: PEs, SRAM, DRAM port, switches for further shapes,
        activation tables and the tables of Huffman decoders, which are as large as so many bytes of SRAM, decoders of weights.

        Clocks, control, pads and everything else count nothing, and the constants are assumptions: 4.4 mm2 for the default.
        """
        pes = self.pe_count * (self.pe_area_um2 + self.shape_area_um2 * (len(self.shapes) - 1))
        lanes = 0 if self.weight_coding is WeightCoding.NONE else self.decoder_bytes_per_cycle
        tables = self.activation_table * self.array_rows * TABLE_BYTES
        tables += lanes * MAGNITUDES if self.weight_coding is WeightCoding.HUFFMAN else 0
        memory = (self.sram_bytes + tables) / 1024 * self.sram_area_um2
        return (pes + memory + self.dram_bytes_per_cycle * self.dram_area_um2 + lanes * self.decoder_area_um2) / 1e6

    def half(self, lsb: int) -> int:
        """What the rounding adds to a sum before `lsb` bits are cut off."""
        return 1 << (lsb - 1) if lsb > 0 and self.rounding is Rounding.HALF_UP else 0

    def as_words(self) -> list[int]:
        """The fields in declaration order, as the program file and the C struct hold them."""
        return [int(getattr(self, field.name)) for field in dataclasses.fields(self)]

    @classmethod
    def from_words(cls, words: list[int]) -> Architecture:
        names = [field.name for field in dataclasses.fields(cls)]
        if len(words) != len(names):
            raise ArchitectureError(f"architecture has {len(words)} fields, this version knows {len(names)}")
        values: dict[str, Any] = dict(zip(names, words, strict=True))
        return cls(**values)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> Architecture:
        """From plain numbers and mode names; raises ArchitectureError on an unknown field or a bad value."""
        known = {field.name: field for field in dataclasses.fields(cls)}
        for name in values:
            if name not in known:
                raise ArchitectureError(f"architecture: {unknown_field(name, known)}")
        arch = cls(**{name: parse(known[name], value) for name, value in values.items()})
        for shape in values["array_shapes"] if isinstance(values.get("array_shapes"), list) else ():
            if shape not in [shape_name(known) for known in arch.shapes]:
                raise ArchitectureError(f"architecture: array_shapes: {shown(shape)} has not {arch.pe_count} PEs")
        return arch

    @classmethod
    def from_toml(cls, path: str | os.PathLike[str]) -> Architecture:
        """From a TOML file that sets any of the fields; raises ArchitectureError, or OSError if it cannot be read."""
        with naming(path), Path(path).open("rb") as stream:
            content = stream.read(LARGEST_FILE + 1)
        if len(content) > LARGEST_FILE:
            raise ArchitectureError(f"architecture: {path} is larger than {LARGEST_FILE} bytes")
        try:
            values = tomllib.loads(content.decode())
        except RecursionError as error:
            raise ArchitectureError(f"architecture: {path} has brackets too deep within each other") from error
        except ValueError as error:  # TOMLDecodeError and UnicodeDecodeError, too; a number may have 4300 digits
            raise ArchitectureError(f"architecture: {path} is no TOML file: {shortened(str(error))}") from error
        try:
            return cls.from_dict(values)
        except ArchitectureError as error:
            raise ArchitectureError(f"{path}: {error}") from error

    def to_toml(self) -> str:
        """All fields with unit, kind and source as comments; `from_toml` reads it back."""
        more = self.shapes[1:]
        return "".join(toml_line(field, getattr(self, field.name), more) for field in dataclasses.fields(self))
