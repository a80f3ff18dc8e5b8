"""The C simulator from Python."""

from __future__ import annotations

import os
from collections.abc import Sequence
from ctypes import byref, c_uint64, c_void_p
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.errors import CANNOT_RUN, Re2naError
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.abi import c_library
from tvm_re2na.runtime.abi_table import KERNELS, MOST_THREADS, STATUS, CError, CTensor, CTotals, CWindow
from tvm_re2na.runtime.call import Call, address
from tvm_re2na.runtime.limits import Limits
from tvm_re2na.runtime.result import (
    INT8,
    Counts,
    Int8Array,
    Port,
    RunResult,
    Span,
    Timing,
    check_inputs,
)

Floats = npt.NDArray[np.float32]


class SimulatorError(Re2naError, RuntimeError):
    """The simulator refused; `kind` is one of STATUS, the message names the field, the value and the limit."""

    exit_code = CANNOT_RUN

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.kind = STATUS[code] if 0 <= code < len(STATUS) else "unknown"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.code, str(self))  # on its way from a worker


def kernels() -> tuple[str, ...]:
    """The kernels that this processor and this build of the library have, "auto" (the fastest of them) first."""
    return tuple(name for number, name in enumerate(KERNELS) if c_library().re2na_kernel_runs(number))


def descend(gram: Floats, left: Floats, weight: Floats, limits: tuple[int, int], sweeps: int) -> None:
    """`re2na_descend` as it is in re2na.h, in this thread: nothing is checked. Others run meanwhile."""
    addresses = (value.ctypes.data for value in (gram, left, weight))
    c_library().re2na_descend(*addresses, *weight.shape, *limits, sweeps)


def rows(source: Int8Array, pixels: npt.NDArray[np.int64], window: CWindow, rows: Int8Array) -> None:
    """`re2na_rows` as it is in re2na.h: nothing is checked."""
    c_library().re2na_rows(source.ctypes.data, pixels.ctypes.data, window, rows.ctypes.data)


def products(rows: Int8Array, weights: Int8Array, sums: Floats) -> None:
    """`re2na_products` as it is in re2na.h, in this thread: nothing is checked. Others run meanwhile. Raises MemoryError."""
    addresses = (value.ctypes.data for value in (rows, weights, sums))
    if c_library().re2na_products(*addresses, *rows.shape, weights.shape[2]):
        raise MemoryError(f"no memory to multiply {rows.shape} by {weights.shape}")


def load_as_set(program: Program | bytes | str | os.PathLike[str]) -> LoadedProgram:
    """A program with the kernel that the environment names. Raises what LoadedProgram raises, and SimulatorError where RE2NA_KERNEL
    or RE2NA_THREADS is none, in the words of the C library, which reads them where TVM runs the program."""
    kernel, threads = os.environ.get("RE2NA_KERNEL", "auto"), os.environ.get("RE2NA_THREADS", "1")
    if kernel not in kernels():
        raise _refused(f"RE2NA_KERNEL = '{kernel}' is no kernel, or not one for this processor")
    if not (threads.isascii() and threads.isdigit() and 1 <= int(threads[:20]) <= MOST_THREADS):
        raise _refused(f"RE2NA_THREADS = '{threads}' is no number in 1..{MOST_THREADS}")
    return LoadedProgram(program, kernel)


class LoadedProgram:
    """A program that was checked, once, for any number of simulators in any threads; the first lays its weights out.

    `limits`: what it may ask of the host (None: as the environment says, or the default ones).
    Raises SimulatorError where the program is none, breaks a rule of the machine or is beyond the limits, ValueError for a kernel
    that is not in `kernels()`.
    """

    def __init__(
        self, program: Program | bytes | str | os.PathLike[str], kernel: str = "auto", limits: Limits | None = None
    ) -> None:
        self._handle = c_void_p()
        if kernel not in kernels():
            raise ValueError(f"kernel '{kernel}': this processor has {', '.join(kernels())}")
        self._bytes = _program_bytes(program)  # borrowed by the library as long as the program lives
        error, number = CError(), KERNELS.index(kernel)
        bounds, size = (limits or _limits()).to_c(), len(self._bytes)
        load = c_library().re2na_program_load_limited
        _check(load(self._bytes, size, number, byref(bounds), byref(self._handle), byref(error)), error)
        self.kernel: str = c_library().re2na_program_kernel(self._handle).decode()
        self.inputs = self._ports("input")
        self.outputs = self._ports("output")

    def __del__(self) -> None:
        if getattr(self, "_handle", None):
            c_library().re2na_program_free(self._handle)

    @property
    def asks(self) -> Limits:
        """What it asks of the host, packed weights once a simulator was made."""
        return Limits(c_library().re2na_program_memory(self._handle), c_library().re2na_program_work(self._handle))

    @cached_property
    def timing(self) -> Timing:
        """When each instruction starts and finishes, and how many cycles a run takes."""
        count = c_library().re2na_program_instruction_count(self._handle)
        spans = c_library().re2na_program_timing(self._handle)
        return Timing(
            tuple(Span(span.start, span.finish) for span in spans[:count]),
            c_library().re2na_program_cycles(self._handle),
        )

    def _ports(self, kind: str) -> tuple[Port, ...]:
        tensor, ports = CTensor(), []
        for index in range(getattr(c_library(), f"re2na_program_{kind}_count")(self._handle)):
            getattr(c_library(), f"re2na_program_{kind}")(self._handle, index, byref(tensor))
            ports.append(Port(tensor.name.decode(errors="replace"), tuple(tensor.shape[: tensor.rank])))
        return tuple(ports)


