"""What `re2na debug` found, as tables for people."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from rich import box
from rich.table import Table

if TYPE_CHECKING:
    from tvm_re2na.debugging import Debugging, OperatorFigures
    from tvm_re2na.debugging.report import Parting, WorstImage

LEFT = ("operator", "kind", "runs on", "values")
COLUMNS = ("ONNX Runtime dB", "TVM dB", "Re²Na dB", "alone dB", "output dB", "cosine", "steps", "saturated")
BITS = ("overflowed", "ties", "wrong", "other bits")
BARS = "·▁▂▃▄▅▆▇█"
SIDES = {"onnx_runtime": "ONNX Runtime", "tvm": "TVM", "re2na": "Re²Na"}


def debug_table(found: Debugging) -> Table:
    """One line per operator. `wrong`: elements at which TVM parts from ONNX Runtime by more than a tie; `other bits`: at which
    Re²Na parts from TVM."""
    title = f"Signal over noise against {found.reference} ({found.images} images)"
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("operator", "kind", "runs on", *COLUMNS, *BITS, "values"):
        table.add_column(name, justify="left" if name in LEFT else "right", overflow="fold")
    for row in found.operators:
        table.add_row(row.name, row.op, row.place, *_distances(row), *_bits(row), bars(row.values))
    return table


def worst_table(images: Sequence[WorstImage]) -> Table:
    """The images on which the outputs are worst."""
    table = Table(title="Worst images", title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("image", "scores dB", "label", "class before", "class in int8", "worst operator", "its dB"):
        table.add_column(name, justify="left" if name == "worst operator" else "right", overflow="fold")
    for row in images:
        numbers = (row.label, row.reference_class, row.int8_class)
        table.add_row(
            str(row.image), decibel(row.snr_db), *map(_number, numbers), row.operator, decibel(row.operator_db)
        )
    return table


def debug_lines(found: Debugging) -> Iterable[str]:
    """Where to look, where the sides part, what the outputs are worth."""
    first, ties = found.first_parting, found.first_parting["onnx_runtime_tvm"]
    for side, key, why in (
        ("ONNX Runtime and TVM", "onnx_runtime_tvm_beyond_ties", " by more than ties"),
        ("TVM and Re²Na", "tvm_re2na", ""),
    ):
        yield f"{side} differ{why}, first at {first[key]}" if first[key] else f"{side} differ nowhere{why}"
    if ties:
        yield f"ties are rounded otherwise in ONNX Runtime, first at {ties}"
    for name, sides in found.outputs.items():
        shown = ", ".join(f"{SIDES[side]} {decibel(value)} dB" for side, value in sides.items())
        yield f"output {name}: {shown}"
    yield from found.notes
    if found.suspects:
        yield f"look first at: {'; '.join(map(_suspect, found.suspects))}"


def bars(counts: Sequence[int]) -> str:
    """A histogram of a few characters; what is there at all shows."""
    most = max(counts, default=0) or 1
    return "".join(BARS[-(-count * (len(BARS) - 1) // most)] for count in counts)


def decibel(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"


def _suspect(row: OperatorFigures) -> str:
    if row.parts:
        return f"{row.name} (bits differ)"
    return f"{row.name} ({decibel(row.alone_db)} dB alone)"


def _distances(row: OperatorFigures) -> Iterable[str]:
    sides = (row.onnx_runtime, row.tvm, row.re2na)
    yield from ("-" if side is None else decibel(side.snr_db) for side in (*sides, row.alone))
    yield decibel(row.output_db)
    last = next((side for side in reversed(sides) if side is not None), None)
    yield "-" if last is None or last.cosine is None else f"{last.cosine:.5f}"
    yield "-" if last is None or last.largest_steps is None else f"{last.largest_steps:.1f}"
    yield _share(row.saturated)


def _bits(row: OperatorFigures) -> Iterable[str]:
    yield _share(row.overflowed)
    opinion = row.onnx_runtime_tvm
    beyond = None if opinion is None else opinion.beyond_ties or 0
    yield "-" if opinion is None or beyond is None else f"{opinion.differing - beyond:,}"
    yield _number(beyond)
    yield _differing(row.tvm_re2na)


def _differing(parting: Parting | None) -> str:
    return "-" if parting is None else f"{parting.differing:,}"


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _share(value: float | None) -> str:
    return "-" if value is None else "0" if value == 0 else f"{value:.2%}"
