"""THE cycle model's formulas: how long an instruction has its engine. Python, C and docs/timing.md derive from this table.

An expression (`expressions.py`) may name earlier parts. The last part is called `cycles`.

All of this is an ASSUMPTION but the size of the array and the latency of a multiply-accumulate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from types import CodeType

from tvm_re2na.codegen.arch import TABLE_BYTES, Architecture
from tvm_re2na.codegen.isa.encoding import Instruction
from tvm_re2na.codegen.isa.expressions import GLOBALS, MACHINE, names_of
from tvm_re2na.codegen.isa.table import BY_NAME


@dataclass(frozen=True)
class Part:
    """One named number of a duration; `doc` says what it is and why it is so."""

    name: str
    expression: str
    doc: str


_PES = Part("pes", "array_rows * array_columns", "PEs of the array, in any shape")

_TRANSFER = (
    Part("moved", "bytes * rows * planes", "bytes over the DRAM bus"),
    Part(
        "cycles", "ceil(moved, dram_bytes_per_cycle)", "the bus is the bottleneck; the latency comes after, see above"
    ),
)

_LOAD = (
    Part("decoded", "min(coded, 1) * bytes", "bytes that come out of the decoder"),
    Part("moved", "coded + bytes * rows * planes - decoded", "bytes over the DRAM bus: coded ones, or all"),
    Part(
        "cycles",
        "max(ceil(moved, dram_bytes_per_cycle), ceil(decoded, decoder_bytes_per_cycle))",
        "the bus is the bottleneck, or the decoder, which holds the bus up; the latency comes after, see above",
    ),
)

DURATIONS: dict[str, tuple[Part, ...]] = {
    "HALT": (Part("cycles", "0", "there is nothing to do"),),
    "RECONFIGURE": (Part("cycles", "reconfigure_cycles", "whatever the mode and the shape"),),
    "LOAD": _LOAD,
    "STORE": _TRANSFER,
    "CONV": (
        _PES,
        Part("columns", "pes // rows", "of the shape: a row computes one output channel, a column one pixel"),
        Part("window", "pool_h * pool_w", "pixels that become one output"),
        Part("at_once", "columns // window", "outputs that the columns hold; a window's pixels lie side by side"),
        Part("outputs", "n * out_h * out_w", "outputs of one channel"),
        Part("passes", "ceil(outputs, at_once)", "times that the array is filled"),
        Part("inputs", "groups * min(outputs * window, columns)", "bytes a step: each group's for every column in use"),
        Part("full", "min(outputs, at_once)", "outputs of a pass"),
        Part("sums", "4 * out_c * window", "bytes of the sums of an output, if they are parked"),
        Part(
            "mac",
            "max(passes * steps * mac_interval,"
            " ceil(passes * steps * (out_c + inputs) + (2 - first - last) * sums * (outputs - full), sram_bytes_per_cycle))",
            "the multiply part: the PEs' pace, or that of the SRAM with the operands (one weight a row, the inputs) and the parked"
            " sums that move meanwhile",
        ),
        Part(
            "enter", "(1 - first) * ceil(sums * full, sram_bytes_per_cycle)", "the first pass's parked sums to the PEs"
        ),
        Part(
            "path",
            "last * alu_interval * (add + window - 1)",
            "the output path's additions or comparisons in the last pass",
        ),
        Part(
            "leave",
            "ceil((last * out_c + (1 - last) * sums) * full, sram_bytes_per_cycle)",
            "the last pass's results, or its sums, to the SRAM",
        ),
        Part(
            "cycles",
            "array_fill_cycles + enter + mac + mac_latency + path + leave",
            "results and sums of a pass leave, and sums of another enter, while one computes: only the first pass's entry and the"
            " last one's leaving are seen",
        ),
    ),
    "DENSE": (
        Part(
            "mac",
            "max(n * steps * mac_interval, ceil(n * steps * (out_c + 1), sram_bytes_per_cycle))",
            "the multiply part, one image after the other: the PEs' pace, or that of the weights and the one input a step",
        ),
        Part(
            "leave",
            "last * (mac_latency + ceil(n * out_c, sram_bytes_per_cycle))",
            "the results to the SRAM, after the last part of the sum only",
        ),
        Part("cycles", "array_fill_cycles + mac + leave", "the sums stay in the PEs from part to part"),
    ),
    "POOL": (
        _PES,
        Part("outputs", "n * out_h * out_w * in_c", "any PE computes any output"),
        Part(
            "alu",
            "ceil(outputs, pes) * kernel_h * kernel_w * alu_interval",
            "one comparison for each input of a window",
        ),
        Part("leave", "ceil(min(outputs, pes), sram_bytes_per_cycle)", "the last pass's results to the SRAM"),
        Part("cycles", "array_fill_cycles + alu + leave", "as with CONV"),
    ),
    "ELTWISE": (
        _PES,
        Part("operands", "2 - unary", "of one result"),
        Part("alu", "ceil(bytes, pes) * operands * alu_interval", "any PE computes any result"),
        Part("leave", "ceil(min(bytes, pes), sram_bytes_per_cycle)", "the last pass's results to the SRAM"),
        Part("cycles", "array_fill_cycles + alu + leave", "as with CONV"),
    ),
    "LOOKUP": (
        Part("outputs", "n * out_h * out_w * in_c", "each row of the array has a table, whatever the mode"),
        Part("fill", f"ceil({TABLE_BYTES}, sram_bytes_per_cycle)", "the entries to all tables at once"),
        Part(
            "lookups",
            "max(ceil(outputs, array_rows), ceil(2 * outputs, sram_bytes_per_cycle))",
            "a byte a cycle at each table, or the pace at which bytes come from the SRAM and go back",
        ),
        Part("cycles", "array_fill_cycles + fill + lookups", "a result leaves as the next byte comes"),
    ),
}


class Durations:
    """The formulas for one machine, for those who ask often. `cycles(name, **fields)` as `duration_parts`."""

    def __init__(self, arch: Architecture) -> None:
        self.arch = arch
        self._functions: dict[str, Callable[..., int]] = {}

    def cycles(self, name: str, **fields: int) -> int:
        """Cycles for which an instruction of these fields has its engine; those that no formula names may not be given."""
        function = self._functions.get(name)
        if function is None:
            function = self._functions[name] = _function(self.arch, name)
        return function(**fields)


def duration(arch: Architecture, instruction: Instruction) -> int:
    """Cycles for which a valid instruction has its engine."""
    return duration_parts(arch, instruction.name, instruction.values)["cycles"]


def duration_parts(arch: Architecture, name: str, values: Mapping[str, int]) -> dict[str, int]:
    """All named parts of a duration, `cycles` the last, from the name of the instruction and its fields.

    Only the fields that the formulas name are needed; those with a default may be left out. KeyError names one that is missing.
    """
    formulas = _compiled(name)
    known = {field: getattr(arch, field) for field in formulas.of_machine}
    for field, default in formulas.of_instruction:
        known[field] = values[field] if default is None else values.get(field, default)
    exec(formulas.code, GLOBALS, known)
    return {part: known[part] for part in formulas.parts}


def field_names(name: str) -> tuple[str, ...]:
    """Fields of the machine and of the instruction that its formulas name, in the order in which they do."""
    own = {part.name for part in DURATIONS[name]}
    return tuple(field for field in names_of(part.expression for part in DURATIONS[name]) if field not in own)


@dataclass(frozen=True)
class _Formulas:
    """Of one instruction: all assignments, also as one piece of code, what they need, and what they make."""

    text: str
    of_machine: tuple[str, ...]
    of_instruction: tuple[tuple[str, int | None], ...]  # name and default
    code: CodeType
    parts: tuple[str, ...]


def _function(arch: Architecture, name: str) -> Callable[..., int]:
    """Of the instruction's fields; the machine's are constants in it."""
    formulas = _compiled(name)
    fields = [field if default is None else f"{field}={default}" for field, default in formulas.of_instruction]
    lines = [f"{field} = {int(getattr(arch, field))}" for field in formulas.of_machine] + formulas.text.splitlines()
    body = "".join(f"    {line}\n" for line in [*lines, "return cycles"])
    known: dict[str, Callable[..., int]] = {}
    exec(f"def cycles_of({', '.join(['*', *fields] if fields else [])}):\n{body}", GLOBALS, known)
    return known["cycles_of"]


@cache
def _compiled(name: str) -> _Formulas:
    fields, defaults = field_names(name), BY_NAME[name].defaults
    text = "".join(f"{part.name} = {part.expression}\n" for part in DURATIONS[name])
    return _Formulas(
        text,
        tuple(field for field in fields if field in MACHINE),
        tuple((field, defaults.get(field)) for field in fields if field not in MACHINE),
        compile(text, f"<duration of {name}>", "exec"),
        tuple(part.name for part in DURATIONS[name]),
    )
