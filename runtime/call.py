"""A machine's calls of `re2na_run`, with arguments that are made once: to make them takes as long as a small network runs."""

from __future__ import annotations

from collections.abc import Sequence
from ctypes import POINTER, addressof, byref, c_char, c_uint64, c_void_p, cast
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.runtime.abi import c_library
from tvm_re2na.runtime.abi_table import CCounters, CError
from tvm_re2na.runtime.result import Counters, Counts, Int8Array

Handle: TypeAlias = c_void_p
FIELDS = len(CCounters._fields_)


class Call:
    """Of one machine, which outlives it, for a program of so many `inputs` and `outputs`."""

    def __init__(self, program: Handle, machine: Handle, inputs: int, outputs: int) -> None:
        library = c_library()
        instructions = library.re2na_program_instruction_count(program)
        sources = library.re2na_program_source_count(program)
        self._machine, self._inputs, self._outputs = machine, (c_void_p * inputs)(), (c_void_p * outputs)()
        self._total = np.zeros(FIELDS, np.uint64)
        # the machine's own, which the next run overwrites
        self._instructions = _table(library.re2na_machine_instruction_counters(machine), instructions)
        self._sources = _table(library.re2na_machine_source_counters(machine), sources)
        self._run, self._run_many, self.error = library["re2na_run"], library.re2na_run_many, CError()
        self._arguments = machine, self._inputs, self._outputs, byref(_counters(self._total)), byref(self.error)

    def run(self, inputs: Sequence[Int8Array], outputs: Sequence[Int8Array]) -> int:
        """From arrays to arrays, checked and in one piece. The library's status; `error` has its message."""
        for index, array in enumerate(inputs):
            self._inputs[index] = address(array)
        for index, array in enumerate(outputs):
            self._outputs[index] = address(array)
        return self._run(*self._arguments)  # type: ignore[no-any-return]

    def counters(self) -> Counters:
        """Of the last `run`."""
        return Counters(self._instructions.copy(), self._sources.copy(), self._total.tolist())

    def run_all(self, runs: Sequence[Sequence[Int8Array]], outputs: Sequence[Int8Array]) -> tuple[int, list[Counters]]:
        """The same for every one of `runs`; `outputs` are (runs, ...)."""
        count = len(runs)
        given = np.array([address(array) for inputs in runs for array in inputs], np.uintp)
        firsts = np.array([(array.ctypes.data, array.nbytes // max(count, 1)) for array in outputs], np.uintp)
        wanted = np.ascontiguousarray(firsts[:, 0] + np.arange(count, dtype=np.uintp)[:, None] * firsts[:, 1])
        total, instructions, sources = (
            np.empty((count, *of_one.shape), np.uint64) for of_one in (self._total, self._instructions, self._sources)
        )
        addresses, tables = (given.ctypes.data, wanted.ctypes.data), map(_counters, (total, instructions, sources))
        status = int(self._run_many(self._machine, count, *addresses, *tables, byref(self.error)))
        rows = zip(instructions, sources, total.tolist(), strict=True)
        return status, [Counters(first, second, sums) for first, second, sums in rows]


def address(array: npt.NDArray[Any]) -> int:
    """Where the bytes of an array in one piece are. `array.ctypes` takes microseconds; what is read-only gives no buffer."""
    try:
        return addressof(c_char.from_buffer(array))  # type: ignore[arg-type]  # NumPy says that it is one from Python 3.12 on
    except TypeError:
        return int(array.ctypes.data)


def _table(first: Any, rows: int) -> Counts:
    return np.ctypeslib.as_array(cast(first, POINTER(c_uint64)), (rows, FIELDS))


def _counters(table: Counts) -> CCounters:
    return CCounters.from_address(table.ctypes.data)
