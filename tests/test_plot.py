"""Figures: no text lies on another, legends cover nothing, colours mean one thing, the same figure is the same bytes."""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("matplotlib")
from matplotlib.figure import Figure
from matplotlib.text import Text

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.debugging import figure as debugging
from tvm_re2na.debugging.figure import debug_figure
from tvm_re2na.debugging.measures import SideFigures
from tvm_re2na.debugging.report import Debugging, OperatorFigures, Parting
from tvm_re2na.plot import check_format, exploration_figure, heat_figure, new_figure, report_figure, style
from tvm_re2na.runtime.losses import beyond_bound
from tvm_re2na.runtime.timeline import CAUSES
from tvm_re2na.survey import BitsSurvey, CarrySurvey, RoundingSurvey, SensitivitySurvey, figures
from tvm_re2na.survey.bits import BitsRow
from tvm_re2na.survey.carry import AccumulatorRow, CarryRow
from tvm_re2na.survey.rounding import RULES, RoundingRow
from tvm_re2na.survey.sensitivity import SensitivityRow

LONG = "/backbone/stages/stages.3/blocks/blocks.{}/conv_pw_expand/Conv_1"
INFINITE = float("inf")


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[Figure]:
    """What would be written."""
    found: list[Figure] = []
    for place in (style, figures, debugging):
        monkeypatch.setattr(place, "write_figure", lambda drawn, path: found.append(drawn))
    return found


def texts(figure: Figure) -> list[Text]:
    """All that can be read, where it is drawn."""
    figure.draw_without_rendering()
    inside = figure.get_window_extent()
    hidden = {text for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for text in beyond_the_view(axis)}
    found = [
        text
        for text in figure.findobj(Text)
        if isinstance(text, Text) and text.get_visible() and text.get_text().strip() and text not in hidden
    ]
    return [text for text in found if text.get_window_extent().overlaps(inside)]


def beyond_the_view(axis: Any) -> list[Text]:
    """Labels of ticks that are not drawn."""
    low, high = sorted(axis.get_view_interval())
    return [tick.label1 for tick in axis.get_major_ticks() if not low <= tick.get_loc() <= high]


def assert_tidy(figure: Figure) -> None:
    shown = texts(figure)
    boxes = {text: text.get_window_extent() for text in shown}
    for one, other in combinations(shown, 2):
        shared = boxes[one].intersection(boxes[one], boxes[other])
        assert shared is None or min(shared.width, shared.height) < 1, (
            f"'{one.get_text()}' lies on '{other.get_text()}'"
        )
    inside = figure.get_window_extent()
    for text in shown:
        assert boxes[text].x0 >= inside.x0 and boxes[text].x1 <= inside.x1, f"'{text.get_text()}' is cut off"
    legends = [*figure.legends, *(axes.get_legend() for axes in figure.axes if axes.get_legend())]
    assert not [
        1 for legend in legends for axes in figure.axes if legend.get_window_extent().overlaps(axes.get_window_extent())
    ]
    assert all(axes.get_xlabel() or axes.get_ylabel() for axes in figure.axes)


def layer(index: int, cycles: int) -> dict[str, Any]:
    causes = dict.fromkeys(CAUSES, 0) | {"mac": cycles, "overhead": 20, "wait_load": index}
    bound = {"compute_bound": cycles, "cycles_bound": cycles}
    known = {"name": LONG.format(index), "cycles": sum(causes.values()), "cycles_bound": cycles}
    return known | {"causes": causes, "causes_beyond": beyond_bound(causes, bound)}


@pytest.mark.parametrize("count", [1, 2, 60])
def test_losses_have_a_scale_of_their_own(drawn: list[Figure], count: int) -> None:
    layers = [layer(index, 1_000_000 + index) for index in range(count)]
    total = {
        "cycles": sum(each["cycles"] for each in layers),
        "cycles_bound": sum(each["cycles_bound"] for each in layers),
    }
    total["causes"] = {cause: sum(each["causes"][cause] for each in layers) for cause in CAUSES}
    report_figure({"layers": layers, "total": total}, "net.png", "net")
    (figure,) = drawn
    whole, beyond = figure.axes
    assert whole.get_xlim()[1] > 1_000_000 and beyond.get_xlim()[1] < 200
    widest = max(patch.get_x() + patch.get_width() for patch in beyond.patches)
    assert widest == 20 + count - 1 and widest > 0.9 * beyond.get_xlim()[1]
    assert_tidy(figure)


