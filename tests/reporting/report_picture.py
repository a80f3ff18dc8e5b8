"""Takes a picture of a page, for docs/report.md: `python -m tests.reporting.report_picture PAGE.html PICTURE.png [LAYER]`.

The summary and the pictures, with one layer marked.
"""

from __future__ import annotations

import sys
from pathlib import Path

from tests.reporting.browser import browser

WIDTH, SCALE = 1240, 0.75
HIDDEN = "#layers, #machine, #roofline, nav { display: none } header { position: static !important }"


def draw(page: Path, path: Path, layer: int) -> None:
    with browser() as running:
        context = running.new_context(viewport={"width": WIDTH, "height": 900}, device_scale_factor=SCALE)
        made = context.new_page()
        made.goto(page.resolve().as_uri())
        made.wait_for_selector("html[data-drawn]", state="attached")
        made.locator(f'tr[data-layer="{layer}"] th').click()
        made.mouse.move(1, 1)
        made.add_style_tag(content=HIDDEN)
        made.wait_for_timeout(500)
        made.screenshot(full_page=True, path=path)


if __name__ == "__main__":
    draw(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 1)
