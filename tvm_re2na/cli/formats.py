"""Tables without frames: aligned text for grep, and CSV for other programs."""

from __future__ import annotations

import csv
import io
import re
from typing import TYPE_CHECKING

from rich.cells import cell_len
from rich.text import Text

if TYPE_CHECKING:
    from collections.abc import Callable

    from rich.console import RenderableType
    from rich.table import Table

GROUPED = re.compile(r"(?<![^\s(])-?\d{1,3}(,\d{3})+(\.\d+)?(?=[\s)]|, |$)")  # 1,234.5, alone or before its unit


def plain(table: Table) -> str:
    """A row is a line; columns are two spaces apart."""
    rows = _rows(table)
    widths = [max(map(cell_len, column)) for column in zip(*rows, strict=True)]
    right = [column.justify == "right" for column in table.columns]
    lines = [str(table.title)] if table.title else []
    for row in rows:
        padded = zip(row, widths, right, strict=True)
        cells = [_pad(cell, width, at_right) for cell, width, at_right in padded]
        lines.append("  ".join(cells).rstrip())
    return "".join(f"{line}\n" for line in (*lines, *_caption(table)))


def comma_separated(table: Table) -> str:
    """Numbers without the commas of thousands, in sentences too."""
    text = io.StringIO()
    rows = [[GROUPED.sub(lambda number: number[0].replace(",", ""), cell) for cell in row] for row in _rows(table)]
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


TEXTS: dict[str, Callable[[Table], str]] = {"plain": plain, "csv": comma_separated}


def _rows(table: Table) -> list[list[str]]:
    """The titles of the columns, where there are any, and every row."""
    rows = [list(map(text_of, row)) for row in zip(*(column.cells for column in table.columns), strict=True)]
    return [[text_of(column.header) for column in table.columns], *rows] if table.show_header else rows


def text_of(cell: RenderableType | None) -> str:
    """Of a cell or a title, on one line; brackets are no markup: names have them."""
    return " ".join((cell.plain if isinstance(cell, Text) else str(cell)).split())


def _pad(cell: str, width: int, at_right: bool) -> str:
    space = " " * (width - cell_len(cell))
    return space + cell if at_right else cell + space


def _caption(table: Table) -> list[str]:
    return str(table.caption).splitlines() if table.caption else []
