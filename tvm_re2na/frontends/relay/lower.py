"""Partitioned Relay function -> accelerator graph."""

from __future__ import annotations

import tvm
from tvm import relay

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import GraphError
from tvm_re2na.codegen.offload.lowering import append_operator
from tvm_re2na.frontends.relay.describe import describe, shape_of
from tvm_re2na.frontends.relay.partition import architecture_of, composite_kind, composite_name, composites


def lower(function: relay.Function, name: str, arch: Architecture | None = None) -> Graph:
    """The graph of one function of a partitioned module; its inputs are the parameters, its outputs those of the body.

    Raises GraphError where the function holds anything but composite functions that keep the rules of `arch`.
    """
    arch = arch or architecture_of(function)
    typed = relay.transform.InferType()(tvm.IRModule({relay.GlobalVar(name): function}))[name]
    builder = GraphBuilder(name)
    tensors = {parameter: builder.input(f"input_{i}", _static(parameter)) for i, parameter in enumerate(typed.params)}
    counts: dict[str, int] = {}
    for call in composites(typed.body):
        tensors[call] = _lower_call(builder, call, tensors, arch, counts)
    outputs = list(typed.body.fields) if isinstance(typed.body, relay.Tuple) else [typed.body]
    unknown = [output for output in outputs if output not in tensors]
    if unknown:
        raise GraphError(f"{name}: the function holds {type(unknown[0]).__name__}, which is no composite of Re²Na")
    graph = builder.build([tensors[output] for output in outputs])
    graph.verify(arch)
    return graph


def _lower_call(
    builder: GraphBuilder, call: relay.Call, tensors: dict[relay.Expr, str], arch: Architecture, counts: dict[str, int]
) -> str:
    kind = composite_kind(call)
    name = composite_name(call)
    if not name:
        name = f"{kind}_{counts.get(kind, 0)}"
        counts[kind] = counts.get(kind, 0) + 1
    op = describe(kind, call.op.body, dict(zip(call.op.params, call.args, strict=True)))
    return append_operator(builder, name, tuple(tensors[argument] for argument in call.args), op, arch)


def _static(parameter: relay.Var) -> tuple[int, ...]:
    return tuple(size or 0 for size in shape_of(parameter))
