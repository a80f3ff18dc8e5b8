"""What the pipeline asks of a front end, and what it gets."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

import numpy.typing as npt

from tvm_re2na.batches import Batch
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.codegen.program import Program

if TYPE_CHECKING:
    import onnx

Module: TypeAlias = Any  # tvm.IRModule; TVM carries no types
Params: TypeAlias = dict[str, Any]
Dump: TypeAlias = Callable[[str, str], None]
Runner: TypeAlias = Callable[[Batch], list[npt.NDArray[Any]]]
Calls: TypeAlias = dict[str, list[npt.NDArray[Any]]]  # by the symbol of a program: what it was given, in its order


@dataclass(frozen=True)
class Built:
    """A network that runs in TVM, with the programs of its offloaded regions (none if it was built for the CPU).

    `border_bytes`: elements of the network's inputs and outputs, for one run.
    """

    library: Any
    open: Callable[[Any], Runner]
    programs: tuple[tuple[str, Program], ...] = ()
    offloaded_macs_share: float = 0.0
    border_bytes: int = 0

    def executor(self) -> Runner:
        """A function that runs one batch, float32 (n, ...) or records of several inputs, and returns all outputs."""
        return self.open(self.library)


@dataclass(frozen=True)
class Compiled:
    """The programs of a network's offloaded regions, each with its symbol, and the share of the network's MACs in them.

    `feeds`: for each program and each of its inputs the number of the network's input that it is made of; None of what is computed.
    `border_bytes` as of `Built`.
    """

    programs: tuple[tuple[str, Program], ...]
    offloaded_macs_share: float
    feeds: tuple[tuple[int | None, ...], ...] = ()
    border_bytes: int = 0


@dataclass(frozen=True)
class Lowered:
    """What a machine takes of a network: the graphs of the offloaded regions, and their share of the network's MACs. `ends`: the
    last node of operators that are not made of one alone, by their names; empty where nothing tells."""

    graphs: tuple[Graph, ...]
    offloaded_macs_share: float
    ends: Mapping[str, str] = field(default_factory=dict)


class Session(Protocol):
    """`session.py` of either front end."""

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

    def watch(self, built: Built) -> Callable[[Batch], tuple[list[npt.NDArray[Any]], Calls]]:
        """Runs a network that was built for Re²Na, and tells besides its outputs what each of its programs was called with."""

    def explain(self, mod: Module, params: Params | None = None, arch: Architecture | None = None) -> list[Explanation]:
        """Every operator in execution order, with the reason it is where it is."""
