"""Runs tutorials and writes their pages, nothing else: `python docs/site/gallery.py SOURCE` in the environment of their TVM."""

from __future__ import annotations

import sys
from pathlib import Path

from sphinx.application import Sphinx

if __name__ == "__main__":
    source = Path(sys.argv[1])
    doctrees = source.parent / "gallery"
    # sphinx-gallery does its work while the application begins
    Sphinx(source, Path(__file__).parent, doctrees, doctrees, "dummy", warningiserror=True)
