"""The pictures of a tutorial are the files that it writes."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

from sphinx_gallery.scrapers import figure_rst


def written_pictures(block: Any, variables: dict[str, Any], gallery_conf: dict[str, Any], **_: Any) -> str:
    """For sphinx-gallery: every PNG that the block has written beside the script, moved to where the page finds it."""
    del block
    found = []
    for path in sorted(Path(variables["src_file"]).parent.glob("*.png")):
        target = Path(next(variables["image_path_iterator"]))
        shutil.move(path, target)
        found.append(str(target))
    return figure_rst(found, gallery_conf["src_dir"]) if found else ""
