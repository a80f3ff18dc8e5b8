"""What the Relay tests share: import a model, run one offloaded function on TVM's CPU and in the NumPy evaluator."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from tests.graph_eval import WIDE, evaluate
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.relay import lower, offloaded_functions, partition_for_re2na
from tvm_re2na.relay.partition import inline_composites

Arrays = list[npt.NDArray[np.generic]]


def load(model: onnx.ModelProto, **options: object) -> tvm.IRModule:
    module, _ = relay.frontend.from_onnx(model, freeze_params=True, **options)
    return module


def run_cpu(module: tvm.IRModule, inputs: Arrays) -> Arrays:
    """Outputs on TVM's CPU with exact integer kernels: plain llvm."""
    with tvm.transform.PassContext(opt_level=3):
        library = relay.build(module, target="llvm")
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
    for index, value in enumerate(inputs):
        executor.set_input(index, value)
    executor.run()
    return [executor.get_output(index).numpy() for index in range(executor.get_num_outputs())]


def partition(model: onnx.ModelProto, arch: Architecture | None = None) -> tvm.IRModule:
    return partition_for_re2na(load(model), arch=arch)


def compare(module: tvm.IRModule, rng: np.random.Generator) -> list[str]:
    """Check every offloaded function on random full-range inputs, to the bit; returns the kinds of the operators found."""
    kinds = []
    for symbol, function in offloaded_functions(module):
        graph = lower(function, symbol)
        inputs = [rng.integers(-128, 128, graph.shapes[name]).astype(np.int8) for name in graph.inputs]
        plain = relay.Function(function.params, inline_composites(function.body))
        expected = run_cpu(tvm.IRModule.from_expr(plain), list(inputs))
        for mine, theirs in zip(evaluate(graph, inputs, WIDE), expected, strict=True):
            assert mine.shape == theirs.shape
            np.testing.assert_array_equal(mine, theirs, err_msg=str(graph))
        kinds += [op.kind for op in graph.ops]
    return kinds
