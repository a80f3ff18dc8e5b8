"""The table of layers: its columns are declared here, once, and header, cells and what they sort by follow."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from html import escape

from tvm_re2na.reporting.differences import Differences, LayerPair
from tvm_re2na.reporting.document import ReportLayer, Shape
from tvm_re2na.runtime.timeline import CAUSE_NAMES, CAUSES

Cell = int | float | str | None
TAIL = 16  # characters of a name that are always shown


@dataclass(frozen=True)
class Column:
    """`of`: what a layer has there; `show`: how a number is written; `by`: what the column is sorted by, where not by that."""

    title: str
    of: Callable[[ReportLayer], Cell]
    show: Callable[[float], str] = "{:,.0f}".format
    hint: str = ""
    by: Callable[[ReportLayer], Cell] | None = None

    def cell(self, layer: ReportLayer | None) -> str:
        if layer is None:
            return cell(None, self.show)
        return cell(self.of(layer), self.show, None if self.by is None else self.by(layer))


def _cost(name: str) -> Callable[[ReportLayer], Cell]:
    return lambda layer: None if layer.costs is None else getattr(layer.costs, name)


def _number(name: str) -> Callable[[ReportLayer], Cell]:
    return lambda layer: None if layer.numbers is None else getattr(layer.numbers, name)


def _cause(name: str) -> Callable[[ReportLayer], Cell]:
    return lambda layer: None if layer.costs is None else layer.costs.causes.get(name)


def _energy(layer: ReportLayer) -> Cell:
    return None if layer.costs is None else sum(layer.costs.energy_pj.values()) / 1e6


def _above_bound(layer: ReportLayer) -> Cell:
    costs = layer.costs
    return None if costs is None or not costs.cycles_bound else costs.cycles / costs.cycles_bound


def _loss(layer: ReportLayer) -> Cell:
    costs = layer.costs
    return None if costs is None or costs.loss is None else f"{costs.loss_cycles:,}: {costs.loss}"


def place(layer: ReportLayer) -> str:
    """Where it runs."""
    if not layer.offloaded:
        return "CPU"
    return f"Re²Na/{layer.region}" if layer.region else "Re²Na"


def why(layer: ReportLayer) -> str:
    """Why it is on the CPU; empty where it is not."""
    if layer.offloaded:
        return ""
    found = [f"{name} {value}" for name, value in (("value", layer.value), ("limit", layer.limit)) if value is not None]
    return f"{layer.reason} ({': '.join((str(layer.rule), ', '.join(found)))})"


def shape_text(shape: Shape | None) -> str:
    return "" if shape is None else "×".join(map(str, shape))


COLUMNS = (
    Column("runs on", place),
    Column("cycles", _cost("cycles"), hint="its share of the array's time"),
    Column("bound", _cost("cycles_bound"), hint="what no schedule can beat"),
    Column("cycles/bound", _above_bound, "{:.2f}".format),
    Column("largest loss", _loss, hint="cycles of the largest cause beyond the bound", by=_cost("loss_cycles")),
    Column("use", _cost("utilisation"), "{:.1%}".format, "MACs / (cycles × peak)"),
    Column("DRAM bytes", _cost("dram_bytes")),
    Column("MACs", _cost("macs")),
    Column("kind", lambda layer: layer.op),
    Column("input", lambda layer: ", ".join(map(shape_text, layer.input_shapes))),
    Column("weights", lambda layer: shape_text(layer.weight_shape)),
    Column("output", lambda layer: shape_text(layer.output_shape)),
    *(Column(CAUSE_NAMES[name][0], _cause(name), hint=doc) for name, doc in CAUSES.items()),
    Column(
        "compulsory", _cost("dram_bytes_compulsory"), hint="each weight and bias, the network's input and output, once"
    ),
    Column("SRAM live", _cost("sram_peak_bytes"), hint="the most bytes of any layer that are live meanwhile"),
    Column("energy uJ", _energy, "{:.3f}".format),
    Column("e_x", _number("e_x"), hint="exponent of the input"),
    Column("e_w", _number("e_w"), hint="exponent of the weights"),
    Column("e_y", _number("e_y"), hint="exponent of the output"),
    Column("lsb", _number("lsb"), hint="bits cut off"),
    Column("headroom", _number("headroom"), "{:.2f}".format, "accumulator's limit / largest sum"),
    Column("carry bits", _number("carry_bits"), hint="bits of the largest sum beyond those of a product"),
    Column("SNR dB", _number("snr_db"), "{:.1f}".format, "of the layer's result on images held back"),
    Column("why on the CPU", why),
)


def layer_table(layers: Sequence[ReportLayer]) -> str:
    """HTML. A row has its layer's place in the list as its `data-layer`, a number what it is sorted by as `data-value`."""
    used = [column for column in COLUMNS if any(column.of(layer) not in (None, "") for layer in layers)]
    head = (
        _head("#", "", True)
        + _head("layer")
        + "".join(
            _head(column.title, column.hint, any(isinstance(column.of(layer), int | float) for layer in layers))
            for column in used
        )
    )
    rows = (
        f"{_row(index, f'{layer.op}, {place(layer)}')}>{cell(index, '{:.0f}'.format)}{_name(layer.name)}"
        + "".join(column.cell(layer) for column in used)
        + "</tr>"
        for index, layer in enumerate(layers)
    )
    return _table(head, rows)


