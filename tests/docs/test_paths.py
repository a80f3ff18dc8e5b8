"""What the documentation names is there: files, folders, modules and what is in them, targets of make, links and their headings."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.docs.pages import PACKAGES, PAGES, ROOT, anchors, paths, quoted, text

SUFFIXES = (".py", ".c", ".h", ".cc", ".sh", ".md")
OTHERS = ("tvm/", "vm/", "3rdparty/", "script.py")  # files of TVM's, or of the reader's
MADE = ("build/", "libre2na")  # by the build, or while it runs


def is_path(word: str) -> bool:
    if word.startswith((*OTHERS, *MADE, "/", "~", "-", "$", "<", ".re2na")) or "*" in word or ":" in word:
        return False
    return word.endswith(SUFFIXES) or word.split("/")[0] in (
        "codegen",
        "runtime",
        "tests",
        "benchmarks",
        "docs",
        "tutorials",
        "examples",
    )


def missing_paths(page: Path) -> Iterator[str]:
    for word in quoted(page):
        name = word.rstrip("/.,").removeprefix("./").removeprefix("../")
        if is_path(word) and name not in paths():
            yield name


def missing_names(page: Path) -> Iterator[str]:
    """`package.module.name`: the module is a file, and the file has the name."""
    for word in quoted(page):
        for dotted in re.findall(r"(?<![\w/.])(?:tvm_re2na|tests)(?:\.\w+)+", word):
            package = next(package for package in PACKAGES if dotted == package or dotted.startswith(f"{package}."))
            at, left = ROOT / PACKAGES[package], dotted.removeprefix(package).strip(".").split(".")
            while left and left[0] and ((at / left[0]).is_dir() or (at / f"{left[0]}.py").is_file()):
                folder = at / left.pop(0)
                at = folder if folder.is_dir() else folder.with_suffix(".py")
            source = at / "__init__.py" if at.is_dir() else at
            if left and left[0] and not re.search(rf"\b{left[0]}\b", text(source)):
                yield dotted


def missing_targets(page: Path) -> Iterator[str]:
    targets = set(re.findall(r"^([\w-]+):", text(ROOT / "Makefile"), re.M))
    for line in re.findall(r"(?:`|^    )make ((?:[\w-]+)(?: [A-Z]+=\S+)*)", text(page), re.M):
        target = line.split()[0]
        if target not in targets:
            yield f"make {target}"


def missing_links(page: Path) -> Iterator[str]:
    prose = re.sub(r"(`+).*?\1", "", text(page), flags=re.S)
    for target in re.findall(r"\]\(([^)\s]+)\)", prose):
        if re.match(r"\w+:", target):
            continue
        name, _, anchor = target.partition("#")
        other = (page.parent / name).resolve() if name else page
        if not other.exists() or (anchor and anchor not in anchors(other)):
            yield target


@pytest.mark.parametrize("missing", [missing_paths, missing_names, missing_targets, missing_links])
def test_what_is_named_is_there(missing: Callable[[Path], Iterator[str]]) -> None:
    found = [f"{page.relative_to(ROOT)}: {name}" for page in PAGES for name in missing(page)]
    assert not found, "\n".join(found)
