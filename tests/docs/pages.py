"""The documentation as the tests read it: its pages, and what they name."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDERS = ("tvm_re2na", "codegen", "runtime", "tests", "docs", "benchmarks", "tutorials", "examples", ".ci", ".github")
PAGES = tuple(sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("tvm_re2na/**/README.md")]))
PACKAGES = {
    "tvm_re2na.codegen": "codegen",
    "tvm_re2na.runtime": "runtime",
    "tvm_re2na.tutorials": "tutorials",
    "tests": "tests",
    "tvm_re2na": "tvm_re2na",
}
NEW = r"\(new\) ([\w./-]+)"  # of an example: a file that is not there


@cache
def text(page: Path) -> str:
    return page.read_text(encoding="utf-8")


@cache
def paths() -> frozenset[str]:
    """Every file and folder of the repository, and each end of its path: a page may name `a/b.py` as `b.py`."""
    there = [path for path in ROOT.iterdir() if path.is_file()]
    for folder in FOLDERS:
        there += [ROOT / folder, *(ROOT / folder).rglob("*")]
    parts = [path.relative_to(ROOT).parts for path in there if "__pycache__" not in path.parts]
    return frozenset("/".join(own[start:]) for own in parts for start in range(len(own)))


def quoted(page: Path) -> Iterator[str]:
    """The words of what stands in backticks or is indented as code."""
    content = re.sub(NEW, "new", text(page))
    fenced = re.findall(r"^```\w*\n(.*?)^```", content, re.M | re.S)
    rest = re.sub(r"^```.*?^```", "", content, flags=re.M | re.S)
    lines = re.findall(r"^    .*$", rest, re.M)
    for piece in (*re.findall(r"`([^`\n]+)`", rest), *lines, *fenced):
        yield from re.findall(r"[\w./~*:{}<>$#@+-]+", piece)


def slug(heading: str) -> str:
    """The anchor that GitHub gives a heading."""
    plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
    return re.sub(r"[^\w\- ]", "", plain.strip().lower()).replace(" ", "-")


def anchors(page: Path) -> set[str]:
    content = re.sub(r"^```.*?^```", "", text(page), flags=re.M | re.S)
    return {slug(heading) for heading in re.findall(r"^#+ (.+)$", content, re.M)}
