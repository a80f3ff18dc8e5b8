"""Every link of the built site leads somewhere: `python docs/site/links.py FOLDER [--online]`.

Links within the site are always checked, anchors included; those to other sites with `--online`.
"""

from __future__ import annotations

import argparse
import sys
import urllib.request
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

SECONDS = 20
AGENT = {"User-Agent": "Mozilla/5.0 (link check of tvm_re2na's documentation)"}


class Page(HTMLParser):
    """The links and the anchors of a page."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.links: set[str] = set()
        self.anchors: set[str] = set()
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        known = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := known.get(name))}
        self.links |= {value for name in ("href", "src") if (value := known.get(name)) and tag != "link"}


def broken_inside(root: Path) -> Iterator[str]:
    """Links of pages under `root` to files or anchors that are not there."""
    pages = {path.resolve(): Page(path) for path in sorted(root.rglob("*.html"))}
    for path, page in pages.items():
        for link in sorted(page.links):
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file():
                yield f"{path.relative_to(root.resolve())}: {link}: no such file"
            elif parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].anchors:
                yield f"{path.relative_to(root.resolve())}: {link}: no such anchor"


def broken_outside(root: Path) -> Iterator[str]:
    """Links to other sites that do not answer."""
    links = {link for path in root.rglob("*.html") for link in Page(path).links if link.startswith(("http:", "https:"))}
    for link in sorted({link.partition("#")[0] for link in links}):
        try:
            with urllib.request.urlopen(urllib.request.Request(link, headers=AGENT), timeout=SECONDS):
                pass
        except OSError as error:
            yield f"{link}: {error}"


def main() -> int:
    parser = argparse.ArgumentParser(description="find broken links of the built site")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--online", action="store_true", help="look at links to other sites as well")
    options = parser.parse_args()
    found = [*broken_inside(options.folder), *(broken_outside(options.folder) if options.online else ())]
    print("\n".join(found) or "every link leads somewhere", file=sys.stderr if found else sys.stdout)
    return bool(found)


if __name__ == "__main__":
    sys.exit(main())
