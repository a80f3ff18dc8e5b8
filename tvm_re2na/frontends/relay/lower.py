"""Partitioned Relay function -> accelerator graph."""

from __future__ import annotations

import functools

import tvm
from tvm import relay

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.frontends.common.found import Operators
from tvm_re2na.frontends.common.lowering import Lowering
from tvm_re2na.frontends.relay.describe import shape_of
from tvm_re2na.frontends.relay.partition import (
    architecture_of,
    composite_kind,
    composite_name,
    composites,
    operator_of,
)


def lower(
    function: relay.Function, name: str, arch: Architecture | None = None, known: Operators | None = None
) -> Graph:
    """The graph of one function of a partitioned module; its inputs are the parameters, its outputs those of the body.

    `known` are the operators that were found when it was partitioned for `arch`. Raises GraphError where the function holds
    anything but composite functions that keep the rules of `arch`.
    """
    typed = relay.transform.InferType()(tvm.IRModule({relay.GlobalVar(name): function}))[name]
    lowering = Lowering(name, arch or architecture_of(function), known)
    lowering.add_inputs(typed.params, shape_of)
    for call in composites(typed.body):
        describe = functools.partial(operator_of, call)
        lowering.add_operator(call, composite_kind(call), composite_name(call), call.args, describe)
    return lowering.graph(typed.body.fields if isinstance(typed.body, relay.Tuple) else [typed.body])
