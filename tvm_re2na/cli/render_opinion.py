"""The second opinion as a table, or as the one line that it is where all is well."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from rich.table import Table

if TYPE_CHECKING:
    from rich.console import RenderableType

    from tvm_re2na.opinion import OperatorOpinion, SecondOpinion


def opinion_text(opinion: SecondOpinion | None) -> tuple[RenderableType, ...]:
    """The operators at which TVM parts from ONNX Runtime, or that there are none."""
    if opinion is None:
        return ()
    images, all_of_them = f"{opinion.images} image{'s' if opinion.images > 1 else ''}", len(opinion.operators)
    if opinion.agrees:
        return (f"ONNX Runtime agrees at all {all_of_them} operators, but for ties ({images})",)
    found = f"TVM parts from ONNX Runtime by more than ties at {len(opinion.parting)} of {all_of_them} operators ({images}):"
    return (found, judged_table(opinion.parting, "Operators that part"))


def judged_table(operators: Iterable[OperatorOpinion], title: str) -> Table:
    """One line per operator. `ties` are the differences that a rounding explains."""
    table = Table(title=title, title_justify="left")
    for name in ("operator", "kind", "elements", "ties", "wrong", "steps"):
        table.add_column(name, justify="left" if name in ("operator", "kind") else "right", overflow="fold")
    for row in operators:
        steps = "-" if row.steps is None else f"{row.steps:,}"
        ties = f"{row.differing - row.parting:,}"
        table.add_row(row.name, row.op, f"{row.elements:,}", ties, f"{row.parting:,} ({row.share:.2%})", steps)
    return table
