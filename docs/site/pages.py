"""What the site is made of: pages of the repository as they are, and pages that follow from a declaration.

The repository's pages keep their places, so that their links to each other are those of the site. `assemble` writes the rest: the
contents, a page for each public module, and the glossary of docs/architecture.md as Sphinx's, to search and link to.
Nothing here needs Sphinx or TVM: `tests/docs/test_site.py` looks at all of it.
"""

from __future__ import annotations

import ast
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {"tvm_re2na.codegen": "codegen", "tvm_re2na.runtime": "runtime", "tvm_re2na": "tvm_re2na"}
# the pages, in the order of the contents; `tutorials/index` is sphinx-gallery's
CONTENTS: dict[str, tuple[str, ...]] = {
    "Begin": ("README", "docs/installing", "tutorials/index", "docs/cli", "docs/zoo", "docs/zoo_activation_table"),
    "Models": ("docs/onnx", "docs/quantisation", "docs/surveys", "docs/torch", "docs/prequantized", "docs/relax"),
    "The machine": (
        "docs/hardware",
        "docs/isa",
        "docs/timing",
        "docs/coding",
        "docs/energy",
        "docs/bounds",
        "docs/explore",
        "docs/peers",
    ),
    "Running it": (
        "docs/report",
        "docs/debug",
        "docs/json",
        "docs/trace",
        "docs/vectors",
        "docs/simulator",
        "docs/many_machines",
        "docs/reliability",
    ),
    "Reference": ("api/index", "glossary"),
    "The project": ("docs/architecture", "docs/decisions/README", "CONTRIBUTING", "CHANGELOG", "SECURITY"),
}
# what the contents call pages that have the heading of another
TITLES = {"README": "Read me", "docs/zoo_activation_table": "The same with an activation table"}
# pages that others link to, beside those of the contents
HIDDEN = ("tvm_re2na/demo/README",)
DECISIONS = "docs/decisions/README"
UNSEARCHED = "CHANGELOG"  # it has every word, and would come first wherever one looks for what holds today
START = """## Start

In a checkout, with Python 3.10 to 3.13 and a C compiler:

    make demo             # LeNet-5 quantised, compiled and run, with TVM 0.19 in .venv
    make demo-relax       # the same with today's TVM in .venv-relax

or in an environment of yours:

    pip install '.[relax]'    # TVM 0.27; '.[relay]' for TVM 0.19
    re2na doctor              # what works, and what mends the rest
    re2na demo
    re2na compile MODEL.onnx --calibration IMAGES.npz --report

[More](README.md#try-it), [wheels](docs/installing.md), [tutorials](tutorials/index.rst), [the command](docs/cli.md)."""
# the modules that users import; a module's names are those of its `__all__`, or else its public functions and classes
MODULES = (
    "tvm_re2na",
    "tvm_re2na.pipeline",
    "tvm_re2na.quantize",
    "tvm_re2na.survey",
    "tvm_re2na.prequantized",
    "tvm_re2na.torch",
    "tvm_re2na.torch.pt2e",
    "tvm_re2na.relax",
    "tvm_re2na.relax.pt2e",
    "tvm_re2na.relax.session",
    "tvm_re2na.relay",
    "tvm_re2na.relay.importer",
    "tvm_re2na.relay.session",
    "tvm_re2na.cache",
    "tvm_re2na.vectors",
    "tvm_re2na.plot",
    "tvm_re2na.codegen.arch",
    "tvm_re2na.codegen.compiler",
    "tvm_re2na.codegen.program",
    "tvm_re2na.runtime.library",
    "tvm_re2na.runtime.many",
    "tvm_re2na.runtime.report",
)
OLD_TVM = "tvm_re2na.relay"  # of these an environment with today's TVM imports none


def source_of(module: str) -> Path:
    """The file of a module."""
    package = next(package for package in PACKAGES if module == package or module.startswith(f"{package}."))
    place = ROOT / PACKAGES[package] / module.removeprefix(package).strip(".").replace(".", "/")
    return place / "__init__.py" if place.is_dir() else place.with_suffix(".py")


def public_names(module: str) -> list[str]:
    """What users may take from it, as its source says."""
    tree = ast.parse(source_of(module).read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") == "__all__":
            return [name for name in ast.literal_eval(node.value) if not name.startswith("__")]
    return [name for name in definitions(tree) if not name.startswith("_")]


def definitions(tree: ast.Module) -> Iterator[str]:
    """Functions and classes at a module's top."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.name


def repository_pages() -> list[str]:
    """Those that are files of the repository."""
    named = [page for pages in CONTENTS.values() for page in pages if (ROOT / f"{page}.md").is_file()]
    return [*named, *decisions(), *HIDDEN]


def decisions() -> list[str]:
    """Listed by their README."""
    return [
        f"docs/decisions/{path.stem}"
        for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))
        if path.stem != "README"
    ]


def assemble(folder: Path) -> None:
    """Write the sources of the site, but for the tutorials; files that are as they were are left alone, so that Sphinx sees it."""
    for page in repository_pages():
        text = for_the_site((ROOT / f"{page}.md").read_text(encoding="utf-8"))
        if page in HIDDEN:
            text = f"---\norphan: true\n---\n\n{text}"
        if page == UNSEARCHED:
            text = f"---\nno-search: true\n---\n\n{text}"
        if page == DECISIONS:
            text += "\n```{toctree}\n:hidden:\n\n" + "\n".join(f"/{each}" for each in decisions()) + "\n```\n"
        _write(folder / f"{page}.md", text)
    for linked in sorted(_linked_files()):
        copy = folder / linked
        copy.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(ROOT / linked, copy)
    _write(folder / "index.md", _index())
    _write(folder / "glossary.md", glossary((ROOT / "docs" / "architecture.md").read_text(encoding="utf-8")))
    _write(folder / "api" / "index.md", _api_index())
    for module in MODULES:
        if not module.startswith(OLD_TVM):
            _write(folder / "api" / f"{module}.md", api_page(module))


def _linked_files() -> set[Path]:
    """What pages link to or show that is no page: sources, pictures."""
    found = set()
    for page in repository_pages():
        path = ROOT / f"{page}.md"
        for target in re.findall(r"\]\(([^)\s#]+)[^)]*\)", path.read_text(encoding="utf-8")):
            other = (path.parent / target).resolve()
            if ":" not in target and other.is_file() and other.suffix != ".md" and "tutorials" not in target:
                found.add(other.relative_to(ROOT))
    return found


def for_the_site(text: str) -> str:
    """A page with links to the tutorials' pages in the place of their scripts."""
    text = re.sub(r"\]\(((?:\.\./)*tutorials)/?\)", r"](\1/index.rst)", text)
    return re.sub(r"\]\(((?:\.\./)*tutorials/\w+/\w+)\.py\)", r"](\1.rst)", text)


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.is_file() or path.read_text(encoding="utf-8") != text:
        path.write_text(text, encoding="utf-8")


# ---- pages that follow from a declaration


def _index() -> str:
    """The start page: what this is, in the README's own words, and the contents."""
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    introduction = for_the_site(readme[: readme.index("\n## ")])
    trees = [
        f"```{{toctree}}\n:caption: {caption}\n:maxdepth: 1\n\n{chr(10).join(_entries(pages))}\n```"
        for caption, pages in CONTENTS.items()
    ]
    picture = re.findall(r"^!\[.*$", readme, re.M)
    return "\n\n".join([introduction.strip(), START, *picture, *trees]) + "\n"


def _entries(pages: tuple[str, ...]) -> list[str]:
    return [f"{TITLES[page]} <{page}>" if page in TITLES else page for page in pages]


def _api_index() -> str:
    listed = "\n".join(MODULES)
    rows = "\n".join(f"| [`{module}`]({module}.md) | {purpose(module)} |" for module in MODULES)
    return f"""# Python API

What users import. Names begin at `tvm_re2na`; the modules after it are what they come from, and more.

| module | what it is |
|---|---|
{rows}

```{{toctree}}
:hidden:

{listed}
```
"""


def purpose(module: str) -> str:
    """The first line of its docstring."""
    docstring = ast.get_docstring(ast.parse(source_of(module).read_text(encoding="utf-8"))) or ""
    return docstring.partition("\n")[0]


def own_and_shared(module: str) -> tuple[list[str], dict[str, str]]:
    """A module's public names; and classes among them that an earlier module has and describes, with that module."""
    names, earlier = public_names(module), MODULES[: MODULES.index(module)]
    homes = {name: other for other in reversed(earlier) for name in public_names(other) if name[0].isupper()}
    return [name for name in names if name not in homes], {name: homes[name] for name in names if name in homes}


def api_page(module: str) -> str:
    """Of a module that can be imported where the site is built: Sphinx reads its docstrings."""
    _, shared = own_and_shared(module)
    excluded = f"   :exclude-members: {', '.join(shared)}\n" if shared else ""
    directive = f".. automodule:: {module}\n   :members:\n{excluded}"
    return f"# {module}\n\n```{{eval-rst}}\n{directive}```\n{also_here(shared)}"


def also_here(shared: dict[str, str]) -> str:
    """Where the shared names are described."""
    links = ", ".join(f"{{py:obj}}`{home}.{name}`" for name, home in shared.items())
    return f"\nThe same as elsewhere: {links}.\n" if shared else ""


def glossary(architecture: str) -> str:
    """The tables of docs/architecture.md's glossary as Sphinx's."""
    table = architecture.partition("\n## Glossary\n")[2].partition("\n## ")[0]
    rows = [
        [cell.strip() for cell in line.strip("|").split("|")] for line in table.splitlines() if line.startswith("| ")
    ]
    parts: list[str] = [
        "# Glossary",
        "Our words, with the field's beside them. The same as a table: [](docs/architecture.md#glossary).",
    ]
    terms: list[str] = []
    for word, field, here in rows[1:]:  # under the heading
        if word.startswith("**"):
            parts, terms = [*parts, *_closed(terms), f"## {word.strip('*')}"], []
            continue
        theirs = "" if field in ("-", word) else f" *The field's: {field}.*"
        names = (
            word.replace("`", "").split(", ") if word in ("PE, PB", "lsb, LSB", "SNR, dB", "block, record") else [word]
        )
        terms.append("\n".join(dict.fromkeys(names)) + f"\n   {here}.{theirs}")
    return "\n\n".join([*parts, *_closed(terms)]) + "\n"


def _closed(terms: list[str]) -> list[str]:
    return ["```{glossary}\n" + "\n\n".join(terms) + "\n```"] if terms else []
