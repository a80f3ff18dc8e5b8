"""The energy of a run, from exact counts and the energy table of the architecture (docs/energy.md).

    mac   MACs executed               x mac_energy_fj
    sram  bytes read and written      x sram_energy_fj
    dram  bytes over the DRAM bus     x dram_energy_fj
    idle  cycles / clock_mhz          x idle_power_uw      (uW x us = pJ)

Everything is in femtojoules, whole numbers, so that layers add up exactly.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate, pairwise

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.instructions import Operands, meaning

PARTS = ("mac", "sram", "dram", "idle")
OPERATIONS_PER_MAC = 2  # a multiplication and an addition, as TOPS are counted everywhere


def counted(program: Program) -> list[Operands]:
    """What the instructions of each source operator count in one run."""
    found = [Operands()] * len(program.sources)
    for at in program.instructions if found else ():
        found[at.source] += meaning(at).operands(program.arch, at)
    return found


def energies(arch: Architecture, counts: Sequence[Operands], cycles: Sequence[int]) -> list[dict[str, int]]:
    """Femtojoules by part of each source operator, which has so many counts and so many cycles of the timeline."""
    idle = _idle(arch, cycles)
    return [_dynamic(arch, count) | {"idle": leaked} for count, leaked in zip(counts, idle, strict=True)]


def _dynamic(arch: Architecture, count: Operands) -> dict[str, int]:
    return {
        "mac": count.macs * arch.mac_energy_fj,
        "sram": (count.sram_read + count.sram_written) * arch.sram_energy_fj,
        "dram": count.dram * arch.dram_energy_fj,
    }


def _idle(arch: Architecture, cycles: Sequence[int]) -> list[int]:
    """Rounded such that the parts of a run add up to the whole of it: 1000 fJ = 1 uW x 1 us."""
    until = (total * arch.idle_power_uw * 1000 // arch.clock_mhz for total in accumulate(cycles, initial=0))
    return [after - before for before, after in pairwise(until)]


def efficiency(macs: int, energy_fj: float) -> float:
    """TOPS/W, that is operations per picojoule; 0 where nothing is spent."""
    return OPERATIONS_PER_MAC * macs / (energy_fj / 1000) if energy_fj else 0.0


def peak(arch: Architecture) -> dict[str, float]:
    """The best that the energy table allows: every PE multiplies, one weight a row and one input a column each step, no DRAM."""
    step = _dynamic(arch, Operands(arch.pe_count, arch.array_rows + arch.array_columns))
    spent = sum(step.values()) + arch.mac_interval * arch.idle_power_uw * 1000 / arch.clock_mhz
    gops = OPERATIONS_PER_MAC * arch.peak_macs_per_cycle * arch.clock_mhz / 1000
    per_watt = efficiency(arch.pe_count, spent)
    return {"tops_per_watt": per_watt, "gops": gops, "milliwatts": gops / per_watt if per_watt else 0.0}
