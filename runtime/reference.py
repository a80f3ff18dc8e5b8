"""The slow, obvious simulator: the definition of what each instruction does.

Arithmetic. A sum starts from its bias (int32; the rounding half is folded into it) and takes one product of int8 numbers per step
k. An accumulator that wraps keeps the sum modulo 2**acc_bits: it overflows, once, where the exact sum does not fit. One that
saturates is clamped after the bias and after every step, in order of k, and each clipping is an overflow. A finished sum is
shifted right arithmetically by `lsb`, brought to the data width (clamped or wrapped) and clamped to lo..hi. The output path of a
convolution then keeps the maximum of a window of results, or adds a second operand to each as ELTWISE does.

Parts of a sum. A CONV with `last` = 0 parks its sums in SRAM instead of cutting them, 32 bits each; one with `first` = 0 goes on
from such. An accumulator that wraps parks the exact sum modulo 2**32, whose lowest bits are its own: nothing is counted before the
sum is cut, and where it fitted 32 bits all the way, that is what a sum in one part counts. One that did not has the right bits, and
counts as what 32 bits hold. (A machine whose registers have acc_bits parks these, sign-extended: other bytes where a sum does not
fit them, and the same results.) One that saturates parks a sum within its range, and counts part by part.

Absent steps. Where `steps` < k, a bitmap in SRAM says which steps have a line of weights: line j belongs to the j-th set bit. A
step without a line adds nothing. Set bits beyond the lines have none, and lines beyond the set bits are not used.

An instruction reads everything it needs before it writes, and writes in the order of its output. What has never been written
cannot be read: that is an UninitialisedRead. What a LOAD decodes lies among the program's constants. No field may be outside its
limits (`codegen/isa/limits.py`). Instructions take effect in program order; where tokens do not imply that order, it is a
HazardError, raised before the first of them (`runtime/hazards.py`).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tvm_re2na.codegen.isa import Instruction
from tvm_re2na.codegen.isa.limits import find_outside
from tvm_re2na.codegen.program import Program, ProgramTensor
from tvm_re2na.runtime import hazards
from tvm_re2na.runtime.instructions import meaning
from tvm_re2na.runtime.instructions.machine import Machine, SimulationError
from tvm_re2na.runtime.result import Counter, Counters, Counts, Int8Array, RunResult, check_inputs


def run(program: Program, inputs: Sequence[Int8Array], *, check_hazards: bool = True) -> RunResult:
    """Run once; int8 inputs in program order and shape. Raises SimulationError or HazardError naming the instruction."""
    if check_hazards:
        hazards.check(program)
    machine = power_on(program, inputs)
    counters = [step(machine, index, at) for index, at in enumerate(program.instructions)]
    outputs = [_fetch(machine, tensor) for tensor in program.outputs]
    return RunResult(outputs, _summed(program, counters))


def power_on(program: Program, inputs: Sequence[Int8Array]) -> Machine:
    """A machine before the program's first instruction: constants and inputs are in its DRAM."""
    first = program.constants_address
    machine = Machine(program.arch, program.dram_bytes, (first, first + len(program.constants)))
    machine.dram.place(program.constants_address, np.frombuffer(program.constants, np.int8))
    for tensor, value in zip(program.inputs, check_inputs(program.inputs, inputs), strict=True):
        machine.dram.place(tensor.address, value.reshape(tensor.stored).transpose(0, 2, 3, 1).reshape(-1))
    return machine


def step(machine: Machine, index: int, at: Instruction) -> Counter:
    """Instruction `at`, which is number `index` of its program. Raises SimulationError naming it."""
    machine.overflows = 0
    try:
        outside = find_outside(machine.arch, at)
        if outside is not None:
            raise SimulationError(str(outside))
        return meaning(at).run(machine, at)
    except SimulationError as error:
        raise type(error)(f"instruction {index} ({at.name}): {error}") from error


def _fetch(machine: Machine, tensor: ProgramTensor) -> Int8Array:
    n, c, h, w = tensor.stored
    try:
        stored = machine.dram.read(tensor.address + np.arange(n * c * h * w))
    except SimulationError as error:
        raise type(error)(f"output '{tensor.name}': {error}") from error
    return stored.reshape(n, h, w, c).transpose(0, 3, 1, 2).reshape(tensor.shape).astype(np.int8)


def _summed(program: Program, counters: list[Counter]) -> Counters:
    sources = [Counter()] * len(program.sources)
    for at, counter in zip(program.instructions, counters, strict=True):
        if sources:
            sources[at.source] += counter
    table = _table(counters)
    return Counters(table, _table(sources), table.sum(axis=0, dtype=np.uint64).tolist())


def _table(counters: Sequence[Counter]) -> Counts:
    rows = [(counter.macs, counter.overflows, counter.dram_bytes) for counter in counters]
    return np.array(rows, np.uint64).reshape(-1, 3)