def pair_table(found: Differences) -> str:
    """The same of two runs: those of a figure that differ stand beside each other, with the difference in cycles first."""
    chosen = [column for column in COLUMNS if column.title in PAIRED and _differs(column, found.layers)]
    titles = [f"{column.title} {side}" for column in chosen for side in "AB"]
    head = (
        _head("#", "", True)
        + _head("layer")
        + _head("cycles B − A", "", True)
        + "".join(_head(title) for title in titles)
    )
    rows = (
        _row(index, f"B − A: {_apart(pair.more_cycles)} cycles")
        + f"{'' if pair.changed else ' class=same'}>{cell(pair.label, str, pair.number)}"
        f"{_name(pair.name)}{cell(pair.more_cycles, _apart)}"
        + "".join(column.cell(side) for column in chosen for side in (pair.a, pair.b))
        + "</tr>"
        for index, pair in enumerate(found.layers)
    )
    return _table(head, rows)


PAIRED = {
    *("runs on", "why on the CPU", "cycles", "largest loss", "use", "DRAM bytes", "SRAM live", "energy uJ"),
    *("e_x", "e_w", "e_y", "headroom", "carry bits", "SNR dB"),
}


def _differs(column: Column, pairs: Sequence[LayerPair]) -> bool:
    sides = ((None if side is None else column.of(side) for side in (pair.a, pair.b)) for pair in pairs)
    return any(one != other for one, other in sides)


def _row(index: int, told: str) -> str:
    return f'<tr data-layer="{index}" data-told="{escape(told)}" tabindex="0"'


def _apart(cycles: float) -> str:
    return f"{cycles:+,.0f}" if cycles else "0"


def _head(title: str, hint: str = "", numbers: bool = False) -> str:
    told = (f' title="{escape(hint)}"' if hint else "") + (" class=n" if numbers else "")
    return f'<th scope="col" aria-sort="none"{told}><button type="button">{escape(title)}</button></th>'


def cell(value: Cell, show: Callable[[float], str], by: Cell = None) -> str:
    """Numbers to the right, and what they, or `by` in their place, are to sort by."""
    by = value if by is None else by
    key = f' data-value="{by!r}"' if isinstance(by, int | float) else ""
    if isinstance(value, int | float):
        return f'<td class="n"{key}>{escape(show(value))}</td>'
    return f"<td{key}>{escape(value)}</td>" if value else "<td></td>"


def _name(name: str) -> str:
    """In two parts: where there is no room for all of it the middle goes, as both ends tell operators apart."""
    head, tail = name[:-TAIL], name[-TAIL:]
    return f'<th scope="row"><span class="name"><span>{escape(head)}</span><span>{escape(tail)}</span></span></th>'


def _table(head: str, rows: Iterable[str]) -> str:
    body = "".join(rows)
    nothing = f'<tfoot hidden><tr><td colspan="{head.count("<th ")}">nothing matches</td></tr></tfoot>'
    return (
        '<div class="wide"><div class="scroll"><table class="layers">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody>{nothing}</table></div></div>"
    )
