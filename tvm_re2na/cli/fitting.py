"""Tables in a terminal: names, words and numbers stay whole, and what does not fit goes beneath the name, or goes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.console import Console
from rich.measure import Measurement
from rich.table import Table

from tvm_re2na.cli.formats import text_of

# columns that a narrow terminal does without, those that are missed least first
SPARED = (
    *("op", "kind", "e_x", "e_w", "e_y", "lsb", "worst case", "limit"),
    *("ALU", "switch", "fill", "MAC", "store?", "load?", "compulsory", "use", "bound", "MACs", "DRAM bytes"),
    *("values", "cosine", "steps", "ties", "saturated", "overflowed", "ONNX Runtime dB", "output dB"),
    *("idle", "SRAM", "DRAM", "L1 norm", "additions", "us", "mm2", "uJ"),
    *("all but it: SNR dB", "alone: SNR dB", "all but it: top-1", "alone: top-1"),
    *("observed max", "headroom", "largest sum", "PyParch's rule", "free", "carry bits"),
)
ANY_WIDTH = 10**4


@dataclass(frozen=True)
class _Column:
    header: str
    cells: tuple[str, ...]
    is_number: bool

    @property
    def least(self) -> int:
        """A number is whole with its unit, everything else to the word."""
        parts = [part for cell in self.cells for part in ([cell] if self.is_number else cell.split())]
        return max(map(cell_len, (*self.header.split(), *parts)), default=0)

    @property
    def widest(self) -> int:
        lines = [line for cell in self.cells for line in cell.splitlines()]
        return max(map(cell_len, (self.header, *lines)))

    @property
    def is_prose(self) -> bool:
        return not self.is_number and any(" " in cell for cell in self.cells)


def fitted(table: Table, console: Console, width: int) -> Table:
    """The table in `width` characters, or as few as it can have. The caption says which columns were left out."""
    columns = [
        _Column(text_of(column.header), tuple(map(text_of, column.cells)), column.justify == "right")
        for column in table.columns
    ]

    def missing() -> int:
        return sum(column.least for column in columns) + _frame(table, columns, console) - width

    if missing() > 0 and table.show_header:
        columns = _prose_beneath_names(columns)
    gone = []
    while missing() > 0 and (spared := _least_missed(columns)) is not None:
        columns.remove(spared)
        gone.append(spared.header)
    made = _made(table, columns, _widths(columns, -missing()))
    if gone:
        told = f"left out: {', '.join(gone)}; a wider terminal and --format plain have all"
        made.caption = f"{told}\n{text_of(table.caption)}" if table.caption else told
    return made


def _prose_beneath_names(columns: Sequence[_Column]) -> list[_Column]:
    """Texts of several words, row by row under what the row is about."""
    first, *others = columns
    cells = list(first.cells)
    for column in others:
        if column.is_prose:
            pairs = zip(cells, column.cells, strict=True)
            cells = [f"{cell}\n{column.header}: {text}" if text else cell for cell, text in pairs]
    return [replace(first, cells=tuple(cells)), *(column for column in others if not column.is_prose)]


def _least_missed(columns: Sequence[_Column]) -> _Column | None:
    known = {column.header: column for column in columns}
    return next((known[header] for header in SPARED if header in known), None)


def _widths(columns: Sequence[_Column], spare: int) -> list[int]:
    """What is left over, in equal parts to those that want it."""
    widths = [column.least for column in columns]
    wanted = sorted(range(len(columns)), key=lambda index: columns[index].widest - widths[index])
    for done, index in enumerate(wanted):
        more = max(0, min(columns[index].widest - widths[index], spare // (len(wanted) - done)))
        widths[index] += more
        spare -= more
    return widths


def _frame(table: Table, columns: Sequence[_Column], console: Console) -> int:
    """The width of lines and spaces around the columns."""
    options = console.options.update(width=ANY_WIDTH)
    narrow = [replace(column, cells=()) for column in columns]
    return Measurement.get(console, options, _made(table, narrow, [1] * len(narrow))).maximum - len(narrow)


def _made(table: Table, columns: Sequence[_Column], widths: Sequence[int]) -> Table:
    made = Table(
        title=table.title,
        caption=table.caption,
        title_justify=table.title_justify,
        caption_justify="left",
        box=table.box,
        padding=table.padding,
        show_header=table.show_header,
    )
    for column, width in zip(columns, widths, strict=True):
        made.add_column(column.header, justify="right" if column.is_number else "left", width=width, overflow="fold")
    for row, cells in zip(table.rows, zip(*(column.cells for column in columns), strict=True), strict=False):
        made.add_row(*cells, end_section=row.end_section)
    return made