class Simulator:
    """A program on a machine of its own, run by the C library. Not to be used by two threads at once; two simulators are.

    `threads`: how many work on one run. `count_overflows=False` leaves wrapping accumulators unwatched; the bits are the same.
    `profile`: take the host's time of every instruction. `limits`: as of LoadedProgram.
    Raises what LoadedProgram raises.
    """

    def __init__(
        self,
        program: LoadedProgram | Program | bytes | str | os.PathLike[str],
        *,
        kernel: str = "auto",
        threads: int = 1,
        count_overflows: bool = True,
        profile: bool = False,
        limits: Limits | None = None,
    ) -> None:
        self._machine = c_void_p()
        self.program = program if isinstance(program, LoadedProgram) else LoadedProgram(program, kernel, limits)
        error = CError()
        _check(c_library().re2na_machine_create(self.program._handle, byref(self._machine), byref(error)), error)
        c_library().re2na_machine_set_counting(self._machine, count_overflows)
        _check(c_library().re2na_machine_set_profiling(self._machine, profile, byref(error)), error)
        if threads != 1:
            _check(c_library().re2na_machine_set_threads(self._machine, _threads(threads), byref(error)), error)
        self._call = Call(self.program._handle, self._machine, len(self.inputs), len(self.outputs))

    def __del__(self) -> None:
        if getattr(self, "_machine", None):
            c_library().re2na_machine_free(self._machine)

    @property
    def inputs(self) -> tuple[Port, ...]:
        return self.program.inputs

    @property
    def outputs(self) -> tuple[Port, ...]:
        return self.program.outputs

    @property
    def timing(self) -> Timing:
        return self.program.timing

    def run(self, inputs: Sequence[Int8Array]) -> RunResult:
        """Run once; int8 inputs in program order and shape. Raises ValueError naming a tensor that does not fit."""
        call, values = self._call, check_inputs(self.program.inputs, inputs)
        outputs = [np.empty(port.shape, INT8) for port in self.program.outputs]
        _check(call.run(values, outputs), call.error)
        return RunResult(outputs, call.counters())

    def run_all(self, runs: Sequence[Sequence[Int8Array]]) -> list[RunResult]:
        """Run once for each of `runs`, in one call of the library.

        Results are as of `run`; they share their memory, which lives as long as any of them. Raises as `run`, before the first run.
        """
        values = [check_inputs(self.program.inputs, inputs) for inputs in runs]
        outputs = [np.empty((len(runs), *port.shape), INT8) for port in self.program.outputs]
        status, counters = self._call.run_all(values, outputs)
        _check(status, self._call.error)
        return [RunResult([array[index] for array in outputs], each) for index, each in enumerate(counters)]

    def nanoseconds(self) -> Counts:
        """(instructions,): the host's time of each in the last run. Raises RuntimeError without `profile`."""
        times = c_library().re2na_machine_nanoseconds(self._machine)
        if not times:
            raise RuntimeError("no time was taken: Simulator(..., profile=True)")
        count = c_library().re2na_program_instruction_count(self.program._handle)
        return np.ctypeslib.as_array(times, (count,)).copy()


def execute(program: Program | bytes, inputs: Sequence[Int8Array], outputs: Sequence[Int8Array]) -> None:
    """Run through the bridge, as generated code does: `program` stays the caller's, and `outputs` (int8, contiguous) are filled."""
    data = _program_bytes(program)
    addresses = [address(array) for array in (*inputs, *outputs)]
    code = c_library().re2na_execute(data, len(data), (c_uint64 * len(addresses))(*addresses))
    if code:
        raise SimulatorError(code, c_library().re2na_bridge_last_error().decode(errors="replace"))


def bridge_set_threads(threads: int) -> None:
    """How many threads work on a call of the bridge, from the next one on; raises SimulatorError outside 1..256."""
    c_library().re2na_bridge_set_threads(_threads(threads))


def bridge_totals() -> dict[str, int]:
    """What all runs through the bridge add up to since the last reset: runs, cycles, macs, overflows, dram_bytes."""
    totals = CTotals()
    c_library().re2na_bridge_totals(byref(totals))
    return {name: int(getattr(totals, name)) for name, _ in CTotals._fields_}


def bridge_reset() -> None:
    """Set the bridge's totals to zero and let it forget its programs."""
    c_library().re2na_bridge_reset()


def _program_bytes(program: Program | bytes | str | os.PathLike[str]) -> bytes:
    if isinstance(program, bytes):
        return program
    return program.to_bytes() if isinstance(program, Program) else Path(program).read_bytes()


def _threads(count: int) -> int:
    """The library's own check, where ctypes would cut the number silently, or there is no message."""
    if not 1 <= count <= MOST_THREADS:
        raise SimulatorError(STATUS.index("argument"), f"threads = {count} is outside 1..{MOST_THREADS}")
    return count


def _limits() -> Limits:
    try:
        return Limits.from_environment()
    except ValueError as error:
        raise _refused(str(error)) from None


def _refused(message: str) -> SimulatorError:
    return SimulatorError(STATUS.index("argument"), message)


def _check(code: int, error: CError) -> None:
    if code:
        raise SimulatorError(code, error.message.decode(errors="replace"))
