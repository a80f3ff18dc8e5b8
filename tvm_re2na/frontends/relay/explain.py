"""Says for every operator whether it is offloaded, and why not."""

from __future__ import annotations

from collections.abc import Iterator

import tvm
from tvm import relay

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload import rules
from tvm_re2na.codegen.offload.explanation import Explanation, foreign, kept, offloaded
from tvm_re2na.codegen.offload.names import UniqueNames
from tvm_re2na.frontends.common.description import macs, share
from tvm_re2na.frontends.common.errors import check_module
from tvm_re2na.frontends.common.found import Partitioned, judge
from tvm_re2na.frontends.relay.describe import shape_of
from tvm_re2na.frontends.relay.integers import float_forms
from tvm_re2na.frontends.relay.names import span_name
from tvm_re2na.frontends.relay.partition import (
    IMPORTER,
    Params,
    border_bytes,
    composite_kind,
    composite_name,
    composites,
    find,
    is_partitioned,
    offloaded_functions,
    partition_found,
)
from tvm_re2na.frontends.relay.walk import op_name, operands_of

# the axes of weights that each element of the result meets, of a transposed convolution of its data; by operator
SUMMED = {"conv2d": slice(1, None), "conv2d_transpose": slice(1, None), "dense": slice(1, None), "matmul": slice(0, 1)}


def explain(mod: tvm.IRModule, params: Params | None = None, arch: Architecture | None = None) -> list[Explanation]:
    """Every operator of a quantised (or already partitioned) module in execution order, with the reason it is where it is."""
    check_module(mod, tvm.IRModule, IMPORTER)
    arch = arch or Architecture()
    already = _regions(relay.transform.InferType()(mod)) if is_partitioned(mod) else {}
    operators = find(mod, params)
    partitioned = Partitioned(mod) if already else partition_found(operators, judge(operators, arch), arch)
    parts = already or _regions(partitioned.module)
    accepted = {row.name: row for rows in parts.values() for row in rows}
    found: list[Explanation] = []
    names = UniqueNames(operators.operators)
    floats = float_forms(operators.module["main"])
    for call in _calls(operators.module["main"].body):
        symbol = str(call.op.name_hint) if isinstance(call.op, relay.GlobalVar) else ""
        if symbol in already:
            found += already[symbol]
        elif composite_kind(call):
            name = composite_name(call)
            found.append(accepted.get(name) or kept(name, composite_kind(call), partitioned.rejections.get(name)))
        elif call in floats:
            kind, op = floats[call]
            found.append(kept(names.take(kind, span_name(call)), kind, rules.check(op, arch)))
        elif op_name(call):
            found.append(_explain_call(call, names))
    return found


def offloaded_macs_share(mod: tvm.IRModule) -> float:
    """The share (0..1) of a partitioned module's multiply-accumulates that Re²Na executes; 0 where there are none."""
    main = sum(map(_macs, _calls(mod["main"].body)))
    ours = sum(
        _macs(call) for _, f in offloaded_functions(mod) for c in composites(f.body) for call in _calls(c.op.body)
    )
    return share(ours, main)


def _regions(mod: tvm.IRModule) -> dict[str, list[Explanation]]:
    """What is said of the operators of each offloaded function, by its symbol."""
    found = {}
    for index, (symbol, function) in enumerate(offloaded_functions(mod)):
        parts = [(composite_name(call), composite_kind(call)) for call in composites(function.body)]
        found[symbol] = offloaded(parts, index, border_bytes(function))
    return found


def _calls(expr: relay.Expr) -> Iterator[relay.Call]:
    """Calls in execution order whose results are not the same in every run; the bodies of composite functions are not entered."""
    inner: set[int] = set()
    found: list[relay.Call] = []
    computed: set[int] = set()

    def visit(node: relay.Expr) -> None:
        if isinstance(node, relay.Call):
            found.append(node)
        if isinstance(node, relay.Var) or any(hash(operand) in computed for operand in operands_of(node)):
            computed.add(hash(node))
        if isinstance(node, relay.Function):
            relay.analysis.post_order_visit(node.body, lambda child: inner.add(hash(child)))

    relay.analysis.post_order_visit(expr, visit)
    return (call for call in found if hash(call) in computed - inner)


def _explain_call(call: relay.Call, names: UniqueNames) -> Explanation:
    op = op_name(call)
    types = [argument.checked_type for argument in call.args] + [call.checked_type]
    dtypes = [str(kind.dtype) for kind in types if isinstance(kind, tvm.ir.TensorType)]
    if any(op_name(argument) == "qnn.dequantize" for argument in call.args[:1]):
        dtypes = ["int8"]  # computed in floating point, but of a quantised network
    return foreign(names.take(op, span_name(call)), op.removeprefix("nn."), dtypes, op.startswith("qnn."))


def _macs(call: relay.Call) -> int:
    """Multiply-accumulates of one call: elements of the result times weights each of them meets."""
    kind = op_name(call).split(".")[-1]
    if kind not in SUMMED:
        return 0
    counted = call.args[0] if kind == "conv2d_transpose" else call
    return macs(shape_of(counted), shape_of(call.args[1])[SUMMED[kind]])
