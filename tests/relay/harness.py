"""TVM 0.19 as the tests of both rooms see it (tests/rooms/harness.py)."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import onnx
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from tests.relay.relay_qdq import RelayQdqBuilder as Builder
from tests.rooms.harness import Arrays, Execute
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph import Graph
from tvm_re2na.relay import explain, lower, offloaded_functions, offloaded_macs_share, partition_for_re2na, prepare
from tvm_re2na.relay.partition import inline_composites

__all__ = ["Builder", "explain", "offloaded_macs_share"]
name = "relay"


def load(model: onnx.ModelProto, shape: dict[str, tuple[int, ...]] | None = None) -> tvm.IRModule:
    module, _ = relay.frontend.from_onnx(model, shape=shape, freeze_params=True)
    return module


def run_cpu(module: tvm.IRModule, inputs: Arrays) -> Arrays:
    return _run(module, "llvm", inputs)


def run_re2na(partitioned: tvm.IRModule, inputs: Arrays) -> Arrays:
    return _run(partitioned, "re2na", inputs)


def _run(module: tvm.IRModule, target: str, inputs: Arrays) -> Arrays:
    with tvm.transform.PassContext(opt_level=3):
        library = relay.build(module, target=target)
    return execute(library, inputs)


def integers(module: tvm.IRModule) -> tvm.IRModule:
    return prepare(module)[0]


def partition(module: tvm.IRModule, arch: Architecture | None = None) -> tvm.IRModule:
    return partition_for_re2na(module, arch=arch)


def regions(partitioned: tvm.IRModule, arch: Architecture | None = None) -> Iterator[tuple[Graph, Execute]]:
    for symbol, function in offloaded_functions(partitioned):
        plain = relay.Function(function.params, inline_composites(function.body))
        library = _quickly_built(tvm.IRModule.from_expr(plain))
        yield lower(function, symbol, arch), lambda inputs, library=library: execute(library, inputs)


def _quickly_built(module: tvm.IRModule) -> tvm.runtime.Module:
    """TVM's plain loops for llvm, compiled without optimisation: exact, and quick to build."""
    target = tvm.target.Target({"kind": "llvm", "keys": ["generic"], "opt-level": 0})
    with tvm.transform.PassContext(opt_level=1):
        return relay.build(module, target=target)


def execute(library: tvm.runtime.Module, inputs: Arrays) -> list[npt.NDArray[np.generic]]:
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
    for index, value in enumerate(inputs):
        executor.set_input(index, value)
    executor.run()
    return [executor.get_output(index).numpy() for index in range(executor.get_num_outputs())]
