"""The site's fast checks: every page and tutorial is in it, every public name is described, docstrings and pages keep their form.

`make docs` builds it, runs the tutorials and follows every link; here nothing is built, and Sphinx is not needed.
"""

from __future__ import annotations

import ast
import re
import sys
from pathlib import Path

import pytest

import tvm_re2na
from tests.docs.pages import PAGES, ROOT, text
from tvm_re2na.tutorials import SECTIONS, scripts

sys.path.insert(0, str(ROOT / "docs" / "site"))
import links
from docstrings import restructured
from pages import (
    CONTENTS,
    MODULES,
    api_page,
    assemble,
    for_the_site,
    glossary,
    own_and_shared,
    public_names,
    purpose,
    repository_pages,
    source_of,
)

GENERATED = {"tutorials/index", "api/index", "glossary"}  # while it is built


def test_every_module_has_its_purpose_in_one_line() -> None:
    for module in MODULES:
        assert purpose(module).endswith("."), module
        assert "|" not in purpose(module), "it stands in a table"


def test_every_page_is_in_the_contents() -> None:
    there = {str(page.relative_to(ROOT).with_suffix("")) for page in PAGES}
    named = {page for pages in CONTENTS.values() for page in pages}
    assert there == set(repository_pages())
    assert named - set(repository_pages()) == GENERATED


def test_every_tutorial_is_in_the_gallery() -> None:
    there = {path for path in (ROOT / "tutorials").rglob("*.py") if path.parent != ROOT / "tutorials"}
    assert set(scripts()) == there
    assert {path.name for path in (ROOT / "tutorials").iterdir() if path.is_dir()} - {"__pycache__"} == set(SECTIONS)
    names = [path.name for path in scripts()]
    assert len(set(names)) == len(names), "sphinx-gallery links by name"


@pytest.mark.parametrize("path", scripts(), ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_a_tutorial_has_the_form_of_a_page(path: Path) -> None:
    source = path.read_text(encoding="utf-8")
    title, line, *_ = (ast.get_docstring(ast.parse(source)) or "").splitlines()
    assert len(line) >= len(title) and set(line) == {"="}
    parts = re.findall(r"^# %%\n# (.+)\n# (-+)$", source, re.M)
    assert len(parts) == source.count("# %%") >= 3, "a part has a heading"
    assert all(len(line) >= len(heading) for heading, line in parts), "sphinx warns of lines that are shorter"
    assert "**Expect**" in source and re.search(r"show(_file)?\(", source), "what to expect, and a picture"
    prose = re.sub(r"``[^`]*``|`[^`]+`_", "", "\n".join(re.findall(r"^# .*$", source, re.M)))
    assert "`" not in prose, "code has two backticks in reStructuredText"


def docstring(module: str, name: str, seen: tuple[str, ...] = ()) -> str | None:
    """What the source says of a name, wherever it is imported from; "" for a constant."""
    assert module not in seen, f"{name}: {module} imports it from itself"
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and node.name == name:
            return ast.get_docstring(node)
        if isinstance(node, ast.ImportFrom) and node.module and any(alias.name == name for alias in node.names):
            return docstring(node.module, name, (*seen, module)) if node.module.startswith("tvm_re2na") else ""
        if isinstance(node, ast.Assign) and name in [getattr(part, "id", "") for part in ast.walk(node.targets[0])]:
            return ""
    return "" if name in ("explain", "partition_for_re2na", "target") else None  # the installed TVM's


@pytest.mark.parametrize("module", MODULES)
def test_every_public_name_is_described(module: str) -> None:
    assert ast.get_docstring(ast.parse(source_of(module).read_text(encoding="utf-8"))), f"{module}: no docstring"
    assert public_names(module)
    undescribed = [name for name in public_names(module) if docstring(module, name) is None]
    assert not undescribed, f"{module}: {undescribed}"


def test_every_public_module_and_name_has_a_place() -> None:
    for module in tvm_re2na._MODULES:
        assert any(f"{known}.".startswith(f"tvm_re2na.{module}.") for known in MODULES), module
    own, shared = own_and_shared("tvm_re2na.quantize")
    assert "quantize" in own and shared["QuantizeOptions"] == "tvm_re2na"
    page = api_page("tvm_re2na.quantize")
    assert ".. automodule:: tvm_re2na.quantize\n   :members:" in page
    assert ":exclude-members: QuantizeError, QuantizeOptions, QuantizedModel" in page
    assert "{py:obj}`tvm_re2na.QuantizeOptions`" in page


def test_pages_keep_their_links(tmp_path: Path) -> None:
    assert (
        for_the_site("[a](tutorials) [b](../tutorials/relay/x.py)")
        == "[a](tutorials/index.rst) [b](../tutorials/relay/x.rst)"
    )
    assemble(tmp_path)
    for page in repository_pages():
        for target in re.findall(
            r"\]\((?!\w+:)([^)\s#]+)", re.sub(r"(`+).*?\1", "", text(tmp_path / f"{page}.md"), flags=re.S)
        ):
            if "tutorials/" not in target:
                assert ((tmp_path / page).parent / target).exists(), f"{page}: {target}"
    (tmp_path / "index.md").touch()
    before = (tmp_path / "docs" / "cli.md").stat().st_mtime_ns
    assemble(tmp_path)
    assert (tmp_path / "docs" / "cli.md").stat().st_mtime_ns == before, "Sphinx would read it again"


def test_the_glossary() -> None:
    found = glossary(
        "# A\n\n## Glossary\n\n| word | theirs | here |\n|---|---|---|\n| **B** | | |\n| cut | requantisation | makes 8 bits |\n"
    )
    assert "## B\n\n```{glossary}\ncut\n   makes 8 bits. *The field's: requantisation.*\n```" in found
    whole = glossary(text(ROOT / "docs" / "architecture.md"))
    assert whole.count("\n   ") > 40


def test_docstrings_become_restructured_text() -> None:
    given = ["One line, 2**e and `a*b`.", "", "a: one,", "    more.", "b, c: two.", "", "    listing *", "", "end"]
    expected = [
        "One line, 2\\*\\*e and `a*b`.",
        "",
        "* ``a``: one,",
        "  more.",
        "* ``b, c``: two.",
        "",
        "::",
        "",
        "    listing *",
    ]
    assert restructured(given) == [*expected, "", "end"]
    assert restructured(["Raises: nothing"]) == ["Raises: nothing"]


def test_broken_links_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(
        '<a id="here"></a><a href="b.html#there">b</a><a href="#here">a</a><a href="https://x.org/">x</a>'
    )
    (tmp_path / "b.html").write_text('<p id="there"></p><img src="none.png"><a href="a.html#no">a</a>')
    assert list(links.broken_inside(tmp_path)) == [
        "b.html: a.html#no: no such anchor",
        "b.html: none.png: no such file",
    ]
