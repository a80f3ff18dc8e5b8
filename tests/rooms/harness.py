"""What the tests of both rooms ask of either TVM; `tests/relay/harness.py` and `tests/relax/harness.py` answer."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
import onnx

from tests.graph_eval import WIDE, evaluate
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.explanation import Explanation
from tvm_re2na.codegen.graph import Graph

Arrays = list[npt.NDArray[Any]]
Execute = Callable[[Arrays], Arrays]


class Room(Protocol):
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

    def regions(self, partitioned: Any, arch: Architecture | None = None) -> Iterator[tuple[Graph, Execute]]:
        """Of every offloaded function, its graph, and the same on TVM's CPU in integers."""

    def explain(self, module: Any, params: Any = None, arch: Architecture | None = None) -> list[Explanation]:
        """`explain`."""

    def offloaded_macs_share(self, partitioned: Any) -> float:
        """`offloaded_macs_share`."""


def compare(room: Room, partitioned: Any, rng: np.random.Generator) -> list[str]:
    """Check every offloaded function on random full-range inputs, to the bit; returns the kinds of the operators found."""
    kinds = []
    for graph, execute in room.regions(partitioned):
        inputs = [rng.integers(-128, 128, graph.shapes[name]).astype(np.int8) for name in graph.inputs]
        for mine, theirs in zip(evaluate(graph, inputs, WIDE), execute(list(inputs)), strict=True):
            assert mine.shape == theirs.shape
            np.testing.assert_array_equal(mine, theirs, err_msg=str(graph))
        kinds += [op.kind for op in graph.ops]
    return kinds
