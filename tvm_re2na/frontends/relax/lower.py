"""Partitioned Relax function -> accelerator graph."""

from __future__ import annotations

from typing import Any

from tvm import relax

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import GraphError
from tvm_re2na.codegen.offload.lowering import append_operator
from tvm_re2na.frontends.relax.partition import NAME_ATTR, architecture_of, composites, operator_of
from tvm_re2na.frontends.relax.walk import attribute, bindings_of, result_of, shape_of


def lower(function: relax.Function, name: str, arch: Architecture | None = None) -> Graph:
    """The graph of one function of a partitioned module; its inputs are the parameters, its outputs those of the body.

    Raises GraphError where the function holds anything but composite functions that keep the rules of `arch`.
    """
    arch = arch or architecture_of(function)
    builder = GraphBuilder(name)
    tensors: dict[Any, str] = {
        parameter: builder.input(f"input_{i}", tuple(size or 0 for size in shape_of(parameter)))
        for i, parameter in enumerate(function.params)
    }
    found = {variable: (call, composite) for variable, call, composite in composites(function)}
    for variable, value in bindings_of(function):
        if variable in found:
            call, composite = found[variable]
            op = operator_of(composite)
            inputs = tuple(tensors[argument] for argument in call.args)
            tensors[variable] = append_operator(builder, attribute(composite, NAME_ATTR) or op.kind, inputs, op, arch)
        elif isinstance(value, relax.Var):
            tensors[variable] = tensors[value]
        elif not isinstance(value, (relax.Function, relax.Tuple)):
            raise GraphError(f"{name}: the function holds {type(value).__name__}, which is no composite of Re²Na")
    result = dict(bindings_of(function)).get(result_of(function), result_of(function))
    outputs = list(result.fields) if isinstance(result, relax.Tuple) else [result_of(function)]
    graph = builder.build([tensors[output] for output in outputs])
    graph.verify(arch)
    return graph
