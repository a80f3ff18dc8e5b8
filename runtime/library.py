"""The C simulator from Python, through ctypes."""

from __future__ import annotations

import ctypes
import os
import sys
from collections.abc import Sequence
from ctypes import POINTER, Structure, byref, c_char, c_char_p, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np

from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.result import Counter, Counters, Int8Array, Port, RunResult, Span, Timing, check_inputs

STATUS = (
    "ok",
    "argument",
    "format",
    "size",
    "checksum",
    "arch",
    "tensor",
    "instruction",
    "access",
    "sequence",
    "tokens",
    "memory",
)


class SimulatorError(RuntimeError):
    """The simulator refused; `kind` is one of STATUS, the message names the field, the value and the limit."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.kind = STATUS[code] if 0 <= code < len(STATUS) else "unknown"


class _Error(Structure):
    _fields_ = (("code", c_int32), ("message", c_char * 508))


class _Tensor(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("address", c_uint64),
        ("rank", c_uint32),
        ("shape", c_uint32 * 4),
        ("stored", c_uint32 * 4),
    )


class _Counters(Structure):
    _fields_ = (("macs", c_uint64), ("overflows", c_uint64), ("dram_bytes", c_uint64))


class _Timing(Structure):
    _fields_ = (("start", c_uint64), ("finish", c_uint64))


class _Totals(Structure):
    _fields_ = (
        ("runs", c_uint64),
        ("cycles", c_uint64),
        ("macs", c_uint64),
        ("overflows", c_uint64),
        ("dram_bytes", c_uint64),
    )


_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "re2na_program_load": (c_int32, (c_void_p, c_uint64, POINTER(c_void_p), POINTER(_Error))),
    "re2na_program_free": (None, (c_void_p,)),
    "re2na_program_input_count": (c_uint32, (c_void_p,)),
    "re2na_program_output_count": (c_uint32, (c_void_p,)),
    "re2na_program_input": (c_int32, (c_void_p, c_uint32, POINTER(_Tensor))),
    "re2na_program_output": (c_int32, (c_void_p, c_uint32, POINTER(_Tensor))),
    "re2na_program_instruction_count": (c_uint32, (c_void_p,)),
    "re2na_program_source_count": (c_uint32, (c_void_p,)),
    "re2na_program_cycles": (c_uint64, (c_void_p,)),
    "re2na_program_timing": (POINTER(_Timing), (c_void_p,)),
    "re2na_machine_create": (c_int32, (c_void_p, POINTER(c_void_p), POINTER(_Error))),
    "re2na_machine_free": (None, (c_void_p,)),
    "re2na_run": (
        c_int32,
        (c_void_p, POINTER(c_void_p), POINTER(c_void_p), POINTER(_Counters), POINTER(_Error)),
    ),
    "re2na_machine_instruction_counters": (POINTER(_Counters), (c_void_p,)),
    "re2na_machine_source_counters": (POINTER(_Counters), (c_void_p,)),
    "re2na_execute": (c_int32, (c_void_p, c_int64, POINTER(c_uint64))),
    "re2na_bridge_last_error": (c_char_p, ()),
    "re2na_bridge_totals": (None, (POINTER(_Totals),)),
    "re2na_bridge_reset": (None, ()),
}


def library_path() -> Path:
    """The shared library that was built with this package; raises FileNotFoundError if there is none."""
    package = sys.modules[__name__.rpartition(".")[0]]
    for folder in package.__path__:  # two in an editable install: the sources, and what was built
        path = Path(folder) / "libre2na.so"
        if path.is_file():
            return path
    raise FileNotFoundError(
        "libre2na.so is not beside tvm_re2na.runtime: install the package, do not import its folder"
    )


@cache
def _library() -> ctypes.CDLL:
    return _declare(ctypes.CDLL(str(library_path())))


def load_library_global() -> ctypes.CDLL:
    """Make the library's symbols visible to code that is loaded later, as modules built by TVM are."""
    return _declare(ctypes.CDLL(str(library_path()), mode=ctypes.RTLD_GLOBAL))


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library


