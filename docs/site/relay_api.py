"""The pages of the modules for TVM 0.19, which only its own environment can import: `python docs/site/relay_api.py FOLDER` there.

Sphinx runs in the environment of today's TVM, and is given signatures and docstrings as text.
"""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from pathlib import Path
from typing import Any

from docstrings import restructured
from pages import MODULES, OLD_TVM, also_here, own_and_shared


def page(module: str) -> str:
    """A module as the Python domain's directives."""
    found = import_module(module)
    own, shared = own_and_shared(module)
    parts = [f".. py:module:: {module}", "\n".join(restructured((inspect.getdoc(found) or "").splitlines()))]
    parts += [described(name, getattr(found, name)) for name in own]
    return f"# {module}\n\n```{{eval-rst}}\n" + "\n\n".join(parts) + "\n```\n" + also_here(shared)


def described(name: str, value: Any) -> str:
    """One name, with what its docstring says."""
    text = inspect.getdoc(value) if callable(value) else f"The constant ``{value!r}``."
    kind = "class" if inspect.isclass(value) else "function" if callable(value) else "data"
    signature = str(inspect.signature(value)).replace("'", "") if callable(value) else ""
    body = "\n".join(f"   {line}".rstrip() for line in restructured((text or "").splitlines()))
    return f".. py:{kind}:: {name}{signature}\n\n{body}"


if __name__ == "__main__":
    for module in (module for module in MODULES if module.startswith(OLD_TVM)):
        Path(sys.argv[1], f"{module}.md").write_text(page(module), encoding="utf-8")
