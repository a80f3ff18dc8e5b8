"""The page: one HTML file with everything in it, which loads nothing and only draws what the document says."""

from __future__ import annotations

import importlib
import json
import os
from collections.abc import Iterable, Sequence
from html import escape
from importlib import resources

from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.frontends import MissingPackageError
from tvm_re2na.reporting.chart import Chart
from tvm_re2na.reporting.charts import cycles_chart, pairs_chart, roofline, widths_chart
from tvm_re2na.reporting.differences import FIGURES, Difference, Differences, Figure, apart, differences, shown
from tvm_re2na.reporting.document import RunReport
from tvm_re2na.reporting.layer_table import layer_table, pair_table
from tvm_re2na.reporting.network_chart import network
from tvm_re2na.reporting.time_charts import sram, timeline

# nothing may come from anywhere else, whatever stands in a name
POLICY = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:"


def check_library() -> str:
    """Plotly's JavaScript. Raises MissingPackageError where the package is not installed."""
    try:
        importlib.import_module("plotly")
    except ImportError as error:
        raise MissingPackageError("plotly is not installed: pip install 'tvm_re2na[report]'") from error
    return (resources.files("plotly") / "package_data" / "plotly.min.js").read_text(encoding="utf-8")


def save(page: str, path: str | os.PathLike[str]) -> None:
    """Write a page, whole or not at all."""
    write_atomically(path, page.encode())


def run_page(report: RunReport) -> str:
    """Of one run."""
    charts = [network(report)]
    if report.regions:
        charts += [cycles_chart(report), roofline((report,)), timeline(report), sram(report)]
    if report.widths:
        charts.append(widths_chart(report.widths))
    table = ("layers", "Layers", _search(len(report.layers)) + layer_table(report.layers))
    facts = ("machine", "Machine and versions", _machine(report) + _made(report))
    return _page(
        f"{report.title} on Re²Na",
        f"{report.title} on {report.data}",
        [("summary", "Summary", _summary(report)), table, *map(_section, charts), facts],
        charts,
    )


def comparison_page(a: RunReport, b: RunReport, names: tuple[str, str]) -> str:
    """Of two runs, what differs first."""
    found = differences(a, b)
    charts = [pairs_chart(found, ("A", "B")), roofline((a, b), ("A", "B"), found)]
    changed = sum(bool(pair.changed) for pair in found.layers)
    told = f"<p>{changed:,} of {len(found.layers):,} layers differ; those whose cycles differ most come first.</p>"
    return _page(
        f"{names[0]} and {names[1]}",
        f"A: {names[0]} ({a.title}), B: {names[1]} ({b.title})",
        [
            ("summary", "What differs", _pair_figures(found, a, b) + _pair_facts(found)),
            ("layers", "Layers", told + _search(len(found.layers)) + pair_table(found)),
            *map(_section, charts),
        ],
        charts,
    )


def _page(title: str, subject: str, sections: Sequence[tuple[str, str, str]], charts: Sequence[Chart]) -> str:
    """Whatever can be read stands before the library, so that it is there at once."""
    links = "".join(f'<a href="#{name}">{escape(heading)}</a>' for name, heading, _ in sections)
    bodies = "".join(
        f'<section id="{name}"><h2>{escape(heading)}</h2>{body}</section>' for name, heading, body in sections
    )
    figures = json.dumps([chart.to_json() for chart in charts], separators=(",", ":")).replace("<", "\\u003c")
    return f"""<!DOCTYPE html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="Content-Security-Policy" content="{POLICY}">
<title>{escape(title)}</title><style>{_asset("page.css")}</style></head>
<body><header><h1>{escape(subject)}</h1><nav>{links}</nav>
<div id="chosen"><span></span><button type="button" hidden>clear</button></div>
<button type="button" id="theme" title="light or dark">◐</button></header>
<main>{bodies}</main>
<script type="application/json" id="figures">{figures}</script>
<script>{check_library()}</script>
<script>{_asset("page.js")}</script></body></html>
"""


def _asset(name: str) -> str:
    return (resources.files("tvm_re2na.reporting") / name).read_text(encoding="utf-8")


def _section(chart: Chart) -> tuple[str, str, str]:
    body = (
        f'<p>{escape(chart.note)}</p><div class="chart" id="chart-{chart.name}" style="height:{chart.height}px"></div>'
    )
    return chart.name, chart.title, body


def _search(count: int) -> str:
    return (
        '<p class="search"><label>Search <input type="search" id="search" placeholder="name, kind, reason"></label>'
        f' <output id="found">{count:,} of {count:,}</output>'
        " Click a row to mark that layer in all pictures; click a title to sort.</p>"
    )


