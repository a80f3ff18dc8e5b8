"""The two rooms of the package, one for each TVM, and what they have in common.

`tvm_re2na.relay` knows TVM 0.19 with Relay, `tvm_re2na.relax` today's TVM with Relax. Both import as `tvm`, so an environment holds
one of them. The functions of `Session` are all that the pipeline asks of either.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.errors import MISSING_PACKAGE, Re2naError
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.abi_table import STATUS
from tvm_re2na.runtime.library import SimulatorError

if TYPE_CHECKING:
    import onnx

ROOMS = ("relay", "relax")
Module: TypeAlias = Any  # tvm.IRModule; TVM carries no types
Params: TypeAlias = dict[str, Any]
Dump: TypeAlias = Callable[[str, str], None]
Runner: TypeAlias = Callable[[npt.NDArray[np.float32]], list[npt.NDArray[Any]]]


class MissingPackageError(Re2naError, ImportError):
    """An optional package is not installed; the message says how to get it."""

    exit_code = MISSING_PACKAGE


@dataclass(frozen=True)
class Built:
    """A network that runs in TVM, with the programs of its offloaded regions (none if it was built for the CPU)."""

    library: Any
    open: Callable[[Any], Runner]
    programs: tuple[tuple[str, Program], ...] = ()
    offloaded_macs_share: float = 0.0

    def executor(self) -> Runner:
        """A function that runs one batch of float images and returns all outputs."""
        return self.open(self.library)


SIMULATOR_SAID = re.compile(r"Re2Na: (?:error (\d+): )?([^\n]+)")


@contextmanager
def simulator_errors() -> Iterator[None]:
    """An error of the simulator's that comes through TVM, as whatever TVM makes of it, is a SimulatorError."""
    try:
        yield
    except Exception as error:
        said = SIMULATOR_SAID.search(str(error))
        if said is None or isinstance(error, SimulatorError):
            raise
        raise SimulatorError(int(said[1] or STATUS.index("argument")), said[2]) from error


@dataclass(frozen=True)
class Compiled:
    """The programs of a network's offloaded regions, each with its symbol, and the share of the network's MACs in them."""

    programs: tuple[tuple[str, Program], ...]
    offloaded_macs_share: float


@dataclass(frozen=True)
class Lowered:
    """What a machine takes of a network: the graphs of the offloaded regions, and their share of the network's MACs."""

    graphs: tuple[Graph, ...]
    offloaded_macs_share: float


class Session(Protocol):
    """`tvm_re2na.relay.session` or `tvm_re2na.relax.session`."""

    def import_onnx(self, model: onnx.ModelProto, shape: dict[str, tuple[int, ...]]) -> tuple[Module, Params]:
        """What TVM's importer makes with the input's shape fixed; raises whatever TVM raises, which may be any exception."""

    def import_tflite(self, content: bytes) -> tuple[Module, Params]:
        """A TFLite model; raises ImportError without the package `tflite`, and whatever TVM raises."""

    def build_for_cpu(self, mod: Module, params: Params, target: Any = None) -> Built:
        """The integer network, exact, for a target of TVM's; by default this processor's vector units (`processor`)."""

    def build_for_re2na(self, mod: Module, params: Params, arch: Architecture, dump: Dump | None = None) -> Built:
        """The same network, partitioned; raises CompileError where the machine is too small."""

    def compile_for_re2na(self, mod: Module, params: Params, arch: Architecture, dump: Dump | None = None) -> Compiled:
        """The programs that `build_for_re2na` makes, byte for byte, without the build of the rest for the CPU."""

    def lower_for_each(self, mod: Module, params: Params, archs: Sequence[Architecture]) -> list[Lowered]:
        """What each machine takes of one network; the machines may differ in anything but their arithmetic."""

    def save_library(self, library: Any, path: str | os.PathLike[str]) -> None:
        """`Built.library` as a shared library, which `load_library` opens in any process; needs a C++ linker."""

    def load_library(self, path: str | os.PathLike[str]) -> Runner:
        """As `Built.executor`, of what `save_library` wrote."""

    def explain(self, mod: Module, params: Params | None = None, arch: Architecture | None = None) -> list[Explanation]:
        """Every operator in execution order, with the reason it is where it is."""


@cache
def installed() -> str | None:
    """The room of the TVM that is installed; TVM 0.19 holds an early Relax besides Relay, and is Relay's."""
    spec = find_spec("tvm")
    folders = [Path(folder) for folder in (spec.submodule_search_locations or [])] if spec else []
    return next((room for room in ROOMS for folder in folders if (folder / room).is_dir()), None)


def session() -> Session:
    """The session of the installed TVM; loading it registers the target. Raises MissingPackageError where there is none."""
    return cast(Session, _load("session"))


def _load(module: str) -> Any:
    room = installed()
    if room is None:
        raise MissingPackageError(
            "TVM is not installed: pip install 'tvm_re2na[relax]' (today's TVM) or 'tvm_re2na[relay]' (TVM 0.19)"
        )
    try:
        return import_module(f"tvm_re2na.{room}.{module}")
    except ImportError as error:
        if not (error.name or "").startswith("tvm") or (error.name or "").startswith("tvm_re2na"):
            raise
        raise MissingPackageError(f"TVM is not whole: pip install 'tvm_re2na[{room}]'") from error


def __getattr__(name: str) -> Any:
    """`partition_for_re2na` and `explain` of the installed TVM's room."""
    homes = {"partition_for_re2na": "partition", "explain": "explain"}
    if name not in homes:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    return getattr(_load(homes[name]), name)
