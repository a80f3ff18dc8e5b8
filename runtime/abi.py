"""The ABI of re2na.h as ctypes has it, and where the shared libraries lie that have it."""

from __future__ import annotations

import ctypes
import sys
from ctypes import POINTER, Structure, c_char, c_char_p, c_float, c_int32, c_int64, c_uint32, c_uint64, c_void_p
from functools import cache
from pathlib import Path
from typing import Any

from tvm_re2na.runtime.limits import CLimits


class CError(Structure):
    _fields_ = (("code", c_int32), ("message", c_char * 508))


class CTensor(Structure):
    _fields_ = (
        ("name", c_char_p),
        ("address", c_uint64),
        ("rank", c_uint32),
        ("shape", c_uint32 * 4),
        ("stored", c_uint32 * 4),
    )


class CCounters(Structure):
    _fields_ = (("macs", c_uint64), ("overflows", c_uint64), ("dram_bytes", c_uint64))


class CTiming(Structure):
    _fields_ = (("start", c_uint64), ("finish", c_uint64))


class CTotals(Structure):
    _fields_ = (
        ("runs", c_uint64),
        ("cycles", c_uint64),
        ("macs", c_uint64),
        ("overflows", c_uint64),
        ("dram_bytes", c_uint64),
    )


_PROTOTYPES: dict[str, tuple[Any, tuple[Any, ...]]] = {
    "re2na_program_load_limited": (
        c_int32,
        (c_void_p, c_uint64, c_int32, POINTER(CLimits), POINTER(c_void_p), POINTER(CError)),
    ),
    "re2na_program_free": (None, (c_void_p,)),
    "re2na_kernel_runs": (c_int32, (c_int32,)),
    "re2na_program_kernel": (c_char_p, (c_void_p,)),
    "re2na_program_input_count": (c_uint32, (c_void_p,)),
    "re2na_program_output_count": (c_uint32, (c_void_p,)),
    "re2na_program_input": (c_int32, (c_void_p, c_uint32, POINTER(CTensor))),
    "re2na_program_output": (c_int32, (c_void_p, c_uint32, POINTER(CTensor))),
    "re2na_program_instruction_count": (c_uint32, (c_void_p,)),
    "re2na_program_source_count": (c_uint32, (c_void_p,)),
    "re2na_program_cycles": (c_uint64, (c_void_p,)),
    "re2na_program_memory": (c_uint64, (c_void_p,)),
    "re2na_program_work": (c_uint64, (c_void_p,)),
    "re2na_program_timing": (POINTER(CTiming), (c_void_p,)),
    "re2na_machine_create": (c_int32, (c_void_p, POINTER(c_void_p), POINTER(CError))),
    "re2na_machine_free": (None, (c_void_p,)),
    "re2na_machine_set_threads": (c_int32, (c_void_p, c_uint32, POINTER(CError))),
    "re2na_machine_set_profiling": (c_int32, (c_void_p, c_int32, POINTER(CError))),
    "re2na_machine_nanoseconds": (POINTER(c_uint64), (c_void_p,)),
    "re2na_machine_set_counting": (None, (c_void_p, c_int32)),
    "re2na_run": (
        c_int32,
        (c_void_p, POINTER(c_void_p), POINTER(c_void_p), POINTER(CCounters), POINTER(CError)),
    ),
    "re2na_run_many": (
        c_int32,
        (c_void_p, c_uint64, c_void_p, c_void_p, c_void_p, c_void_p, c_void_p, POINTER(CError)),
    ),
    "re2na_machine_instruction_counters": (POINTER(CCounters), (c_void_p,)),
    "re2na_machine_source_counters": (POINTER(CCounters), (c_void_p,)),
    "re2na_descend": (
        c_int32,
        (c_void_p, c_void_p, c_void_p, c_uint32, c_uint32, c_uint32, c_float, c_float, c_uint32),
    ),
    "re2na_rows": (c_int32, (c_void_p, c_void_p, c_void_p, c_void_p)),
    "re2na_products": (c_int32, (c_void_p, c_void_p, c_void_p, c_uint32, c_uint32, c_uint32, c_uint32)),
    "re2na_execute": (c_int32, (c_void_p, c_int64, POINTER(c_uint64))),
    "re2na_bridge_set_threads": (c_int32, (c_uint32,)),
    "re2na_bridge_last_error": (c_char_p, ()),
    "re2na_bridge_totals": (None, (POINTER(CTotals),)),
    "re2na_bridge_forget": (None, (c_char_p, c_uint64)),
    "re2na_bridge_reset": (None, ()),
}


def library_path() -> Path:
    """The shared library that was built with this package; raises FileNotFoundError if there is none."""
    path = _built("libre2na.so")
    if path is None:
        raise FileNotFoundError(
            "libre2na.so is not beside tvm_re2na.runtime: install the package, do not import its folder"
        )
    return path


def module_library_path() -> Path:
    """The library with the module of TVM's Relax, of which a program is one; raises FileNotFoundError if it was not built."""
    path = _built("libre2na_tvm.so")
    if path is None:
        raise FileNotFoundError(
            "libre2na_tvm.so is not beside tvm_re2na.runtime: install a C++ compiler, and then tvm_re2na again"
        )
    return path


def load_module_library() -> None:
    """Let TVM with Relax load libraries that hold programs; that TVM must have been imported. Raises as module_library_path."""
    ctypes.CDLL(str(module_library_path()))


def _built(name: str) -> Path | None:
    package = sys.modules[__name__.rpartition(".")[0]]
    folders = map(Path, package.__path__)  # two in an editable install: the sources, and what was built
    return next((folder / name for folder in folders if (folder / name).is_file()), None)


@cache
def c_library() -> ctypes.CDLL:
    """With its functions declared."""
    return _declare(ctypes.CDLL(str(library_path())))


def load_library_global() -> ctypes.CDLL:
    """Make the library's symbols visible to code that is loaded later, as modules built by TVM are."""
    return _declare(ctypes.CDLL(str(library_path()), mode=ctypes.RTLD_GLOBAL))


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, arguments) in _PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
