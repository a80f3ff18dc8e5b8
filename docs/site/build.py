"""Builds the documentation's site: `python docs/site/build.py --relay PYTHON --relax PYTHON --output FOLDER`; `make docs` calls it.

Both TVMs are called `tvm`, so each tutorial runs in the environment of its own: first those for Relay, then the others, in the
environment in which Sphinx reads the docstrings, too. A tutorial that did not change is not run again, and its page is kept.
The site lies in FOLDER/html/VERSION, beside those of other versions; FOLDER/html/index.html leads to the newest.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from pages import ROOT, assemble

HERE = Path(__file__).parent
RELAY_SECTIONS, OTHER_SECTIONS = "relay", "relax,pytorch"


def main() -> int:
    parser = argparse.ArgumentParser(description="build the documentation's site")
    parser.add_argument("--relay", required=True, help="the Python of an environment with TVM 0.19 and the extra docs")
    parser.add_argument("--relax", required=True, help="that of one with TVM 0.27, PyTorch and the extra docs")
    parser.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    parser.add_argument(
        "--online", action="store_true", help="link to the documentation of TVM, NumPy and ONNX; check outer links"
    )
    options = parser.parse_args()
    if not os.environ.get("RE2NA_DATA"):
        print("RE2NA_DATA is not set: the tutorials on ResNet-18 and AlexNet are shown, but not run", file=sys.stderr)
    begin = time.monotonic()
    source = options.output.absolute() / "source"
    assemble(source)
    scripts = source.parent / "scripts"
    shutil.rmtree(scripts, ignore_errors=True)
    run(options.relay, "-m", "tvm_re2na.cli", "tutorials", scripts)
    add_headers(scripts)
    forget_removed(source / "tutorials", scripts)
    run(options.relay, HERE / "relay_api.py", source / "api")
    run(options.relay, HERE / "gallery.py", source, sections=RELAY_SECTIONS)
    html = source.parent / "html"
    site = html / output_of(options.relax, "-c", "import tvm_re2na; print(tvm_re2na.__version__)")
    shutil.rmtree(site, ignore_errors=True)  # nothing of what is no longer made stays
    sphinx = (
        "-m",
        "sphinx",
        "-W",
        "--keep-going",
        "-q",
        "-b",
        "html",
        "-c",
        HERE,
        "-d",
        source.parent / "doctrees",
        source,
        site,
    )
    run(options.relax, *sphinx, sections=OTHER_SECTIONS, online=options.online)
    write_versions(html)
    run(options.relax, HERE / "links.py", site, *(["--online"] if options.online else []))
    print(f"{site / 'index.html'}: built in {time.monotonic() - begin:.0f} s")
    return 0


def add_headers(scripts: Path) -> None:
    """The introductions of the gallery and its sections, which a copy of the tutorials does not need."""
    folder = ROOT / "tutorials"
    for header in folder.rglob("GALLERY_HEADER.rst"):
        shutil.copy2(header, scripts / header.relative_to(folder))


def forget_removed(pages: Path, scripts: Path) -> None:
    """Pages of tutorials that are gone go: all are made anew then."""
    made, there = ({path.name for path in folder.rglob("*.py")} for folder in (pages, scripts))
    if made - there:
        shutil.rmtree(pages)


def run(python: str, *arguments: object, sections: str = "", online: bool = False) -> None:
    """One step, in one of the environments; ends the build where it fails."""
    known = {"RE2NA_DOCS_SECTIONS": sections or "none", "RE2NA_DOCS_ONLINE": str(int(online)), "PYTHONUTF8": "1"}
    found = subprocess.run([python, *map(str, arguments)], env=os.environ | known, check=False)
    if found.returncode:
        sys.exit(found.returncode)


def output_of(python: str, *arguments: str) -> str:
    return subprocess.run([python, *arguments], capture_output=True, text=True, check=True).stdout.strip()


def write_versions(html: Path) -> None:
    """What lies beside each other, newest first, and the way to it."""
    versions = sorted((path.parent.name for path in html.glob("*/index.html")), key=ordered, reverse=True)
    script = (HERE / "versions.js").read_text(encoding="utf-8")
    (html / "versions.js").write_text(f"const VERSIONS = {json.dumps(versions)};\n{script}", encoding="utf-8")
    page = f'<!doctype html><meta charset="utf-8"><meta http-equiv="refresh" content="0; url={versions[0]}/index.html">'
    (html / "index.html").write_text(
        f'{page}<a href="{versions[0]}/index.html">tvm_re2na {versions[0]}</a>\n', encoding="utf-8"
    )


def ordered(version: str) -> list[int]:
    """1.10 is newer than 1.9."""
    return [int(part) for part in version.split(".") if part.isdecimal()]


if __name__ == "__main__":
    sys.exit(main())
