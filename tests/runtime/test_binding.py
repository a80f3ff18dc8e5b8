"""What ctypes has of the ABI is what a C compiler has of it."""

from __future__ import annotations

import ctypes
import subprocess
from pathlib import Path

import pytest

from tvm_re2na.codegen.generate import abi_text
from tvm_re2na.codegen.generate.files import main
from tvm_re2na.codegen.generate.header import HeaderError, parse
from tvm_re2na.runtime import abi_table
from tvm_re2na.runtime.abi import c_library

ROOT = Path(__file__).parents[2]
INCLUDE = ROOT / "runtime/include"
HEADER = (INCLUDE / "re2na.h").read_text(encoding="utf-8")
STRUCTURES = {
    f"re2na_{name[1:].lower()}": kind
    for name, kind in vars(abi_table).items()
    if isinstance(kind, type) and issubclass(kind, ctypes.Structure) and kind is not ctypes.Structure
}


def compiled(tmp_path: Path, expressions: list[str]) -> list[int]:
    """The values of C expressions."""
    source, program = tmp_path / "values.c", tmp_path / "values"
    lines = "".join(f'  printf("%lld\\n", (long long)({expression}));\n' for expression in expressions)
    source.write_text(
        f'#include <stddef.h>\n#include <stdio.h>\n#include "re2na.h"\nint main(void) {{\n{lines}  return 0;\n}}\n'
    )
    try:
        subprocess.run(["cc", "-std=c11", f"-I{INCLUDE}", str(source), "-o", str(program)], check=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    done = subprocess.run([program], check=True, capture_output=True, text=True)
    return [int(line) for line in done.stdout.split()]


def test_structures_lie_as_in_c(tmp_path: Path) -> None:
    expected = {}
    for name, kind in STRUCTURES.items():
        expected[f"sizeof({name})"] = ctypes.sizeof(kind)
        for member, *_ in kind._fields_:
            expected[f"offsetof({name}, {member})"] = getattr(kind, member).offset
            expected[f"sizeof((({name} *)0)->{member})"] = getattr(kind, member).size
    assert len(STRUCTURES) == 7
    assert dict(zip(expected, compiled(tmp_path, list(expected)), strict=True)) == expected


def test_names_stand_at_their_numbers(tmp_path: Path) -> None:
    kernels = {f"RE2NA_KERNEL_{name.upper()}": number for number, name in enumerate(abi_table.KERNELS)}
    statuses = {f"RE2NA_ERROR_{name.upper()}": number for number, name in enumerate(abi_table.STATUS) if number}
    numbers = {f"RE2NA_{name}": value for name, value in vars(abi_table).items() if name.isupper()}
    numbers = {name: value for name, value in numbers.items() if isinstance(value, int)}
    expected = kernels | statuses | numbers
    assert {"RE2NA_MOST_THREADS", "RE2NA_DEFAULT_WORK"} <= numbers.keys() and abi_table.STATUS[0] == "ok"
    assert dict(zip(expected, compiled(tmp_path, list(expected)), strict=True)) == expected


def test_every_function_is_declared_and_takes_no_other_structure() -> None:
    library = c_library()
    for name, (result, arguments) in abi_table.PROTOTYPES.items():
        function = getattr(library, name)
        assert (function.restype, tuple(function.argtypes)) == (result, arguments)
    with pytest.raises(ctypes.ArgumentError):
        library.re2na_bridge_totals(abi_table.CCounters())


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("float *sums", "double *sums", r"sums: no type of ctypes for Type\(base='double', pointers=1, items=None\)"),
        ("uint32_t rank;", "uint32_t *rank;", "rank: no type of ctypes"),
        ("uint32_t rank;", "unsigned int rank;", "no variable that is known: unsigned int rank"),
        ("uint64_t start, finish;", "uint64_t *start, finish;", "no variable that is known"),
        ("re2na_totals *totals);", "re2na_sums *totals);", "totals: no type of ctypes"),
        ("RE2NA_ERROR_SIZE = 3,", "RE2NA_ERROR_SIZE = 30,", "enum re2na_status: no name is known for it, or its members"),
        ("RE2NA_ERROR_SIZE = 3,", "RE2NA_ERROR_SIZE,", "a member of an enum without its number: RE2NA_ERROR_SIZE"),
        ("enum re2na_kernel {", "enum re2na_loops {", "enum re2na_loops: no name is known for it"),
        ("(UINT64_C(1) << 44)", "(1 + 2)", r"no number that is known: \(1 \+ 2\)"),
        ("typedef struct re2na_machine re2na_machine;", "typedef int re2na_machine;", "no declaration that is known: typedef int"),
        ("RE2NA_API void re2na_bridge_reset(void);", "RE2NA_API void re2na_bridge_reset(void)", "no declaration: RE2NA_API void"),
        ("enum { RE2NA_BRIDGE", "#pragma once\nenum { RE2NA_BRIDGE", "no declaration that is known: #pragma once enum"),
    ],
)  # fmt: skip
def test_what_the_parser_does_not_know_is_told(old: str, new: str, message: str) -> None:
    assert HEADER.count(old) == 1, old
    with pytest.raises(HeaderError, match=message):
        abi_text.python(HEADER.replace(old, new))


def test_a_stale_table_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for folder in ("docs", "runtime/include"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("docs/isa.md", "docs/timing.md", "runtime/include/re2na_isa.h", "runtime/abi_table.py"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    for header, status in ((HEADER, 0), (HEADER.replace("MOST_THREADS = 256", "MOST_THREADS = 257"), 1)):
        (tmp_path / "runtime/include/re2na.h").write_text(header, encoding="utf-8")
        assert main(["--check", "--root", str(tmp_path)]) == status
    assert capsys.readouterr().err.startswith("runtime/abi_table.py is not what it is made from: run python -m")
    assert main(["--root", str(tmp_path)]) == 0
    assert "MOST_THREADS = 257\n" in (tmp_path / "runtime/abi_table.py").read_text(encoding="utf-8")


def test_handles_and_tables() -> None:
    found = {function.name: function for function in parse(HEADER).functions}
    create = found["re2na_machine_create"]
    assert [(each.name, each.type.base, each.type.pointers) for each in create.parameters] == [
        ("program", "re2na_program", 1),
        ("machine", "re2na_machine", 2),
        ("error", "re2na_error", 1),
    ]
    assert abi_table.PROTOTYPES["re2na_machine_create"] == (
        ctypes.c_int32,
        (ctypes.c_void_p, ctypes.POINTER(ctypes.c_void_p), ctypes.POINTER(abi_table.CError)),
    )
    assert found["re2na_bridge_reset"].parameters == ()
