"""The shared libraries: where they lie, and their functions as `abi_table.py` declares them."""

from __future__ import annotations

import ctypes
import sys
from functools import cache
from pathlib import Path

from tvm_re2na.runtime.abi_table import PROTOTYPES


def library_path() -> Path:
    """The shared library that was built with this package; raises FileNotFoundError if there is none."""
    return _built("libre2na.so", "install the package, do not import its folder")


def module_library_path() -> Path:
    """The library with the module of TVM's Relax, of which a program is one; raises FileNotFoundError if it was not built."""
    return _built("libre2na_tvm.so", "install a C++ compiler, and then tvm_re2na again")


def include_path() -> Path:
    """The folder with re2na.h, for programs in C and C++; raises FileNotFoundError if the package lacks it."""
    return _built("include/re2na.h", "install the package again").parent


def archives() -> list[Path]:
    """What `library_path` and `module_library_path` have in them, to be linked statically: first libre2na's, then the module's.

    The second is left out where it was not built. Raises FileNotFoundError where the first is not there.
    """
    first = _built("libre2na_static.a", "install the package again")
    second = first.with_name("libre2na_tvm_static.a")
    return [first, second] if second.is_file() else [first]


def load_module_library() -> None:
    """Let TVM with Relax load libraries that hold programs; that TVM must have been imported. Raises as module_library_path."""
    ctypes.CDLL(str(module_library_path()))


def _built(name: str, advice: str) -> Path:
    package = sys.modules[__name__.rpartition(".")[0]]
    folders = map(Path, package.__path__)  # two in an editable install: the sources, and what was built
    path = next((folder / name for folder in folders if (folder / name).is_file()), None)
    if path is None:
        raise FileNotFoundError(f"{name} is not beside tvm_re2na.runtime: {advice}")
    return path


@cache
def c_library() -> ctypes.CDLL:
    """With its functions declared."""
    return _declare(ctypes.CDLL(str(library_path())))


def load_library_global() -> ctypes.CDLL:
    """Make the library's symbols visible to code that is loaded later, as modules built by TVM are."""
    return _declare(ctypes.CDLL(str(library_path()), mode=ctypes.RTLD_GLOBAL))


def _declare(library: ctypes.CDLL) -> ctypes.CDLL:
    for name, (result, arguments) in PROTOTYPES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
