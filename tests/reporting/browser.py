"""Pages opened in Chromium, where there is one: what was logged, how long it took, what stands in it."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

READY = "html[data-drawn]"
NAMES = ("chromium", "chromium-browser", "google-chrome")


@dataclass
class Opened:
    """A page that has drawn everything. `told`: what the console and uncaught errors said; `seconds`: of the page's own thread."""

    page: Any
    told: list[str] = field(default_factory=list)
    seconds: float = 0.0
    elapsed: float = 0.0

    def ask(self, expression: str, argument: Any = None) -> Any:
        return self.page.evaluate(expression, argument)

    def marks(self, chart: str) -> int:
        """How much is marked in a picture."""
        count = """name => {
            const view = document.getElementById(`chart-${name}`);
            return (view.layout.shapes || []).length - view.borders.length;
        }"""
        return int(self.ask(count, chart))

    @property
    def charts(self) -> list[str]:
        return list(self.ask("[...document.querySelectorAll('.chart')].map(view => view.id.slice(6))"))


@contextmanager
def browser() -> Iterator[Any]:
    """Skips the test where there is no Chromium."""
    place = os.environ.get("RE2NA_CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    if place is None:
        pytest.skip("needs Chromium: apt-get install chromium, or RE2NA_CHROMIUM names it")
    playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install 'tvm_re2na[dev]'")
    with playwright.sync_playwright() as made:
        running = made.chromium.launch(executable_path=place, args=["--no-sandbox"])
        try:
            yield running
        finally:
            running.close()


@contextmanager
def opened(running: Any, path: Path, *, width: int = 1280, scheme: str = "light") -> Iterator[Opened]:
    context = running.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme, offline=True)
    found = Opened(context.new_page())
    found.page.on("console", lambda message: found.told.append(f"{message.type}: {message.text}"))
    found.page.on("pageerror", lambda error: found.told.append(f"error: {error}"))
    session = context.new_cdp_session(found.page)
    session.send("Performance.enable", {"timeDomain": "threadTicks"})
    started = time.monotonic()
    found.page.goto(path.as_uri())
    found.page.wait_for_selector(READY, state="attached")
    found.elapsed = time.monotonic() - started
    metrics = session.send("Performance.getMetrics")["metrics"]
    found.seconds = next(metric["value"] for metric in metrics if metric["name"] == "TaskDuration")
    yield found
    context.close()
