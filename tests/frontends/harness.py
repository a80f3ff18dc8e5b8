"""What the tests of both front ends ask of either TVM; `tests/relay/harness.py` and `tests/relax/harness.py` answer."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx

from tests.graph_eval import WIDE, evaluate
from tvm_re2na import frontends
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.offload.explanation import Explanation

Arrays = list[npt.NDArray[Any]]


@dataclass(frozen=True)
class Region:
    """An offloaded function: its graph, and the same in integers for TVM's CPU."""

    graph: Graph
    plain: Any


class FrontEnd(Protocol):
    """One TVM. A module is an IRModule of it."""

    name: str
    Builder: type  # as `qdq.QdqBuilder`, but quicker: `build` gives the module

    def load(self, model: onnx.ModelProto, shape: dict[str, tuple[int, ...]] | None = None) -> Any:
        """TVM's ONNX importer, everything constant."""

    def run_cpu(self, module: Any, inputs: Arrays) -> Arrays:
        """The outputs of a module on TVM's CPU, as it stands."""

    def run_re2na(self, partitioned: Any, inputs: Arrays) -> Arrays:
        """The outputs of a partitioned module, built for the target "re2na"."""

    def integers(self, module: Any) -> Any:
        """The module with its quantised operators in integers."""

    def partition(self, module: Any, arch: Architecture | None = None) -> Any:
        """`partition_for_re2na`."""

    def regions(self, partitioned: Any, arch: Architecture | None = None) -> list[Region]:
        """The offloaded functions."""

    def run_plain(self, functions: Sequence[Any], inputs: Sequence[Arrays]) -> list[Arrays]:
        """What each of these functions for TVM's CPU gives; all are built in one module."""

    def explain(self, module: Any, params: Any = None, arch: Architecture | None = None) -> list[Explanation]:
        """`explain`."""

    def offloaded_macs_share(self, partitioned: Any) -> float:
        """`offloaded_macs_share`."""


def share_of_this_front_end(cases: Sequence[int]) -> list[int]:
    """Every fourth case is for TVM with Relay, where they take longer, the rest for Relax; RE2NA_SLOW=1: all for both."""
    every, relay = set(cases), set(cases[::4])
    if "RE2NA_SLOW" in os.environ:
        return sorted(every)
    return sorted(relay if frontends.installed() == "relay" else every - relay)


def random_inputs(graph: Graph, rng: np.random.Generator) -> list[npt.NDArray[np.int8]]:
    """Full-range."""
    return [rng.integers(-128, 128, graph.shapes[name]).astype(np.int8) for name in graph.inputs]


def compare(front_end: FrontEnd, partitioned: Any, rng: np.random.Generator) -> list[str]:
    """Check every offloaded function on random full-range inputs, to the bit; returns the kinds of the operators found."""
    return compare_all(front_end, {"": partitioned}, rng)[""]


def compare_all(front_end: FrontEnd, partitioned: Mapping[str, Any], rng: np.random.Generator) -> dict[str, list[str]]:
    """`compare` of many modules by name: TVM builds once. An error tells the module's name."""
    found = [(name, region) for name, module in partitioned.items() for region in front_end.regions(module)]
    inputs = [random_inputs(region.graph, rng) for _, region in found]
    kinds: dict[str, list[str]] = {name: [] for name in partitioned}
    for (name, region), given, expected in zip(found, inputs, run_plain(front_end, found, inputs), strict=True):
        with case(name):
            for mine, theirs in zip(evaluate(region.graph, given, WIDE), expected, strict=True):
                assert mine.shape == theirs.shape
                np.testing.assert_array_equal(mine, theirs, err_msg=str(region.graph))
        kinds[name] += [op.kind for op in region.graph.ops]
    return kinds


def run_plain(front_end: FrontEnd, found: Sequence[tuple[object, Region]], inputs: Sequence[Arrays]) -> list[Arrays]:
    """`FrontEnd.run_plain` of regions with the cases they are of; where TVM fails, one by one, so that the case is known."""
    if not found:
        return []
    try:
        return front_end.run_plain([region.plain for _, region in found], inputs)
    except Exception:
        for (name, region), given in zip(found, inputs, strict=True):
            with case(name):
                front_end.run_plain([region.plain], [given])
        raise


@contextmanager
def case(name: object) -> Iterator[None]:
    """Puts the name of the case, of many in one test, before the message of an error."""
    try:
        yield
    except Exception as error:
        raise AssertionError(f"case {name}: {error}") from error


def in_a_file(library: Any, load: Callable[[str], Any]) -> Any:
    """A built library as a shared object: LLVM's compiler in memory optimises machine code, whatever the target says."""
    with tempfile.TemporaryDirectory() as folder:
        library.export_library(f"{folder}/library.so")
        return load(f"{folder}/library.so")
