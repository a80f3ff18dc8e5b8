"""Tells TVM of Re²Na as soon as TVM is imported, by whom and in whatever order: then `target="re2na"` is known.

TVM 0.27 has a mechanism for it, entry points of the group `tvm.backends`, of which `backend` is one. TVM 0.19 has none, and
its command line, tvmc, has none either. So `import tvm_re2na` puts a finder before Python's own that waits for the modules
in `HOOKS`, and `tvm_re2na.pth` beside the installed package imports it when Python starts, for programs that do not know of
us. TVM stays what it is: what we register goes through its own registries, after its modules have been executed.

Python starts with this module, so it imports next to nothing; what it loads after TVM is the front end's `register.py`, a
small one.
"""

from __future__ import annotations

import sys

TYPE_CHECKING = False  # `typing` is large
if TYPE_CHECKING:
    from collections.abc import Sequence
    from importlib.machinery import ModuleSpec
    from types import ModuleType
    from typing import Any

# modules of TVM, and which module of the front end is loaded after each
HOOKS = {"tvm": "register", "tvm.driver.tvmc.composite_target": "tvmc"}
_told: set[str] = set()


class Finder:
    """Finds nothing itself: it adds to the loader that others find for a module of `HOOKS`."""

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """As of importlib.abc.MetaPathFinder."""
        if name not in HOOKS:
            return None
        specs = (finder.find_spec(name, path, target) for finder in sys.meta_path if finder is not self)
        spec = next((spec for spec in specs if spec is not None), None)
        if spec is not None and spec.loader is not None:
            spec.loader = Loader(spec.loader)  # type: ignore[assignment]  # all of a loader that is asked for
        return spec


class Loader:
    """Another loader, and what is to be done when the module has been executed; in the module itself the other alone is left."""

    def __init__(self, loader: Any) -> None:
        self._loader = loader

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loader, name)

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """As of importlib.abc.Loader."""
        module: ModuleType | None = self._loader.create_module(spec)
        return module

    def exec_module(self, module: ModuleType) -> None:
        """As of importlib.abc.Loader."""
        module.__loader__ = self._loader
        if module.__spec__ is not None:
            module.__spec__.loader = self._loader
        self._loader.exec_module(module)
        register(module.__name__)


def install() -> None:
    """Wait for TVM; what has been imported already is told at once."""
    if not any(isinstance(finder, Finder) for finder in sys.meta_path):
        sys.meta_path.insert(0, Finder())
    for name in HOOKS:
        spec = getattr(sys.modules.get(name), "__spec__", None)
        if spec is not None and not getattr(spec, "_initializing", False):
            register(name)


def backend() -> None:
    """What TVM 0.27 calls at the end of its own import: the entry point `tvm.backends`."""
    register("tvm")


def register(name: str) -> None:
    """Load what belongs to a module of `HOOKS`, which has been executed. TVM must work without us: what fails is a warning."""
    tvm = sys.modules.get("tvm")
    front_end = "relay" if hasattr(tvm, "relay") else "relax" if hasattr(tvm, "relax") else None
    if front_end is None or name in _told:  # TVM's runtime alone: libraries that were exported know what they need
        return
    from importlib import import_module

    _told.add(name)
    try:
        import_module(f"tvm_re2na.frontends.{front_end}.{HOOKS[name]}")
    except Exception as error:  # whatever a damaged installation raises
        import warnings

        why = f"{type(error).__name__}: {error}"
        warnings.warn(f"TVM does not know the target 're2na': {why}; `re2na doctor` says more", stacklevel=2)
