"""ONNX -> Relay, as TVM's importer makes it, in time that is linear in the number of nodes.

TVM's importer infers types and folds constants of all that it has converted so far at every node, and builds a function with LLVM
for every zero point that it casts. Here each node is converted by the same converter, but on its own: a variable of the right type
stands in for each operand that is not constant, and is replaced once at the end. Zero points are cast by NumPy.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

import onnx
import tvm
from tvm import relay
from tvm.relay.frontend import common
from tvm.relay.frontend.onnx import GraphProto

from tvm_re2na.frontends.common.nodes import with_names
from tvm_re2na.frontends.relay.describe import array_of

# The nodes whose converters look at the types of their operands and at constants, not at what else computes an operand. All others
# get their operands whole, as TVM gives them.
LOCAL = {
    *("DequantizeLinear", "QuantizeLinear"),
    *("Conv", "ConvTranspose", "Gemm", "MatMul", "BatchNormalization"),
    *("Add", "Sub", "Mul", "Div", "Max", "Min", "Softmax"),
    *("Clip", "Relu", "LeakyRelu", "Sigmoid", "HardSigmoid", "HardSwish", "Tanh"),
    *("MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Concat", "DepthToSpace", "Flatten", "Gather", "Identity", "Pad", "Reshape", "Resize", "Shape", "Slice"),
    *("Split", "Transpose"),
}


def import_onnx(model: onnx.ModelProto, shape: dict[str, tuple[int, ...]]) -> tvm.IRModule:
    """The module that `relay.frontend.from_onnx(model, shape, freeze_params=True)` makes; raises what that raises."""
    model = with_names(model)
    if any(_has_graph(node) for node in model.graph.node):  # their converters read what surrounds them
        return relay.frontend.from_onnx(model, shape=shape, freeze_params=True)[0]
    opset = next((entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx")), 1)
    with _Importer(shape) as importer:
        module = importer.module(model.graph, opset)
    passes = relay.transform
    return (passes.DynamicToStatic() if _is_dynamic(module) else passes.InferType())(module)


def _has_graph(node: onnx.NodeProto) -> bool:
    return any(attribute.HasField("g") or attribute.graphs for attribute in node.attribute)


def _is_dynamic(module: tvm.IRModule) -> bool:
    """Whether DynamicToStatic could find anything to do but infer types; constants are folded already."""
    names = [str(name) for name in relay.analysis.list_op_freqs(module)]
    return any(name.startswith("dyn.") or name in ("shape_of", "ndarray_size") for name in names)


class _Importer(GraphProto):  # type: ignore[misc]
    """TVM's importer, in whose table of tensors each expression reaches as far as the node's operands."""

    def __init__(self, shape: dict[str, tuple[int, ...]]) -> None:
        super().__init__(shape, "float32", freeze_params=True, op_type_dict={})
        self._whole = _Whole()
        self._stand_ins: dict[relay.Expr, relay.Var] = {}

    def module(self, graph: onnx.GraphProto, opset: int) -> tvm.IRModule:
        body = self._whole.visit(self.from_onnx(graph, opset, get_output_expr=True))
        return tvm.IRModule.from_expr(relay.Function(list(self._inputs.values()), body))

    def _convert_operator(self, op: str, inputs: Any, attrs: dict[str, Any], opset: int) -> Any:
        if op in LOCAL and not self._reaches_further(op, inputs, attrs):
            operands = [self._operand(expr) for expr in inputs]
        else:
            operands = [None if expr is None else self._resolved(expr) for expr in inputs]
        scaled = _scaled(op, operands, attrs, opset)
        if scaled is not None:
            return scaled
        inputs[:] = operands  # a list of TVM's own kind, which has None where an operand is left out
        return _converters(opset)[op](inputs, attrs, self._params)

    def _reaches_further(self, op: str, inputs: Iterable[relay.Expr | None], attrs: dict[str, Any]) -> bool:
        """Whether a converter that is local as a rule is not so here: it evaluates an operand or the shape of one."""
        if op == "Flatten":
            return int(attrs.get("axis", 1)) != 1
        if "broadcast" in attrs:
            return True
        settings = list(inputs)[1:] if op in ("Clip", "Gather", "Pad", "Reshape", "Resize", "Slice", "Split") else ()
        return not all(expr is None or isinstance(expr, relay.Constant) for expr in settings)

    def _operand(self, expr: relay.Expr | None) -> relay.Expr | None:
        if expr is None or isinstance(expr, (relay.Constant, relay.Var)):
            return expr
        if isinstance(expr, relay.TupleGetItem) and isinstance(expr.tuple_value, relay.Tuple):
            return self._operand(expr.tuple_value.fields[expr.index])  # TVM folds it, as it does a constant
        if expr not in self._stand_ins:
            whole, kind = self._resolved(expr), common.infer_type(expr).checked_type
            if relay.ty.is_dynamic(kind):
                return whole
            self._stand_ins[expr] = relay.Var(f"stand_in_{len(self._stand_ins)}", kind, expr.span)
            self._whole.memo_map[self._stand_ins[expr]] = whole
        return self._stand_ins[expr]

    def _resolved(self, expr: relay.Expr) -> relay.Expr:
        """The whole expression; what reads it will not go through it again."""
        whole = self._whole.visit(expr)
        self._whole.memo_map[whole] = whole
        return whole


class _Whole(relay.ExprMutator):  # type: ignore[misc]
    """Puts what they stand for in the place of the stand-ins, which are in `memo_map` from the beginning."""


_converters = cache(tvm.relay.frontend.onnx._get_convert_map)


def _scaled(op: str, operands: list[relay.Expr | None], attrs: dict[str, Any], opset: int) -> relay.Call | None:
    """QuantizeLinear or DequantizeLinear, whose zero point TVM's converter would cast with a function of LLVM's."""
    if op not in ("QuantizeLinear", "DequantizeLinear") or opset < 10 or len(operands) != 3:
        return None
    data, scale, given = operands
    zero, rank = array_of(given), _rank(data)
    if zero is None or zero.dtype.kind not in "iu" or rank is None:
        return None
    axis = attrs.get("axis", 1) if opset >= 13 and rank > 1 else 0
    cast = relay.const(zero, "int32")
    if op == "DequantizeLinear":
        return relay.qnn.op.dequantize(data, scale, cast, axis)
    return relay.qnn.op.quantize(data, scale, cast, axis, str(zero.dtype))


def _rank(expr: relay.Expr | None) -> int | None:
    """Of a constant or of a variable whose type is a tensor's; None of any other expression."""
    if isinstance(expr, relay.Constant):
        return len(expr.data.shape)
    kind = expr.type_annotation if isinstance(expr, relay.Var) else None
    return len(kind.shape) if isinstance(kind, tvm.ir.TensorType) else None
