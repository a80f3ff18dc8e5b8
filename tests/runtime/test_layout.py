"""How the C library is laid out: folders whose includes run one way, one entry for each instruction, names that do not clash."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tvm_re2na.codegen.isa.table import INSTRUCTIONS

ROOT = Path(__file__).parents[2]
SOURCES = ROOT / "runtime/src"
FOLDERS = ("base", "kernel", "quantiser", "program", "machine", "insn", "load", "run")  # from the bottom up
FILES = sorted(SOURCES.rglob("*.[ch]"))
MOST_LINES, MOST_LINES_OF_A_FUNCTION = 400, 60


def test_the_folders_are_those_of_the_documentation() -> None:
    assert sorted(path.name for path in SOURCES.iterdir()) == sorted(FOLDERS)
    text = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
    assert tuple(re.findall(r"^\| `(\w+)/` \|", text, flags=re.MULTILINE)) == FOLDERS


def test_includes_run_downwards() -> None:
    """A file includes headers of its own folder and of those below, by their path; the two loaders know nothing of each other."""
    for path in FILES:
        own = FOLDERS.index(path.parent.name)
        included = re.findall(r'^#include "([^"]+)"', path.read_text(encoding="utf-8"), flags=re.MULTILINE)
        for folder, _, name in (header.rpartition("/") for header in included if header != "re2na.h"):
            assert (SOURCES / folder / name).is_file(), path
            assert FOLDERS.index(folder) <= own, path
            assert (path.parent.name, folder) != ("run", "load"), path


def test_headers_include_each_other_in_no_circle() -> None:
    """Nor do they within a folder."""
    headers = {
        str(path.relative_to(SOURCES)): path.read_text(encoding="utf-8") for path in FILES if path.suffix == ".h"
    }
    left = {
        name: set(re.findall(r'^#include "([^"]+/[^"]+)"', text, flags=re.MULTILINE)) for name, text in headers.items()
    }
    while left:
        free = {name for name, needs in left.items() if not needs & left.keys()}
        assert free, left
        left = {name: needs for name, needs in left.items() if name not in free}


def test_each_instruction_has_one_entry_which_names_all_it_does() -> None:
    entries: dict[str, str] = {}
    for path in sorted((SOURCES / "insn").glob("*.c")):
        for name, body in re.findall(
            r"^RE2NA_INSN\((\w+),([^;]*)\);", path.read_text(encoding="utf-8"), flags=re.MULTILINE
        ):
            assert name not in entries
            entries[name] = body
    assert sorted(entries) == sorted(row.name for row in INSTRUCTIONS)
    for name, body in entries.items():
        functions = [word.strip() for word in body.split(",")]
        assert len(functions) == 9 and all(re.fullmatch(r"\w+", word) for word in functions), name
        assert not {"NULL", "0"} & set(functions), name


def test_nothing_else_switches_over_instructions() -> None:
    for path in FILES:
        text = path.read_text(encoding="utf-8")
        assert not re.search(r"switch \([^)]*opcode", text), path
        assert not re.findall(rf"case RE2NA_(?:{'|'.join(row.name for row in INSTRUCTIONS)})\b", text), path


def test_what_files_share_has_the_library_s_prefix() -> None:
    for path in FILES:
        if path.suffix == ".h":
            text = path.read_text(encoding="utf-8")
            names = re.findall(r"^(?:typedef )?(?:struct|enum|union) (\w+) \{", text, flags=re.MULTILINE)
            names += re.findall(r"^} (\w+);", text, flags=re.MULTILINE)
            names += re.findall(r"^[a-z][\w \*]*?\b(\w+)\([^;{]*\)(?:;| \{)", text, flags=re.MULTILINE)
            names += re.findall(r"^#define (\w+)", text, flags=re.MULTILINE)
            assert all(name.lower().startswith("re2na_") for name in names), (path, names)


def test_no_two_loops_in_several_versions_have_one_name() -> None:
    """clang makes symbols of static ones."""
    found = [
        name for path in FILES for name in re.findall(r"^RE2NA_CLONES\n[^(]*\b(\w+)\(", path.read_text("utf-8"), re.M)
    ]
    assert len(found) > 5 and len(set(found)) == len(found)


@pytest.mark.parametrize("folder", ["runtime/src", "tests/fuzz", "tests/runtime"])
def test_files_and_functions_are_small(folder: str) -> None:
    for path in sorted((ROOT / folder).rglob("*.[ch]")):
        lines = path.read_text(encoding="utf-8").splitlines()
        assert len(lines) <= MOST_LINES, path
        starts = [number for number, line in enumerate(lines) if re.match(r"[A-Za-z_].*\{$", line)]
        ends = [number for number, line in enumerate(lines) if line.startswith("}")]
        for start in starts:
            end = min((number for number in ends if number > start), default=start)
            assert end - start < MOST_LINES_OF_A_FUNCTION, (path, start + 1)
