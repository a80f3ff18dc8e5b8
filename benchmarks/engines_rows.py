"""What benchmarks/engines.py found: rows, the limits they are held to, table and plot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from rich.table import Table

from tvm_re2na.plot import style

if TYPE_CHECKING:
    from matplotlib.axes import Axes

OURS = "re2na"
# our time / theirs with one thread, at most
TIMES: dict[tuple[str, str], float] = {
    ("lenet5", "onnxruntime"): 0.6,
    **{(name, "onnxruntime"): 0.46 for name in ("resnet18", "mobilenet_v2", "efficientnet_lite0", "vgg16")},
    ("resnet18", "openvino"): 0.75,
    **{(name, "openvino"): 0.9 for name in ("mobilenet_v2", "efficientnet_lite0", "vgg16")},
    **{(name, "litert"): 0.8 for name in ("resnet18", "mobilenet_v2", "efficientnet_lite0")},
}
TICKS = (0.05, 0.1, 0.2, 0.5, 1, 2, 5, 10, 20)  # of ratios
BEATEN_RATE = ("openvino", "litert")  # whose images a second on two processors ours are to be above


@dataclass(frozen=True)
class Row:
    """An engine on a network. By threads: median `seconds` of an image, and our time over its, as the median of ratios of runs side
    by side. `rate`: images a second through two streams. `equal`: the share of outputs that are our reference's. `note`: why there
    are none."""

    network: str
    engine: str
    name: str = ""
    seconds: Mapping[int, float] = field(default_factory=dict)
    ratios: Mapping[int, float] = field(default_factory=dict)
    rate: float | None = None
    equal: float | None = None
    note: str = ""


def misses(rows: Sequence[Row]) -> list[str]:
    """Every limit of a network that was run which is missed, or cannot be judged, in words."""
    found = {(row.network, row.engine): row for row in rows}
    networks = dict.fromkeys(row.network for row in rows)
    missed = [f"{row.network}: {row.equal:.2%} of our outputs are the reference's" for row in rows if _is_wrong(row)]
    for (network, engine), limit in TIMES.items():
        if network not in networks:
            continue
        row = found.get((network, engine))
        if row is None or 1 not in row.ratios:
            missed.append(f"{network}: no time of {engine} to judge by")
        elif row.ratios[1] > limit:
            missed.append(f"{network}: our time / {row.name}'s is {row.ratios[1]:.2f}, above {limit}")
    for network in networks:
        for engine in BEATEN_RATE:
            ours, row = found.get((network, OURS)), found.get((network, engine))
            if ours is None or row is None or ours.rate is None or row.rate is None:
                missed.append(f"{network}: no images a second of {engine} to judge by")
            elif ours.rate <= row.rate:
                missed.append(
                    f"{network}: {ours.rate:,.0f} images/s on two processors, {row.name} does {row.rate:,.0f}"
                )
    return missed


def _is_wrong(row: Row) -> bool:
    return row.engine == OURS and row.equal is not None and row.equal < 1


def table(rows: Sequence[Row]) -> Table:
    shown = Table(
        title="an image in ms, our time over theirs; images a second of two streams; outputs equal to our reference's"
    )
    columns = ("network", "engine", "1 thread", "ours / its", "2 threads", "ours / its", "images/s", "equal")
    for index, name in enumerate(columns):
        shown.add_column(name, justify="left" if index < 2 else "right")
    for row in rows:
        shown.add_row(row.network, row.name or row.engine, *_cells(row))
    return shown


def _cells(row: Row) -> list[str]:
    if not row.seconds:
        return [row.note]
    cells = []
    for threads in (1, 2):
        seconds, ratio = row.seconds.get(threads), row.ratios.get(threads)
        cells += ["" if seconds is None else f"{1e3 * seconds:.4g}"]
        cells += ["" if ratio is None or row.engine == OURS else f"{ratio:.2f}"]
    cells.append("" if row.rate is None else f"{row.rate:,.0f}")
    return [*cells, "" if row.equal is None else f"{row.equal:.2%}"]


def write_plot(rows: Sequence[Row], path: Path) -> None:
    """Each engine's time over ours with one thread, and images a second over ours: right of 1 we are ahead."""
    engines = [name for name in dict.fromkeys(row.engine for row in rows) if name != OURS]
    networks = list(dict.fromkeys(row.network for row in rows))
    figure = style.new_figure(9, 1.6 + 0.5 * len(networks), "int8 engines beside Re²Na's simulator")
    left, right = figure.subplots(1, 2, sharey=True)
    for place, engine in enumerate(engines):
        chosen = [row for row in rows if row.engine == engine]
        times = [(1 / row.ratios[1], row.network) for row in chosen if 1 in row.ratios]
        rates = [(ours / row.rate, row.network) for row in chosen if row.rate and (ours := _rate(rows, row.network))]
        label = next((row.name for row in chosen if row.name), engine)
        for axes, points in ((left, times), (right, rates)):
            _marks(axes, points, networks, label, place)
    style.describe(left, "an image, one thread", "their time / ours")
    style.describe(right, "two streams", "our images a second / theirs")
    for axes in (left, right):
        axes.set_xscale("log")
        axes.axvline(1.0, color=style.MACHINE, linewidth=1)
        low, high = axes.get_xlim()
        axes.set_xticks([tick for tick in TICKS if low <= tick <= high])
        axes.minorticks_off()
        axes.xaxis.set_major_formatter("{x:g}")
    style.named_rows(left, networks)
    style.legend_below(figure, left)
    style.write_figure(figure, path)


def _rate(rows: Sequence[Row], network: str) -> float | None:
    return next((row.rate for row in rows if row.engine == OURS and row.network == network), None)


def _marks(axes: Axes, points: Sequence[tuple[float, str]], networks: Sequence[str], label: str, place: int) -> None:
    colour, mark = style.SIDES[1:][place % (len(style.SIDES) - 1)]
    x, y = [value for value, _ in points], [networks.index(name) for _, name in points]
    axes.plot(x, y, mark, color=colour, label=label, markersize=style.SIZES[1])