class Simulator:
    """A program on a machine of its own, run by the C library. Not to be used by two threads at once; two simulators are.

    Raises SimulatorError where the program is none or breaks a rule of the machine.
    """

    def __init__(self, program: Program | bytes | str | os.PathLike[str]) -> None:
        self._program = c_void_p()
        self._machine = c_void_p()
        self._bytes = _program_bytes(program)  # borrowed by the library as long as the program lives
        error = _Error()
        _check(_library().re2na_program_load(self._bytes, len(self._bytes), byref(self._program), byref(error)), error)
        self.inputs = self._ports("input")
        self.outputs = self._ports("output")
        _check(_library().re2na_machine_create(self._program, byref(self._machine), byref(error)), error)

    def __del__(self) -> None:
        if getattr(self, "_machine", None):
            _library().re2na_machine_free(self._machine)
        if getattr(self, "_program", None):
            _library().re2na_program_free(self._program)

    @cached_property
    def timing(self) -> Timing:
        """When each instruction starts and finishes, and how many cycles a run takes."""
        count = _library().re2na_program_instruction_count(self._program)
        spans = _library().re2na_program_timing(self._program)
        return Timing(
            tuple(Span(span.start, span.finish) for span in spans[:count]),
            _library().re2na_program_cycles(self._program),
        )

    def run(self, inputs: Sequence[Int8Array]) -> RunResult:
        """Run once; int8 inputs in program order and shape. Raises ValueError naming a tensor that does not fit."""
        values = check_inputs(self.inputs, inputs)
        outputs = [np.empty(port.shape, np.int8) for port in self.outputs]
        total, error = _Counters(), _Error()
        code = _library().re2na_run(self._machine, _addresses(values), _addresses(outputs), byref(total), byref(error))
        _check(code, error)
        return RunResult(outputs, Counters(self._counted("instruction"), self._counted("source"), _counter(total)))

    def _ports(self, kind: str) -> tuple[Port, ...]:
        tensor, ports = _Tensor(), []
        for index in range(getattr(_library(), f"re2na_program_{kind}_count")(self._program)):
            getattr(_library(), f"re2na_program_{kind}")(self._program, index, byref(tensor))
            ports.append(Port(tensor.name.decode(errors="replace"), tuple(tensor.shape[: tensor.rank])))
        return tuple(ports)

    def _counted(self, kind: str) -> tuple[Counter, ...]:
        count = getattr(_library(), f"re2na_program_{kind}_count")(self._program)
        counters = getattr(_library(), f"re2na_machine_{kind}_counters")(self._machine)
        return tuple(_counter(entry) for entry in counters[:count])


def execute(program: Program | bytes, inputs: Sequence[Int8Array], outputs: Sequence[Int8Array]) -> None:
    """Run through the bridge, as generated code does: `program` stays the caller's, and `outputs` (int8, contiguous) are filled."""
    data = _program_bytes(program)
    addresses = [array.ctypes.data for array in (*inputs, *outputs)]
    code = _library().re2na_execute(data, len(data), (c_uint64 * len(addresses))(*addresses))
    if code:
        raise SimulatorError(code, _library().re2na_bridge_last_error().decode(errors="replace"))


def bridge_totals() -> dict[str, int]:
    """What all runs through the bridge add up to since the last reset: runs, cycles, macs, overflows, dram_bytes."""
    totals = _Totals()
    _library().re2na_bridge_totals(byref(totals))
    return {name: int(getattr(totals, name)) for name, _ in _Totals._fields_}


def bridge_reset() -> None:
    """Set the bridge's totals to zero and let it forget its programs."""
    _library().re2na_bridge_reset()


def _program_bytes(program: Program | bytes | str | os.PathLike[str]) -> bytes:
    if isinstance(program, bytes):
        return program
    return program.to_bytes() if isinstance(program, Program) else Path(program).read_bytes()


def _addresses(arrays: Sequence[Int8Array]) -> Any:
    return (c_void_p * len(arrays))(*(array.ctypes.data for array in arrays))


def _counter(counters: _Counters) -> Counter:
    return Counter(counters.macs, counters.overflows, counters.dram_bytes)


def _check(code: int, error: _Error) -> None:
    if code:
        raise SimulatorError(code, error.message.decode(errors="replace"))