def test_losses_end_at_the_cycles_beyond_the_bound(drawn: list[Figure]) -> None:
    """LeNet-5's fc1: 2,078 cycles and a bound of 2,020, of which 20 are transfers under other layers: 78 lost, 58 beyond."""
    causes = dict.fromkeys(CAUSES, 0) | {"mac": 2000, "overhead": 14, "reconfigure": 64}
    bound = {"compute_bound": 2000, "cycles_bound": 2020}
    fc1 = {"name": "fc1", "cycles": 2078, "cycles_bound": 2020, "causes": causes}
    fc1["causes_beyond"] = beyond_bound(causes, bound)
    early = fc1 | {"name": "early", "cycles_bound": 9000}
    report_figure({"layers": [fc1, early], "total": fc1 | {"cycles_bound": 0}}, "net.png", "net", on_cpu=2)
    (figure,) = drawn
    opaque = [patch for patch in figure.axes[1].patches if patch.get_alpha() == 1.0]
    assert max(patch.get_x() + patch.get_width() for patch in opaque if patch.get_y() < 0.5) == 58
    assert not sum(patch.get_width() for patch in opaque if patch.get_y() > 0.5), "sooner than its bound"
    assert max(patch.get_x() + patch.get_width() for patch in figure.axes[1].patches) == 78
    assert "pale" in figure.legends[0].get_texts()[-1].get_text()
    assert "2,078 cycles on Re²Na" in figure.get_suptitle() and "2 operators on the CPU" in figure.get_suptitle()
    assert_tidy(figure)


def test_beyond_the_bound() -> None:
    causes = dict.fromkeys(CAUSES, 0) | {"mac": 50, "wait_load": 29, "alu": 3}
    assert beyond_bound(causes, {"compute_bound": 40, "cycles_bound": 60}) == causes | {"mac": 10, "wait_load": 9}
    assert beyond_bound(causes, {"cycles_bound": 60}) == causes | {"mac": 0, "wait_load": 19}, (
        "an older program does not tell"
    )
    assert beyond_bound(causes, {"compute_bound": 70, "cycles_bound": 70})["mac"] == 0
    filled = beyond_bound(causes | {"overhead": 14}, {"compute_bound": 40, "fill_bound": 14, "cycles_bound": 60})
    assert filled == causes | {"mac": 10, "wait_load": 23}, "filling and draining is not lost, nor waited for as well"


def machine(area: float, cycles: int, dram: int, pareto: bool) -> dict[str, Any]:
    known = {"sram_bytes": round(area * 1e6), "array_shapes": "32x128+16x256"}
    return known | {
        "area_mm2": area,
        "cycles": cycles,
        "dram_bytes": dram,
        "pareto": pareto,
        "pruned": False,
        "error": None,
    }


