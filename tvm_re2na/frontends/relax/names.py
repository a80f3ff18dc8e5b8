"""Gives the operators of an imported module the names that they have in the ONNX model.

TVM's importer for Relax drops them, but goes through the nodes in order: the n-th convolution is the n-th `nn.conv2d`. Where there
are more or fewer of a kind than nodes, none of that kind is named.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import onnx
import tvm
from tvm import relax

from tvm_re2na.frontends.common.nodes import NODES, node_names_of
from tvm_re2na.frontends.common.pairs import PAIRS
from tvm_re2na.frontends.relax.walk import bindings_of, computed_from_input, op_name, reads
from tvm_re2na.onnx_form.inputs import own_inputs

# TVM's importer makes some of its own, whose other operand is a constant
OF_TWO = {pair.name for pair in PAIRS.values()}


def name_operators(mod: tvm.IRModule, model: onnx.ModelProto) -> tvm.IRModule:
    """`mod`, which `relax.frontend.onnx` made of `model`, its operators with the nodes' names as spans."""
    nodes = list(zip(model.graph.node, node_names_of(model), strict=True))
    moving = _computed(model)
    names = {
        op: [name for node, name in nodes if node.op_type in kinds and _test(op)(x in moving for x in node.input)]
        for op, kinds in NODES.items()
    }
    variables = computed_from_input(mod["main"])
    calls = {op: list(_calls(mod["main"], op, variables)) for op in NODES}
    spans = {
        variable: _span(name)
        for op, found in calls.items()
        if len(found) == len(names[op])
        for variable, name in zip(found, names[op], strict=True)
    }
    spans = {**_names_before_quantize(mod["main"], nodes, variables), **spans}
    mod = mod.clone()
    mod["main"] = _Spans(spans).visit_expr(mod["main"])
    return mod


def _names_before_quantize(
    main: relax.Function, nodes: list[tuple[onnx.NodeProto, str]], variables: set[Any]
) -> dict[Any, tvm.ir.Span]:
    """Of what a `quantize` reads: one that ends a function of single numbers gives it the name of its last node."""
    values = dict(bindings_of(main))
    made = {output: name for node, name in nodes for output in node.output}
    names = [made.get(node.input[0]) for node, _ in nodes if node.op_type == "QuantizeLinear"]
    read = [values[variable].args[0] for variable in _calls(main, "quantize", variables)]
    pairs = zip(read, names, strict=True) if len(read) == len(names) else ()
    return {variable: _span(name) for variable, name in pairs if name and isinstance(values.get(variable), tvm.ir.Call)}


def _span(name: str) -> tvm.ir.Span:
    return tvm.ir.Span(tvm.ir.SourceName(name), 0, 0, 0, 0)


def source_name(call: Any) -> str | None:
    """The name that `name_operators` gave."""
    return str(call.span.source_name.name) if isinstance(call.span, tvm.ir.Span) else None


def _calls(main: relax.Function, op: str, variables: set[Any]) -> Iterator[Any]:
    """The variables bound to operators of a kind that work on what depends on the input: not on a bias, nor on weights."""
    for variable, value in bindings_of(main):
        if op_name(value) == op and _test(op)(reads(argument, variables) for argument in value.args):
            yield variable


def _test(op: str) -> Callable[..., bool]:
    """Of which operands what it computes depends on the input: an addition of a bias, a product with a weight are not named."""
    return all if op in OF_TWO else any


def _computed(model: onnx.ModelProto) -> set[str]:
    """The tensors whose values are not the same in every run."""
    found = set(own_inputs(model))
    for node in model.graph.node:
        if not found.isdisjoint(node.input):
            found.update(node.output)
    return found


@relax.expr_functor.mutator
class _Spans(relax.PyExprMutator):  # type: ignore[misc]
    def __init__(self, spans: dict[Any, tvm.ir.Span]) -> None:
        super().__init__()
        self._spans = spans

    def visit_var_binding_(self, binding: relax.VarBinding) -> None:
        span, call = self._spans.get(binding.var), binding.value
        if span is not None:
            binding = relax.VarBinding(
                binding.var, relax.Call(call.op, list(call.args), call.attrs, call.ty_args, span)
            )
        super().visit_var_binding_(binding)
