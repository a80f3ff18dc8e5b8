"""Today's TVM as the tests of both front ends see it (tests/frontends/harness.py)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from tests.frontends.harness import Arrays, Region, in_a_file
from tests.relax.relax_qdq import RelaxQdqBuilder as Builder
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.frontends.relax.integers import integer_function
from tvm_re2na.frontends.relax.partition import composite_kind, find, for_cpu, operator_of
from tvm_re2na.relax import explain, lower, offloaded_functions, offloaded_macs_share, partition_for_re2na

__all__ = ["Builder", "explain", "offloaded_macs_share"]
name = "relax"


def load(model: onnx.ModelProto, shape: dict[str, tuple[int, ...]] | None = None) -> tvm.IRModule:
    with warnings.catch_warnings():  # the test models leave the shapes of their outputs open
        warnings.simplefilter("ignore")
        given = {key: list(sizes) for key, sizes in shape.items()} if shape else None
        return from_onnx(model, shape_dict=given, keep_params_in_input=False)


def run_cpu(module: tvm.IRModule, inputs: Arrays) -> Arrays:
    return _execute(_quick_machine(module), inputs)


def run_re2na(partitioned: tvm.IRModule, inputs: Arrays) -> Arrays:
    library = tvm.compile(relax.transform.RunCodegen()(partitioned), target="re2na")
    return _execute(relax.VirtualMachine(library, tvm.cpu()), inputs)


def integers(module: tvm.IRModule) -> tvm.IRModule:
    return for_cpu(find(module))


def partition(module: tvm.IRModule, arch: Architecture | None = None) -> tvm.IRModule:
    return partition_for_re2na(module, arch=arch)


def regions(partitioned: tvm.IRModule, arch: Architecture | None = None) -> list[Region]:
    return [
        Region(lower(function, symbol, arch), _Integers().visit_expr(function).without_attr("Codegen"))
        for symbol, function in offloaded_functions(partitioned)
    ]


def run_plain(functions: Sequence[relax.Function], inputs: Sequence[Arrays]) -> list[Arrays]:
    """One module of all functions."""
    named = {f"f{index}": function for index, function in enumerate(functions)}
    module = tvm.IRModule({name: function.with_attr("global_symbol", name) for name, function in named.items()})
    machine = _quick_machine(relax.transform.LambdaLift()(module))
    return [_execute(machine, arrays, name) for name, arrays in zip(named, inputs, strict=True)]


def _quick_machine(module: tvm.IRModule) -> Any:
    """TVM's plain loops for llvm, compiled without optimisation: exact, and quick to build."""
    with tvm.transform.PassContext(config={"tirx.disable_assert": True}):
        library = tvm.compile(module, target=tvm.target.Target({"kind": "llvm", "opt-level": 0}))
    return relax.VirtualMachine(in_a_file(library, tvm.runtime.load_module), tvm.cpu())


def _execute(machine: Any, inputs: Arrays, function: str = "main") -> Arrays:
    result = machine[function](*map(tvm.runtime.tensor, inputs))
    return [output.numpy() for output in ([result] if hasattr(result, "numpy") else result)]


@relax.expr_functor.mutator
class _Integers(relax.PyExprMutator):  # type: ignore[misc]
    """Composite functions in integers."""

    def visit_function_(self, function: relax.Function) -> relax.Function:
        return (
            integer_function(function, operator_of(function))
            if composite_kind(function)
            else super().visit_function_(function)
        )
