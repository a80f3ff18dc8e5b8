"""Our docstrings as reStructuredText: indented paragraphs are listings, lines `name: what it is` a list, powers no emphasis."""

from __future__ import annotations

import re
from itertools import groupby
from typing import Any

FIELD = re.compile(r"(\w+(?:, \w+)*): ")


def as_restructured(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """For Sphinx's event autodoc-process-docstring: changes `lines`."""
    del app, what, name, value, options
    lines[:] = restructured(lines)


def restructured(lines: list[str]) -> list[str]:
    """Paragraph by paragraph; one that is indented as a whole is a listing."""
    found: list[str] = []
    for empty, group in groupby(lines, lambda line: not line.strip()):
        paragraph = list(group)
        if empty:
            found += paragraph
        elif all(line.startswith("    ") for line in paragraph):
            found += ["::", "", *paragraph]
        else:
            found += _listed([_escaped(line) for line in paragraph])
    return found


def _listed(paragraph: list[str]) -> list[str]:
    """Lines `name: what it is`, each with indented ones behind it, as a list."""
    begins = [line for line in paragraph if not line.startswith(" ")]
    if not all(FIELD.match(line) for line in begins) or len(paragraph) == 1:
        return paragraph
    return [
        f"  {line.strip()}" if line.startswith(" ") else "* " + FIELD.sub(r"``\1``: ", line, count=1)
        for line in paragraph
    ]


def _escaped(line: str) -> str:
    """`2**e` and `|sum|` outside of backticks."""
    pieces = re.split(r"(`+[^`]*`+)", line)
    return "".join(re.sub(r"([*|])", r"\\\1", piece) if index % 2 == 0 else piece for index, piece in enumerate(pieces))
