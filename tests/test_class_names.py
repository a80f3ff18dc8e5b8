"""A class of the product is known by its name: no two have the same, but for what each front end has of its kind."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).parents[1]
FRONT_ENDS = ("relay", "relax")
KNOWN = {"Group", "Part"}  # of fields and of buffers, of a duration and of a buffer: nothing imports both


def classes() -> dict[str, list[Path]]:
    found = defaultdict(list)
    for folder in ("tvm_re2na", "codegen", "runtime"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                    found[node.name].append(path.relative_to(ROOT))
    return found


def test_no_two_classes_have_one_name() -> None:
    twice = {
        name: paths
        for name, paths in classes().items()
        if len(paths) > 1 and name not in KNOWN and not all(path.parent.name in FRONT_ENDS for path in paths)
    }
    assert not twice