@pytest.mark.parametrize("count", [0, 1, 3, 25])
def test_the_front_is_joined_and_numbered(drawn: list[Figure], count: int) -> None:
    front = [machine(1 + index / 8, 90_000 // (index + 1), 100 * index, True) for index in range(count)]
    beaten = [machine(3.9, 95_000, 10, False), machine(4, 95_000, 0, False) | {"error": "too small", "cycles": None}]
    exploration_figure([*front, *beaten], ["sram_bytes", "array_shapes"], "front.svg")
    (figure,) = drawn
    (axes,) = figure.axes
    numbered = [text.get_text() for text in axes.texts if text.get_text().isdecimal()]
    assert numbered == [str(index + 1) for index in range(count)]
    assert len(axes.lines) == bool(count)
    assert_tidy(figure)


def test_units_and_re2na_among_the_machines(drawn: list[Figure]) -> None:
    fields = ["sram_bytes", "mac_interval", "dram_bytes_per_cycle", "array_shapes"]
    ours = {"sram_bytes": 3 * 2**19, "mac_interval": 5, "dram_bytes_per_cycle": 24, "array_shapes": "none"}
    rows = [machine(3.6, 9_000, 10, True) | ours, machine(1.1, 19_000, 10, True) | ours | {"sram_bytes": 4096}]
    for base in (None, Architecture(clock_mhz=100)):
        exploration_figure(rows, fields, "front.png", "net", base)
    shown = [text.get_text() for text in drawn[0].axes[0].texts]
    assert any("1.5 MiB, 5, 24, none" in text and "1  4 KiB" in text for text in shown)
    assert any("mac_interval (cycles),\n    dram_bytes_per_cycle,\n    array_shapes\n" in text for text in shown)
    named = [[text.get_text() for text in figure.legends[0].get_texts()] for figure in drawn]
    assert "Re²Na as it is" in named[0] and "Re²Na as it is" not in named[1]
    assert_tidy(drawn[0])


def test_numbers_lie_on_nothing(drawn: list[Figure]) -> None:
    """Forty machines of the front in one corner: each number is clear of every mark and of the line."""
    front = [machine(1 + index / 400, 90_000 - 700 * index, 100, True) for index in range(40)]
    exploration_figure([*front, machine(9, 100_000, 10, False)], ["sram_bytes"], "front.svg")
    (figure,) = drawn
    (axes,) = figure.axes
    figure.draw_without_rendering()
    boxes = [Text.get_window_extent(text) for text in axes.texts if text.get_text().isdecimal()]  # without its line
    places = [axes.transData.transform((row["area_mm2"], row["cycles"])) for row in front]
    assert len(boxes) == 40
    assert not any(one.overlaps(other) for one, other in combinations(boxes, 2))
    assert not any(box.contains(*place) for box in boxes for place in places)


def test_heat_maps(drawn: list[Figure]) -> None:
    rows = [
        machine(1.0, 1000 * sram * width, 10, width == 1)
        | {"sram_bytes": sram, "mac_interval": width, "array_rows": high}
        for sram in (4, 2, 1)
        for width in (1, 5)
        for high in (32, 64)
    ]
    rows[0] |= {"cycles": None, "pruned": True, "pareto": False}
    rows[1] |= {"cycles": None, "error": "too small", "pareto": False}
    heat_figure(rows, ["sram_bytes", "mac_interval", "array_rows"], "cycles", "heat.svg", "net")
    (figure,) = drawn
    panels = figure.axes[:2]
    assert [axes.get_title(loc="left") for axes in panels] == ["array_rows (PEs) = 32", "array_rows (PEs) = 64"]
    assert sorted(text.get_text() for text in panels[0].texts) == ["-", "1.00k", "10.0k", "2.00k", "20.0k", "5.00k"]
    assert "error" in [text.get_text() for text in panels[1].texts]
    assert [label.get_text() for label in panels[0].get_yticklabels()] == ["1 B", "2 B", "4 B"]
    assert [len(axes.patches) for axes in panels] == [2, 2]
    with pytest.raises(style.PlotError, match="14 panels"):
        many = [machine(1, 1, 1, False) | {"mac_interval": 1, "array_rows": high} for high in range(14)]
        heat_figure(many, ["sram_bytes", "mac_interval", "array_rows"], "cycles", "heat.svg")
    assert_tidy(figure)


def test_surveys(drawn: list[Figure]) -> None:
    names = [LONG.format(index) for index in range(22)]
    bits = BitsSurvey((BitsRow(8, 0.99, 0.995, 0, 0.9, INFINITE), BitsRow(2, None, None, None, error="no")))
    figures.bits_figure(bits, "x.png", "net")
    rows = tuple(CarryRow(name, 1, 9, 9, 1.5, 9, 9, 3, 2, 9) for name in names)
    accumulators = tuple(AccumulatorRow(width, 5, 0.1, 0.2, 1, None) for width in range(14, 21))
    figures.carry_figure(CarrySurvey(rows, accumulators), "x.png")
    widths = tuple(RoundingRow(width, rule, 0.9, 0.5, None, 0) for rule in RULES for width in range(2, 9))
    figures.rounding_figure(RoundingSurvey(0.99, widths), "x.png")
    layers = tuple(SensitivityRow(name, 30.0, 0.9, INFINITE, None, 31.5) for name in names)
    figures.sensitivity_figure(SensitivitySurvey(0.99, 0.98, 29.5, layers), "x.png")
    for figure in drawn:
        assert_tidy(figure)
    carried = [type(handle).__name__ for handle in drawn[1].legends[0].legend_handles]
    assert carried == ["Line2D", "Line2D", "Rectangle"], "marks where there are marks"
    ticks = [text.get_text() for text in drawn[0].axes[0].get_xticklabels()]
    assert ticks == ["2", "8"], "whole numbers, those that were measured"
    shares = [text.get_text() for text in drawn[0].axes[0].get_yticklabels()]
    assert "98%" in shares and all(share.endswith("%") for share in shares if share)


def operator(number: int, db: float | None, differing: int = 0) -> OperatorFigures:
    side = None if db is None else SideFigures(db, 0.99, 1.0)
    sides = {"onnx_runtime": side, "tvm": side, "re2na": side, "alone": side, "output_db": db}
    rest = {"tensor": "t", "shape": (1,), "place": "CPU", "step": None, "saturated": None, "overflowed": None}
    parting = {"onnx_runtime_tvm": None, "tvm_re2na": Parting(differing, 1) if differing else None}
    name, errors = LONG.format(number), (0,) * 8 + (int(db is not None),) + (0,) * 8
    return OperatorFigures(number, name, (name,), "Conv", values=(), errors=errors, **sides, **rest, **parting)


def test_debug_leaves_out_what_nothing_is_known_of(drawn: list[Figure]) -> None:
    """The parts of an operator that was taken apart; where two sides part, the row that is marked is the operator's."""
    found = (operator(0, 30.0), operator(1, None), operator(2, None), operator(3, 20.0, differing=1))
    debug_figure(Debugging(1, "the float model", ("re2na",), found, {}), "x.png", "net")
    (figure,) = drawn
    noise = figure.axes[0]
    assert [text.get_text() for text in noise.get_yticklabels()] == [
        style.shortened(found[place].name) for place in (0, 3)
    ]
    (band,) = [patch for patch in noise.patches if patch.get_label() == "two sides part in bits"]
    assert (band.get_y(), band.get_height()) == (0.5, 1.0)
    assert figure.get_suptitle().startswith("net: every operator") and "(2 that" in figure.get_suptitle()
    assert_tidy(figure)


def test_a_quantity_has_one_mark_in_all_figures(drawn: list[Figure]) -> None:
    debug_figure(Debugging(1, "the float model", ("re2na",), (operator(0, 30.0),), {}), "x.png")
    layers = (SensitivityRow("conv", 30.0, 0.9, 31.0, None, 31.5),)
    figures.sensitivity_figure(SensitivitySurvey(0.99, 0.98, 29.5, layers), "x.png")
    marks: dict[Any, Any] = {}
    for line in (line for figure in drawn for line in figure.axes[0].lines):
        look = line.get_color(), line.get_marker()
        assert marks.setdefault(line.get_label(), look) == look
    assert len(marks) == len(set(marks.values())) == 5


def test_a_colour_means_one_thing() -> None:
    assert list(style.CAUSES) == list(CAUSES)
    colours = [colour for colour, _ in style.CAUSES.values()]
    assert len(set(colours)) == len(colours)
    assert len({mark for _, mark in style.SIDES}) == len({colour for colour, _ in style.SIDES}) == len(style.SIDES)


@pytest.mark.parametrize("name", ["same.svg", "same.png"])
def test_the_same_figure_is_the_same_bytes(tmp_path: Path, name: str) -> None:
    assert check_format(name) == name.partition(".")[2]
    contents = []
    for _ in range(2):
        figure = new_figure(4, 3, "title", "net")
        figure.add_subplot().plot([1, 2])
        style.write_figure(figure, tmp_path / name)
        contents.append((tmp_path / name).read_bytes())
    assert contents[0] == contents[1]
    assert name.endswith("png") or b">net: title</text>" in contents[0], "words can be searched"
