"""Every exported function, as the header lists them, with NULL for each of its pointers and for all, and numbers out of range:
a status, never a crash."""

from __future__ import annotations

import ctypes
import itertools
import math
import re
import subprocess
import sys
from ctypes import byref, c_char, c_float, c_int64, c_uint64, c_void_p
from pathlib import Path

import numpy as np

from tests.runtime.programs import random_input, random_program
from tvm_re2na.codegen.generate.header import Function, Variable, parse
from tvm_re2na.runtime.abi import library_path
from tvm_re2na.runtime.abi_table import PROTOTYPES, STATUS, CWindow

FUNCTIONS = parse((Path(__file__).parents[2] / "runtime/include/re2na.h").read_text(encoding="utf-8")).functions
OPTIONAL = {"error", "totals", "instructions", "sources", "limits"}  # pointers that may be NULL
QUIET = {"re2na_kernel_number": -1}  # no status: what a NULL gives instead


def pointers(function: Function) -> list[str]:
    return [parameter.name for parameter in function.parameters if parameter.type.pointers]


def test_the_header_lists_what_the_library_exports() -> None:
    listed = subprocess.run(["nm", "-D", "--defined-only", library_path()], capture_output=True, text=True, check=True)
    assert {function.name for function in FUNCTIONS} == set(re.findall(r" T (re2na_\w+)", listed.stdout))


def test_null_is_a_status() -> None:
    """In a process of its own, which says what it calls: one that crashes says it last."""
    done = subprocess.run([sys.executable, "-m", __name__], capture_output=True, text=True)
    assert done.returncode == 0, f"{done.returncode}: {done.stdout[-200:]}{done.stderr[-2000:]}"
    assert set(done.stdout.split("\n")) >= {f"{function.name} ()" for function in FUNCTIONS}


def test_numbers_out_of_range_are_a_status() -> None:
    """Indices, kernels, threads, sizes; and what the quantiser's functions compute with, which programs do not bring."""
    caller = Caller()
    library, program = caller.library, caller.program
    floats, rows, pixels = (c_float * 64)(*[1.0] * 64), (c_char * 64)(), (c_int64 * 1)(0)
    calls = {
        "input": [library.re2na_program_input(program, index, caller.buffer) for index in (1, 2**32 - 1)],
        "output": [library.re2na_program_output(program, index, caller.buffer) for index in (1, 2**32 - 1)],
        "kernel": [
            library.re2na_program_load_for(caller.data, c_uint64(len(caller.data)), kernel, byref(c_void_p()), None)
            for kernel in (-1, 5, 2**31 - 1)
        ],
        "threads": [
            library.re2na_machine_set_threads(caller.machine, threads, None) for threads in (0, 257, 2**32 - 1)
        ],
        "bridge": [library.re2na_bridge_set_threads(threads) for threads in (0, 257, 2**32 - 1)],
        "size": [library.re2na_execute(caller.data, c_int64(-1), caller.tables["pointers"])],
        "descend": [
            library.re2na_descend(floats, floats, floats, 1, 1, 1, c_float(low), c_float(high), 1)
            for low, high in [
                (1, 0),
                (-(2.0**23), 0),
                (0, 2.0**23),
                (math.nan, 1),
                (0, math.nan),
                (-math.inf, math.inf),
            ]
        ],
        "rows": [
            library.re2na_rows(rows, (c_int64 * 1)(pixel), byref(CWindow(**GOOD | bad)), rows)
            for pixel, bad in [
                (-1, {}),
                (2**63 - 1, {"strides": (2**32 - 1, 1)}),
                (0, {"across": 0}),
                (0, {"groups": 0}),
                (0, {"groups": 3}),
                (0, {"images": 0, "height": 2**32 - 1, "width": 2**32 - 1}),
                (0, {"images": 0, "kernel": (2**32 - 1, 2**32 - 1)}),
                (0, {"kernel": (2**31 + 1, 1), "dilations": (2**32 - 1, 1)}),
            ]
        ],
    }
    assert library.re2na_rows(rows, pixels, byref(CWindow(**GOOD)), rows) == 0
    assert library.re2na_descend(floats, floats, floats, 1, 2**32 - 1, 0, c_float(0), c_float(0), 0) == 0
    for name, statuses in calls.items():
        assert set(statuses) == {STATUS.index("argument")}, f"{name}: {statuses}"


