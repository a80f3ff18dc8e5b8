"""The tutorials: scripts for one TVM each (`relay`, `relax`) or either (`pytorch`), and what they share.

They are part of the package, so that `re2na tutorials` can copy them from wherever it is installed. Each is a script, a page of the
documentation's site and a notebook. The shared modules are imported as `tvm_re2na.tutorials...`, so that a copy needs none of them.
"""

from __future__ import annotations

from pathlib import Path

from tvm_re2na.codegen.files import write_atomically

FOLDER = Path(__file__).parent
SECTIONS = ("relay", "relax", "pytorch")
FIRST = "{0}/03_{0}_lenet5.py"


def scripts() -> list[Path]:
    """Every tutorial, section by section, in the order in which they are meant to be read."""
    return [path for section in SECTIONS for path in sorted((FOLDER / section).glob("[0-9]*.py"))]


def first(front_end: str) -> Path:
    """The one to begin with beside this TVM (`relay`, `relax`): seconds, with a network and images of the package."""
    return FOLDER / FIRST.format(front_end)


def copy_to(folder: Path) -> list[Path]:
    """Copy them over what is there already. Returns the scripts; raises OSError."""
    for source in scripts():
        copy = folder / source.relative_to(FOLDER)
        copy.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(copy, source.read_bytes())
    return [folder / path.relative_to(FOLDER) for path in scripts()]