def _groups() -> list[str]:
    return list(dict.fromkeys(figure.group for figure in FIGURES))


def _summary(report: RunReport) -> str:
    """A card for each group of figures."""
    cards = []
    for group in _groups():
        rows = "".join(
            f'<dt title="{escape(figure.hint)}">{escape(_named(figure, report))}</dt>'
            f"<dd>{escape(shown(figure, figure.of(report)))}</dd>"
            for figure in FIGURES
            if figure.group == group
        )
        cards.append(f'<div class="card"><h3>{escape(group)}</h3><dl>{rows}</dl></div>')
    notes = [f"{name} stays in float: its sums do not fit the accumulator." for name in report.kept_float]
    if not report.regions:
        notes.append("Nothing runs on Re²Na; the table of layers says why.")
    if report.batch > 1:
        notes.append(f"Figures are for one image; a run has {report.batch}.")
    return f'<div class="cards">{"".join(cards)}</div>' + "".join(f"<p>{escape(note)}</p>" for note in notes)


def _named(figure: Figure, report: RunReport) -> str:
    return figure.name.replace("given model", "given int8 model" if report.given_quantized else "float model")


def _machine(report: RunReport) -> str:
    """Facts and assumptions apart; what is not Re²Na's own number stands out."""
    tables = []
    for kind, title in (
        ("fact", "Facts: published by the hardware group"),
        ("assumption", "Assumptions of this project"),
    ):
        rows = (
            f"<tr{'' if field.value == field.default else ' class=changed'}><th scope=row>{escape(field.name)}</th>"
            f'<td class="n">{escape(field.shown)}</td><td>{escape(field.unit)}</td><td>{escape(field.source)}</td></tr>'
            for field in report.machine
            if field.kind == kind
        )
        tables.append(_facts(title, ("field", "value#", "unit", "source or reason"), rows))
    versions = (f"<li>{escape(version)}</li>" for version in report.versions)
    return "".join(tables) + f"<h3>Versions</h3><ul>{''.join(versions)}</ul>"


def _made(report: RunReport) -> str:
    rows = (f"<tr><th scope=row>{escape(name)}</th><td>{escape(told)}</td></tr>" for name, told in report.made.items())
    return _facts("How this was made", ("", ""), rows) if report.made else ""


def _pair_figures(found: Differences, a: RunReport, b: RunReport) -> str:
    """Those that differ, then the others."""
    changed = {item.name: item for item in found.figures}
    ordered = sorted(FIGURES, key=lambda figure: figure.name not in changed)
    rows = (_pair_row(figure, changed.get(figure.name), a, b) for figure in ordered)
    legend = '<p>B − A: <span class="good">green: B is better</span>, <span class="bad">red: A is better</span>.</p>'
    return _facts("Figures", ("figure", "A#", "B#", "B − A#", "B / A#"), rows) + legend


def _pair_row(figure: Figure, item: Difference | None, a: RunReport, b: RunReport) -> str:
    one, other = figure.of(a), figure.of(b)
    grade = "same" if item is None else {True: "better", False: "worse", None: "neither"}[item.better]
    more = ratio = ""
    if isinstance(one, int | float) and isinstance(other, int | float) and not isinstance(one, bool) and item:
        more = apart(figure, one, other)
        ratio = f"{other / one:.3f}" if one else ""
    cells = (shown(figure, one), shown(figure, other), more or ("differs" if item else ""), ratio)
    kinds = ("n", "n", "n apart", "n")
    return (
        f'<tr class="{grade}"><th scope=row>{escape(figure.name)}</th>'
        + "".join(f'<td class="{kind}">{escape(cell)}</td>' for kind, cell in zip(kinds, cells, strict=True))
        + "</tr>"
    )


def _pair_facts(found: Differences) -> str:
    """Machines and versions, where they differ."""
    tables = []
    for title, items in (("Machine", found.machine), ("Versions", found.versions), ("How they were made", found.made)):
        rows = (
            f"<tr><th scope=row>{escape(item.name)}</th>"
            + "".join(f'<td class="n">{escape("-" if side is None else str(side))}</td>' for side in (item.a, item.b))
            + "</tr>"
            for item in items
        )
        same = f"<h3>{title}</h3><p>The same in both.</p>"
        tables.append(_facts(title, ("field", "A#", "B#"), rows) if items else same)
    return "".join(tables)


def _facts(title: str, heads: Iterable[str], rows: Iterable[str]) -> str:
    """A title that ends in # is that of numbers."""
    head = "".join(
        f'<th scope="col"{" class=n" if text.endswith("#") else ""}>{escape(text.rstrip("#"))}</th>' for text in heads
    )
    return (
        f'<h3>{escape(title)}</h3><div class="scroll"><table class="facts"><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )
