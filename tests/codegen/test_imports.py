"""Imports run one way: neither modules nor folders import each other in a circle, and each part only what lies below it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGES = {
    "tvm_re2na.codegen": ROOT / "codegen",
    "tvm_re2na.runtime": ROOT / "runtime",
    "tvm_re2na": ROOT / "tvm_re2na",
}
Arrows = dict[str, set[str]]  # from who imports to what is imported


def modules() -> dict[str, Path]:
    """All modules of the product, by name."""
    found = {}
    for package, folder in PACKAGES.items():
        for path in folder.rglob("*.py"):
            parts = path.relative_to(folder).with_suffix("").parts
            found[".".join((package, *(part for part in parts if part != "__init__")))] = path
    return found


def imported(path: Path) -> Iterator[str]:
    """Full names of what is imported, when the module is loaded or later; not what types alone need."""
    tree = ast.parse(path.read_text())
    for_types = [
        node for node in ast.walk(tree) if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
    ]
    skipped = {id(inner) for node in for_types for inner in ast.walk(node)}
    for node in ast.walk(tree):
        if id(node) in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


@cache
def arrows() -> Arrows:
    known = modules()
    found: Arrows = {name: set() for name in known}
    for name, path in known.items():
        for target in imported(path):
            while target and target not in known:
                target = target.rpartition(".")[0]
            if target and target != name:
                found[name].add(target)
    return found


def folder(module: str, known: dict[str, Path]) -> str:
    """A folder within one of the packages is one thing, and so is a file that lies in none."""
    if known[module].name == "__init__.py":
        return module
    parent = module.rpartition(".")[0]
    return module if parent in PACKAGES else parent


def test_no_module_imports_itself_through_others() -> None:
    assert list(TopologicalSorter(arrows()).static_order())


def test_no_folder_imports_itself_through_others() -> None:
    known = modules()
    between: Arrows = {}
    for module, targets in arrows().items():
        between.setdefault(folder(module, known), set()).update(folder(target, known) for target in targets)
    for name, targets in between.items():
        targets.discard(name)
    assert list(TopologicalSorter(between).static_order())


def test_packages_import_downwards() -> None:
    """tvm_re2na -> runtime -> codegen."""
    for module, targets in arrows().items():
        if module.startswith("tvm_re2na.codegen"):
            assert all(target.startswith("tvm_re2na.codegen") or target == "tvm_re2na" for target in targets), module
        elif module.startswith("tvm_re2na.runtime"):
            assert all(target.startswith(("tvm_re2na.codegen", "tvm_re2na.runtime")) for target in targets), module


def test_front_ends_do_not_know_each_other() -> None:
    """What both need is in `common`, which knows neither."""
    for module, targets in arrows().items():
        for mine, others in {"relay": ("relax",), "relax": ("relay",), "common": ("relay", "relax")}.items():
            if module.startswith(f"tvm_re2na.frontends.{mine}"):
                forbidden = tuple(f"tvm_re2na.{place}{other}" for place in ("", "frontends.") for other in others)
                assert not [target for target in targets if target.startswith(forbidden)], module
