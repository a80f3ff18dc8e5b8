"""What the pictures share: colours, and the parts of Plotly's figures as plain dictionaries.

Every point that belongs to a layer carries the layer's place in `customdata`: by that alone the page links the pictures. Text on
lines and backgrounds gets its colour from the page, light or dark. The colours are those of all figures (`plot/style.py`), and two
calmer ones for what lies in the SRAM; a cause and a kind of bytes have one colour in all pictures.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from tvm_re2na.plot.style import SKY

GREY, SAND, TEAL = "#8C8C8C", "#B08D57", "#44AA99"
CARRIED = {"weights": (SAND, "weights"), "inputs": (SKY, "inputs"), "results": (TEAL, "results")}
SHADES = (1.0, 0.72, 0.5)
LINE = GREY  # visible on light and on dark


@dataclass(frozen=True)
class Chart:
    """A picture: `name` is its anchor; `note` says how to read it; `height` in pixels. `labels_below`: how many units of the x
    axis are in view at most for its points' text to be shown. `over_time`: its x axis moves with those of others like it."""

    name: str
    title: str
    note: str
    traces: list[dict[str, Any]]
    layout: dict[str, Any]
    height: int = 380
    labels_below: float | None = None
    over_time: bool = False

    def to_json(self) -> dict[str, Any]:
        how = {"labelsBelow": self.labels_below, "overTime": self.over_time}
        return {"name": self.name, "data": self.traces, "layout": self.layout, **how}


def layout(x: dict[str, Any], y: dict[str, Any], **more: Any) -> dict[str, Any]:
    """Room for the axes' titles, and the legend above."""
    return {
        "margin": {"l": 70, "r": 16, "t": 34, "b": 48},
        "legend": {"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom", "font": {"size": 12}},
        "hovermode": "closest",
        "dragmode": "zoom",
        "barmode": "overlay",
        "bargap": 0,
        "xaxis": x,
        "yaxis": y,
        **more,
    }


def axis(title: str, **more: Any) -> dict[str, Any]:
    return {"title": {"text": title, "standoff": 8}, "zeroline": False, "automargin": True, **more}


def integers(title: str, **more: Any) -> dict[str, Any]:
    """Ticks of 1,000 as 1k, never of a half."""
    return axis(title, tickformat="~s", rangemode="tozero", **more)


def bars(name: str, color: str, shades: Sequence[int] | None = None, **columns: Any) -> dict[str, Any]:
    """Boxes from `base`: `x`, `y`, `width`, `customdata`, `hovertext`. `shades`: neighbours of different numbers are told apart."""
    opacity = 1.0 if shades is None else [SHADES[shade % len(SHADES)] for shade in shades]
    return {
        "type": "bar",
        "name": name,
        "marker": {"color": color, "opacity": opacity, "line": {"width": 0}},
        "hovertemplate": "%{hovertext}<extra></extra>",
        **columns,
    }


def polyline(name: str, segments: Iterable[tuple[list[float], list[float], list[int]]], **more: Any) -> dict[str, Any]:
    """Lines, each of points and the layers it belongs to; no pointer finds them."""
    xs: list[float | None] = []
    ys: list[float | None] = []
    owners: list[list[int] | None] = []
    for x, y, layers in segments:
        xs += [*x, None]
        ys += [*y, None]
        owners += [*([layers] * len(x)), None]
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": xs,
        "y": ys,
        "customdata": owners,
        "hoverinfo": "skip",
        "showlegend": False,
        "line": {"color": LINE, "width": 1},
        **more,
    }


def text(*parts: str) -> str:
    """Of the box at the pointer, a line each. What comes from a model must not be taken for markup."""
    return "<br>".join(escape(part) for part in parts if part)
