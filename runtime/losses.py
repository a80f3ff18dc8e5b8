"""Why a layer takes longer than its bound: the largest cause beyond it, in words that follow from the figures.

The bound is the longer of the array's work at the best mapping (`compute_bound` to multiply, `fill_bound` to fill and drain) and
the compulsory transfers. So of each cause counts

    mac          what exceeds compute_bound: pixels computed twice, operands that the SRAM brings too slowly, and rows and
                 columns of the array that the strips leave unused
    overhead     what exceeds fill_bound: more instructions than blocks
    wait_load    what exceeds cycles_bound - compute_bound - fill_bound, the wait that no schedule avoids
    all others   in full
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.isa.durations import duration_parts
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.instructions import meaning
from tvm_re2na.runtime.timeline import CAUSE_NAMES, Share

ON_THE_BUS = {
    "weights": "weights",
    "inputs": "inputs",
    "results": "the DRAM bus stores results",
    "latency": "the DRAM's latency",
}


@dataclass
class Usage:
    """How a layer's CONV and DENSE lie on the array, weighted by the cycles they multiply."""

    multiply: int = 0
    starved: int = 0  # of them, those in which the PEs wait for the SRAM
    rows: list[float] = field(default_factory=lambda: [0.0, 0.0])  # used, there
    columns: list[float] = field(default_factory=lambda: [0.0, 0.0])
    instructions: dict[str, int] = field(default_factory=dict)

    def add(self, arch: Architecture, at: Instruction) -> None:
        self.instructions[at.name] = self.instructions.get(at.name, 0) + 1
        lies = meaning(at).mapping(arch, at)
        if lies is None:
            return
        cycles = duration_parts(arch, at.name, at.values)["mac"]
        self.multiply += cycles
        self.starved += cycles - lies.passes * at["steps"] * arch.mac_interval
        for kept, used, there in (
            (self.rows, lies.used, lies.rows),
            (self.columns, lies.filled / max(lies.passes, 1), lies.columns),
        ):
            kept[0] += used * cycles
            kept[1] += there * cycles

    def words(self) -> str:
        """For instance `64 of 64 rows, 49 of 64 columns used`."""
        named = {"rows": self.rows, "columns": self.columns} if self.rows[1] > self.multiply else {"PEs": self.columns}
        shown = (f"{used / self.multiply:.4g} of {there / self.multiply:.4g}" for used, there in named.values())
        return ", ".join(f"{share} {name}" for share, name in zip(shown, named, strict=True)) + " used"


def usages(program: Program) -> list[Usage]:
    """One per source operator."""
    found = [Usage() for _ in program.sources]
    for at in program.instructions if found else ():
        found[at.source].add(program.arch, at)
    return found


@dataclass(frozen=True)
class Loss:
    """Cycles of one cause beyond the bound, in one run; `words` is None where nothing exceeds it."""

    cycles: int
    words: str | None


def largest_loss(share: Share, usage: Usage, bound: dict[str, int], macs: int, executed: int) -> Loss:
    """`bound` is the layer's entry in the program's meta; a program without `compute_bound` takes its multiply part as it is."""
    found = max(_losses(share, usage, bound, macs, executed), key=lambda loss: loss.cycles)
    return found if found.cycles > 0 else Loss(0, None)


def beyond_bound(causes: dict[str, int], bound: dict[str, int]) -> dict[str, int]:
    """Of each cause the cycles that count as losses, as the table above says; `bound` as of `largest_loss`."""
    compute, fill = bound.get("compute_bound", causes["mac"]), bound.get("fill_bound", 0)
    waits = max(0, bound.get("cycles_bound", 0) - compute - fill)
    unavoidable = {"mac": compute, "overhead": fill, "wait_load": waits}
    return {cause: max(0, cycles - unavoidable.get(cause, 0)) for cause, cycles in causes.items()}


def _losses(share: Share, usage: Usage, bound: dict[str, int], macs: int, executed: int) -> Iterator[Loss]:
    causes, beyond = share.causes, beyond_bound(share.causes, bound)
    words = {cause: name for cause, (_, name) in CAUSE_NAMES.items()}
    if beyond["mac"]:
        excess = beyond["mac"]
        twice = min(causes["mac"] * max(executed - macs, 0) // executed, excess)
        starved = min(usage.starved, excess - twice)
        yield Loss(twice, _repeated(macs, executed))
        yield Loss(starved, "operands from the SRAM take longer than the multiplication")
        yield Loss(excess - twice - starved, f"rounding: {usage.words()}")
    longest = max(share.bus, key=lambda kind: share.bus[kind])
    yield Loss(beyond["wait_load"], f"{words['wait_load']}: {ON_THE_BUS[longest]}")
    yield Loss(beyond["wait_store"], words["wait_store"])
    count = usage.instructions
    linear = count.get("CONV", 0) + count.get("DENSE", 0)
    yield Loss(beyond["overhead"], f"{words['overhead']}: {linear}")
    yield Loss(beyond["reconfigure"], f"{words['reconfigure']}: {count.get('RECONFIGURE', 0)}")
    yield Loss(beyond["alu"], words["alu"])


def _repeated(macs: int, executed: int) -> str:
    """An addition or a pooling on the array has no MACs of its own to take a share of."""
    if not macs:
        return "multiplications, of which the operator itself has none"
    again = executed / macs - 1
    return f"computes {again:.1%} of its MACs twice" if again <= 1 else f"computes its MACs {again + 1:.1f} times"
