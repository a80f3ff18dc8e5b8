"""Partitioned Relax function -> accelerator graph."""

from __future__ import annotations

from collections import Counter
from typing import Any

import tvm
from tvm import relax

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph import Graph, GraphBuilder, GraphError
from tvm_re2na.codegen.operators import append_operator
from tvm_re2na.relax.describe import describe
from tvm_re2na.relax.patterns import kind_of
from tvm_re2na.relax.walk import bindings_of, result_of, shape_of, value_of


def lower(function: relax.Function, name: str, arch: Architecture) -> Graph:
    """The graph of one function of a partitioned module; its inputs are the parameters, its outputs those of the body.

    Raises GraphError where the function holds anything but composite functions that keep the rules of `arch`.
    """
    builder = GraphBuilder(name)
    tensors = {
        parameter: builder.input(f"input_{i}", tuple(size or 0 for size in shape_of(parameter)))
        for i, parameter in enumerate(function.params)
    }
    composites: dict[Any, relax.Function] = {}
    counts: Counter[str] = Counter()
    for variable, value in bindings_of(function):
        if isinstance(value, relax.Function):
            composites[variable] = value
        elif isinstance(value, relax.Var):
            tensors[variable] = tensors[value]
        elif isinstance(value, tvm.ir.Call) and value.op in composites:
            composite = composites[value.op]
            kind = kind_of(str(composite.attrs["Composite"]))
            values = dict(bindings_of(composite))
            op = describe(kind, value_of(result_of(composite), values), values)
            inputs = tuple(tensors[argument] for argument in value.args)
            tensors[variable] = append_operator(builder, f"{kind}_{counts[kind]}", inputs, op, arch)
            counts[kind] += 1
        else:
            raise GraphError(f"{name}: the function holds {value}, which is no composite of Re²Na")
    result = result_of(function)
    outputs = list(result.fields) if isinstance(result, relax.Tuple) else [result]
    graph = builder.build([tensors[output] for output in outputs])
    graph.verify(arch)
    return graph
