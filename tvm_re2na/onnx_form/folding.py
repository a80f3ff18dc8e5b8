"""What the library does: functions written out, constants computed, branches decided, what is unused or there twice removed."""

from __future__ import annotations

import math

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants

LARGEST = 2**28  # elements of a constant that is computed; VGG-16's largest weight has 2**27
KEPT = ("DequantizeLinear", "QuantizeLinear", "DynamicQuantizeLinear")


def fold(model: ir.Model) -> None:
    common.InlinePass()(model)
    common.RemoveUnusedFunctionsPass()(model)
    for _ in range(3):  # a decided branch brings nodes that can be computed
        if not fold_constants(
            model,
            onnx_shape_inference=True,
            input_size_limit=LARGEST,
            output_size_limit=LARGEST,
            should_fold=_should_fold,
        ):
            break
    common.LiftConstantsToInitializersPass(lift_all_constants=True, size_limit=0)(model)
    common.RemoveUnusedNodesPass()(model)


def forget_shapes(model: ir.Model) -> None:
    """What was inferred, which is otherwise kept beside what is inferred anew."""
    for node in model.graph:
        for output in node.outputs:
            output.shape = None


def drop_unused(model: ir.Model) -> None:
    common.RemoveUnusedNodesPass()(model)


def clean(model: ir.Model) -> None:
    common.IdentityEliminationPass()(model)
    drop_unused(model)
    common.RemoveUnusedOpsetsPass()(model)
    common.OutputFixPass()(model)
    common.NameFixPass()(model)


def _should_fold(node: ir.Node) -> bool | None:
    """None leaves it to the library. A few bytes can ask for a tensor of any size: a result has to have one that is known."""
    if node.op_type in KEPT:
        return None
    shape = node.outputs[0].shape
    if shape is None or not all(isinstance(size, int) for size in shape):
        return False
    return math.prod(int(size) for size in shape) <= LARGEST
