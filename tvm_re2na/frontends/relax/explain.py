"""Says for every operator whether it is offloaded, and why not."""

from __future__ import annotations

from typing import Any

import tvm
from tvm import relax

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload.explanation import Explanation, foreign, offloaded
from tvm_re2na.codegen.offload.names import UniqueNames
from tvm_re2na.frontends.common.description import macs, share
from tvm_re2na.frontends.common.marks import NAME_ATTR
from tvm_re2na.frontends.relax.kernels import macs_of
from tvm_re2na.frontends.relax.names import source_name
from tvm_re2na.frontends.relax.partition import (
    Params,
    border_bytes,
    composite_kind,
    composites,
    explanation_of,
    offloaded_functions,
    partition_for_re2na,
)
from tvm_re2na.frontends.relax.walk import (
    attribute,
    bindings_of,
    called,
    computed_from_input,
    dtype_of,
    op_name,
    reads,
    shape_of,
    value_of,
)

# the axes of weights that each element of the result meets, of a transposed convolution of its data; by operator
SUMMED = {"nn.conv2d": slice(1, None), "nn.conv2d_transpose": slice(1, None), "matmul": slice(0, 1)}


def explain(mod: tvm.IRModule, params: Params | None = None, arch: Architecture | None = None) -> list[Explanation]:
    """Every operator of a quantised (or already partitioned) module in execution order, with the reason it is where it is."""
    mod = partition_for_re2na(mod, params, arch=arch)
    regions = _regions(mod)
    values, variables = dict(bindings_of(mod["main"])), computed_from_input(mod["main"])
    found: list[Explanation] = []
    names = UniqueNames()
    for _, call in bindings_of(mod["main"]):
        variable = called(call)
        kept = explanation_of(mod[variable]) if variable is not None else None
        if variable is not None and str(variable.name_hint) in regions:
            found += regions[str(variable.name_hint)]
        elif kept is not None:
            found.append(kept)
        elif isinstance(call, tvm.ir.Call) and reads(call, variables):
            found.append(_foreign(call, values, names))
    return found


def _regions(mod: tvm.IRModule) -> dict[str, list[Explanation]]:
    """What is said of the operators of each offloaded function, by its symbol."""
    found = {}
    for index, (symbol, function) in enumerate(offloaded_functions(mod)):
        parts = [(attribute(part, NAME_ATTR), composite_kind(part)) for _, _, part in composites(function)]
        found[symbol] = offloaded(parts, index, border_bytes(function))
    return found


def offloaded_macs_share(mod: tvm.IRModule) -> float:
    """The share (0..1) of a partitioned module's multiply-accumulates that Re²Na executes; 0 where there are none."""
    ours = sum(_macs(mod, part) for _, f in offloaded_functions(mod) for _, _, part in composites(f))
    rest = sum(_macs(mod, f) for f in mod.functions.values() if isinstance(f, relax.Function))
    return share(ours, rest)


def _foreign(call: tvm.ir.Call, values: dict[Any, Any], names: UniqueNames) -> Explanation:
    op = op_name(call)
    operands = list(call.args)
    if op == "call_tir":
        # TVM numbers functions of one name
        op, operands = str(call.args[0].name_hint).rstrip("0123456789"), list(call.args[1].fields)
    integers = all(op_name(value_of(operand, values)) == "dequantize" for operand in operands[:1])
    dtypes = [dtype_of(operand) for operand in (*operands, call) if hasattr(operand.ty, "dtype")]
    if integers:  # computed in floating point, but of a quantised network
        dtypes = ["int8"]
    kind = {"matmul": "dense"}.get(op.removeprefix("nn."), op)
    return foreign(source_name(call) or names.take(op, None), kind, dtypes, integers)


def _macs(mod: tvm.IRModule, function: relax.Function) -> int:
    """Multiply-accumulates of a function: elements of each result times the weights that each of them meets."""
    calls = [value for _, value in bindings_of(function)]
    operators = sum(
        macs(
            shape_of(call.args[0] if op_name(call) == "nn.conv2d_transpose" else call),
            shape_of(call.args[1])[SUMMED[op_name(call)]],
        )
        for call in calls
        if op_name(call) in SUMMED
    )
    return operators + sum(macs_of(mod[call.args[0]]) for call in calls if op_name(call) == "call_tir")
