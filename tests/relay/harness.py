"""TVM 0.19 as the tests of both front ends see it (tests/frontends/harness.py)."""

from __future__ import annotations

import functools
from collections.abc import Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt
import onnx
import tvm
from tvm import relay
from tvm.contrib import graph_executor
from tvm.relay.backend import te_compiler

from tests.frontends.harness import Arrays, Region, in_a_file
from tests.relay.relay_qdq import RelayQdqBuilder as Builder
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.frontends.relay.partition import inline_composites
from tvm_re2na.relay import explain, lower, offloaded_functions, offloaded_macs_share, partition_for_re2na, prepare
from tvm_re2na.relay.importer import import_onnx

# TVM asks for its build's constants once per dimension of every tensor: a quarter of a generated case's time
te_compiler.libinfo = functools.cache(te_compiler.libinfo)
__all__ = ["Builder", "explain", "offloaded_macs_share"]
name = "relay"


def load(model: onnx.ModelProto, shape: dict[str, tuple[int, ...]] | None = None) -> tvm.IRModule:
    """By our importer, which `test_importer.py` holds against TVM's."""
    return import_onnx(model, shape or {})


def run_cpu(module: tvm.IRModule, inputs: Arrays) -> Arrays:
    return execute(in_a_file(_quickly_built(module), tvm.runtime.load_module), inputs)


def run_re2na(partitioned: tvm.IRModule, inputs: Arrays) -> Arrays:
    with tvm.transform.PassContext(opt_level=3):
        library = relay.build(partitioned, target="re2na")
    return execute(library, inputs)


def integers(module: tvm.IRModule) -> tvm.IRModule:
    return prepare(module)


def partition(module: tvm.IRModule, arch: Architecture | None = None) -> tvm.IRModule:
    return partition_for_re2na(module, arch=arch)


def regions(partitioned: tvm.IRModule, arch: Architecture | None = None) -> list[Region]:
    return [
        Region(lower(function, symbol, arch), relay.Function(function.params, inline_composites(function.body)))
        for symbol, function in offloaded_functions(partitioned)
    ]


def run_plain(functions: Sequence[relay.Function], inputs: Sequence[Arrays]) -> list[Arrays]:
    """One function with the inputs and outputs of all."""
    bodies = [function.body for function in functions]
    fields = [list(body.fields) if isinstance(body, relay.Tuple) else [body] for body in bodies]
    parameters = [parameter for function in functions for parameter in function.params]
    library = _quickly_built(
        tvm.IRModule.from_expr(relay.Function(parameters, relay.Tuple([field for each in fields for field in each])))
    )
    outputs = iter(
        execute(in_a_file(library, tvm.runtime.load_module), [array for arrays in inputs for array in arrays])
    )
    return [list(islice(outputs, len(each))) for each in fields]


def _quickly_built(module: tvm.IRModule) -> tvm.runtime.Module:
    """TVM's plain loops for llvm, compiled without optimisation: exact, and quick to build.

    `SimplifyExpr` infers all types anew after each of its changes: its time grows with the square of the functions' number.
    """
    target = tvm.target.Target({"kind": "llvm", "keys": ["generic"], "opt-level": 0})
    slow = ["SimplifyExpr", "SimplifyExprPostAlterOp"]
    with tvm.transform.PassContext(opt_level=1, disabled_pass=slow, config={"tir.disable_assert": True}):
        return relay.build(module, target=target)


def execute(library: tvm.runtime.Module, inputs: Arrays) -> list[npt.NDArray[np.generic]]:
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
    for index, value in enumerate(inputs):
        executor.set_input(index, value)
    executor.run()
    return [executor.get_output(index).numpy() for index in range(executor.get_num_outputs())]