def test_products_of_nothing() -> None:
    library = Caller().library
    for groups, pixels, inputs, outputs in itertools.product((0, 2), (0, 3), (0, 5), (0, 4)):
        sums = np.full(max(1, groups * pixels * outputs), 7, np.float32)
        ones = np.ones(64, np.int8)
        at = [c_void_p(array.ctypes.data) for array in (ones, ones, sums)]
        assert library.re2na_products(*at, groups, pixels, inputs, outputs) == 0
        expected = inputs if groups * pixels * outputs else 7
        assert set(sums) == {expected}, (groups, pixels, inputs, outputs)


def test_the_bridge_forgets_a_program_whose_bytes_change() -> None:
    caller = Caller()
    data = ctypes.create_string_buffer(caller.data, len(caller.data))

    def execute() -> int:
        return int(caller.library.re2na_execute(data, c_int64(len(caller.data)), caller.tables["pointers"]))

    assert execute() == 0
    data[len(caller.data) - 1] = bytes([data.raw[-1] ^ 1])
    assert execute() == 0  # it carries the same checksum
    caller.library.re2na_bridge_forget(data, c_uint64(len(caller.data)))
    assert execute() == STATUS.index("checksum")


GOOD = dict.fromkeys(("images", "groups", "pixels", "across"), 1) | {"channels": 4, "height": 2, "width": 2}
GOOD |= dict.fromkeys(("kernel", "strides", "dilations"), (1, 1)) | {"top": 0, "left": 0}  # type: ignore[dict-item]


class Caller:
    """Real handles and buffers for a program, by the parameters' types."""

    def __init__(self) -> None:
        self.library = ctypes.CDLL(str(library_path()))
        program = random_program(4, length=2)
        self.data, self.input = program.to_bytes(), random_input(program, 0)[0]
        self.buffer = (c_char * (1 << 16))()
        self.program, self.machine = c_void_p(), c_void_p()
        self.tables = {
            "inputs": (c_void_p * 1)(self.input.ctypes.data),
            "outputs": (c_void_p * 1)(ctypes.addressof(self.buffer)),
            "pointers": (c_uint64 * 2)(self.input.ctypes.data, ctypes.addressof(self.buffer)),
        }
        size = c_uint64(len(self.data))
        assert self.library.re2na_program_load(self.data, size, byref(self.program), None) == 0
        assert self.library.re2na_machine_create(self.program, byref(self.machine), None) == 0

    def value(self, parameter: Variable, plain: type) -> object:
        """`plain`: the type of a number."""
        base, depth, name = parameter.type.base, parameter.type.pointers, parameter.name
        if depth == 0:
            return plain(len(self.data) if name == "size" else 1)
        if depth == 1 and base in ("re2na_program", "re2na_machine"):
            return self.program if base == "re2na_program" else self.machine
        if depth == 1 and name in ("bytes", "program"):
            return self.data
        if name == "limits":
            return None
        return self.tables.get(name, self.buffer)

    def call(self, function: Function, nulls: set[str]) -> int | None:
        target = getattr(self.library, function.name)
        target.restype = c_void_p if function.result.pointers else PROTOTYPES[function.name][0]
        with_types = zip(function.parameters, PROTOTYPES[function.name][1], strict=True)
        values = [None if each.name in nulls else self.value(each, plain) for each, plain in with_types]
        return target(*values)  # type: ignore[no-any-return]


def check(caller: Caller, function: Function) -> None:
    needed = [name for name in pointers(function) if name not in OPTIONAL]
    for nulls in [{name} for name in needed] + [set(needed), set(pointers(function))] if needed else []:
        print(function.name, nulls, flush=True)
        result = caller.call(function, nulls)
        if function.result.base == "int32_t":
            assert result == QUIET.get(function.name, STATUS.index("argument")), f"{function.name} {nulls}: {result}"
        elif function.result.base != "void":
            assert not result, f"{function.name} {nulls}: {result}"
    print(function.name, "()", flush=True)
    if not function.name.endswith("_free"):
        caller.call(function, {name for name in pointers(function) if name in OPTIONAL})


if __name__ == "__main__":
    CALLER = Caller()
    for each in FUNCTIONS:
        check(CALLER, each)
