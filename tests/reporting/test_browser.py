"""The page as a browser has it: nothing goes wrong, everything is drawn, and the views know of each other."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.models.resnets import resnet_graph
from tests.reporting.browser import Opened, browser, opened
from tests.reporting.made import assembled, on_the_cpu, renamed, residual
from tvm_re2na.reporting import comparison_page, run_page, save

LARGEST, SLOWEST = 6 * 10**6, 3.0  # bytes of a page, seconds until it is drawn
CHARTS = ["network", "cycles", "roofline", "timeline", "sram", "widths"]
EVIL = "</script><script>document.title='taken'</script><b>\"'&<img src=x onerror=\"document.title='taken'\">%{x}"
CONVOLUTION = 4


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    with browser() as running:
        yield running


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("report") / "report.html"
    save(run_page(renamed(residual(twice=True), CONVOLUTION, EVIL)), path)
    return path


@pytest.fixture(scope="module")
def kept(chromium: Any, page: Path) -> Iterator[Opened]:
    with opened(chromium, page) as found:
        yield found


@pytest.fixture
def shown(kept: Opened) -> Iterator[Opened]:
    """The page, opened once, as it was: nothing chosen, nothing pointed at. Nothing may have gone wrong meanwhile."""
    kept.page.keyboard.press("Escape")
    kept.page.locator("#search").fill("")
    kept.page.locator("h1").hover()
    kept.page.wait_for_timeout(100)
    yield kept
    assert kept.told == []


@pytest.mark.parametrize("width, scheme", [(1280, "light"), (800, "dark")])
def test_everything_is_drawn_and_nothing_is_said(chromium: Any, page: Path, width: int, scheme: str) -> None:
    with opened(chromium, page, width=width, scheme=scheme) as found:
        assert found.told == []
        assert found.charts == CHARTS
        assert found.ask("document.documentElement.dataset.theme") == scheme
        for chart in CHARTS:
            marks = f"#chart-{chart} .points path, #chart-{chart} .lines path, #chart-{chart} .point path"
            assert found.page.locator(marks).count() >= 2, chart
            drawn = f"document.querySelector('#chart-{chart} svg').getBoundingClientRect().width"
            assert width * 0.8 < found.ask(drawn) <= width, chart
        assert found.ask("document.documentElement.scrollWidth") <= width, (
            "nothing makes the page wider than the window"
        )


def test_names_of_a_model_are_only_text(shown: Opened) -> None:
    row = shown.page.locator(f'tr[data-layer="{CONVOLUTION}"] th')
    assert row.text_content() == EVIL
    row.click()
    assert EVIL in shown.page.locator("#chosen span").text_content()
    told = shown.ask("[...document.getElementById('chart-roofline').data].flatMap(t => t.hovertext || []).join()")
    assert "&lt;/script&gt;" in told and "<script" not in told
    assert shown.page.title() == "net.onnx on Re²Na"
    assert shown.page.locator("main b, main img").count() == 0


def test_no_button_sends_a_picture_away(shown: Opened) -> None:
    titles = "[...document.querySelectorAll('.modebar-btn')].map(button => button.dataset.title)"
    known = {"Download plot as a PNG", "Zoom", "Pan", "Zoom in", "Zoom out", "Reset axes"}
    assert set(shown.ask(titles)) == known


def test_a_layer_chosen_in_one_view_is_marked_in_all(shown: Opened) -> None:
    linked = [chart for chart in CHARTS if chart != "widths"]
    assert [shown.marks(chart) for chart in linked] == [0] * len(linked)
    shown.page.locator(f'tr[data-layer="{CONVOLUTION}"] th').click()
    shown.page.mouse.move(1, 1)
    assert all(shown.marks(chart) for chart in linked)
    shown.page.keyboard.press("Escape")
    assert not any(shown.marks(chart) for chart in linked)
    _click_on_a_bar(shown.page, "cycles", CONVOLUTION)
    assert "chosen" in shown.page.locator(f'tr[data-layer="{CONVOLUTION}"]').get_attribute("class")
    assert all(shown.marks(chart) for chart in linked)


def _click_on_a_bar(page: Any, chart: str, layer: int) -> None:
    """With the mouse, in the middle of it."""
    page.locator(f"#chart-{chart}").scroll_into_view_if_needed()
    middle = """([name, layer]) => {
        const view = document.getElementById(`chart-${name}`), full = view._fullLayout, box = view.getBoundingClientRect();
        const bars = view.data.filter(trace => trace.type === "bar").map(trace => [trace, trace.customdata.indexOf(layer)]);
        const [trace, at] = bars.find(([, at]) => at >= 0);
        const y = trace.base[at] + trace.y[at] / 2;
        return [box.left + full.xaxis._offset + full.xaxis.l2p(trace.x[at]), box.top + full.yaxis._offset + full.yaxis.l2p(y)];
    }"""
    x, y = page.evaluate(middle, [chart, layer])
    page.mouse.move(x, y)
    page.wait_for_timeout(100)
    page.mouse.click(x, y)
    page.wait_for_timeout(100)


def test_pointing_at_a_row_marks_the_views_in_sight(shown: Opened) -> None:
    shown.page.set_viewport_size({"width": 1280, "height": 3000})
    shown.page.locator(f'tr[data-layer="{CONVOLUTION}"] th').hover()
    shown.page.wait_for_timeout(200)
    assert shown.marks("network") and shown.marks("cycles")
    shown.page.set_viewport_size({"width": 1280, "height": 900})
    shown.page.locator("h1").hover()
    shown.page.wait_for_timeout(200)
    assert not any(shown.marks(chart) for chart in CHARTS), "nor where it is out of sight by now"


def test_the_table_sorts_and_searches(shown: Opened) -> None:
    column = shown.ask(
        "[...document.querySelectorAll('.layers thead th')].findIndex(th => th.textContent === 'cycles')"
    )
    shown.page.locator(".layers thead button").nth(column).click()
    cells = f"[...document.querySelectorAll('.layers tbody tr')].map(row => row.cells[{column}].dataset.value)"
    values = [int(value) for value in shown.ask(cells) if value is not None]
    assert len(values) > 20 and values == sorted(values, reverse=True)
    shown.page.locator("#search").fill("ADD again")
    left = shown.ask("[...document.querySelectorAll('.layers tbody tr')].filter(row => !row.hidden).length")
    assert left == 8 and shown.page.locator("#found").text_content().startswith("8 of ")


def test_the_search_knows_what_a_keyboard_has(shown: Opened) -> None:
    rows = "[...document.querySelectorAll('.layers tbody tr')].filter(row => !row.hidden).length"
    everything = shown.ask(rows)
    shown.page.locator("#search").fill("re2na/1")
    assert 0 < shown.ask(rows) < everything, "Re²Na/1"
    assert not shown.page.locator(".layers tfoot").is_visible()
    shown.page.locator("#search").fill("re2na/1 cpu/7")
    assert shown.ask(rows) == 0 and shown.page.locator(".layers tfoot").inner_text() == "nothing matches"


def test_figures_stand_first_and_the_edge_tells_of_more(shown: Opened) -> None:
    titles = shown.page.locator(".layers thead th").all_inner_texts()
    first = ["#", "layer", "runs on", "cycles", "bound", "cycles/bound", "largest loss", "use", "DRAM bytes", "MACs"]
    assert titles[: len(first)] == first and titles[-1] == "why on the CPU"
    wide = shown.page.locator(".wide")
    assert "more" in wide.get_attribute("class").split()
    shown.ask("(box => { box.scrollLeft = box.scrollWidth; })(document.querySelector('.wide .scroll'))")
    shown.page.wait_for_function("() => !document.querySelector('.wide').classList.contains('more')")


def test_paper_is_light_whatever_the_screen_is(chromium: Any, page: Path) -> None:
    with opened(chromium, page, scheme="dark") as found:
        ink = "[getComputedStyle(document.body).color, document.getElementById('chart-sram').layout.font.color]"
        dark = found.ask(ink)
        found.page.emulate_media(media="print")
        found.page.wait_for_function("() => document.documentElement.dataset.theme === 'light'")
        assert not set(found.ask(ink)) & set(dark)
        wraps = "getComputedStyle(document.querySelector('.layers tbody td:last-child')).whiteSpace"
        assert found.ask(wraps) == "normal"
        found.page.emulate_media(media="screen")
        found.page.wait_for_function("() => document.documentElement.dataset.theme === 'dark'")
        assert found.ask(ink) == dark and found.told == []


def test_the_theme_is_a_switch(shown: Opened) -> None:
    ink = "[getComputedStyle(document.body).color, document.getElementById('chart-sram').layout.font.color]"
    before = shown.ask(ink)
    shown.page.locator("#theme").click()
    assert shown.ask("document.documentElement.dataset.theme") == "dark"
    after = shown.ask(ink)
    assert before[0] != after[0] and before[1] != after[1]


def test_pictures_over_time_zoom_together(shown: Opened) -> None:
    shown.ask("Plotly.relayout('chart-timeline', {'xaxis.range': [1000, 3000]}).then(() => 0)")
    shown.page.wait_for_function("() => document.getElementById('chart-sram').layout.xaxis.range[1] === 3000")


def test_a_network_that_stays_on_the_cpu_has_a_page(chromium: Any, tmp_path: Path) -> None:
    save(run_page(on_the_cpu(residual())), tmp_path / "cpu.html")
    with opened(chromium, tmp_path / "cpu.html") as found:
        assert (found.told, found.charts) == ([], ["network", "widths"])
        assert "Nothing runs on Re²Na" in found.page.locator("#summary").text_content()


def test_two_runs_beside_each_other(chromium: Any, tmp_path: Path) -> None:
    page = comparison_page(residual(), residual(mac_interval=1), ("slow</script>", "fast"))
    save(page, tmp_path / "two.html")
    with opened(chromium, tmp_path / "two.html") as found:
        assert (found.told, found.charts) == ([], ["cycles", "roofline"])
        rows = found.page.locator("#summary tbody tr")
        assert rows.first.get_attribute("class") in ("better", "worse", "neither")
        assert found.page.locator("#summary").text_content().count("mac_interval") == 1
        first, slow, fast = found.page.locator(".layers tbody tr").first, residual(), residual(mac_interval=1)
        number, name = first.locator("td").first.text_content(), first.locator("th").text_content()
        assert slow.layers[int(number)].name == fast.layers[int(number)].name == name, "the network's own number"
        use = found.page.locator("#summary tr", has_text="array utilisation")
        assert use.get_attribute("class") == "neither" and use.locator(".apart").text_content().endswith(" points")
        found.page.locator(".layers tbody tr").first.locator("th").click()
        assert all(found.marks(chart) for chart in found.charts)


def test_a_resnet50_is_small_and_quick(chromium: Any, tmp_path: Path) -> None:
    report = assembled(resnet_graph(50))
    save(run_page(report), tmp_path / "resnet50.html")
    assert (tmp_path / "resnet50.html").stat().st_size <= LARGEST
    with opened(chromium, tmp_path / "resnet50.html") as found:
        assert found.told == []
        assert found.seconds <= SLOWEST, f"{found.elapsed:.2f} s in all"
