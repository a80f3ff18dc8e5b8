"""What the library does: functions written out, constants computed, branches decided, what is unused or there twice removed."""

from __future__ import annotations

import math

import onnx_ir as ir
from onnx_ir.passes import common
from onnxscript.optimizer import fold_constants

LARGEST = 2**28  # elements of a constant that is computed; VGG-16's largest weight has 2**27
GROWING = ("ConstantOfShape", "Expand", "Tile", "Range", "Pad", "Resize", "EyeLike", "OneHot", "ScatterND", "Concat")
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


def clean(model: ir.Model) -> None:
    common.IdentityEliminationPass()(model)
    common.RemoveUnusedNodesPass()(model)
    common.RemoveUnusedOpsetsPass()(model)
    common.OutputFixPass()(model)
    common.NameFixPass()(model)


def _should_fold(node: ir.Node) -> bool | None:
    """None leaves it to the library. A few bytes can ask for a tensor of any size: what grows has to have a size that is known."""
    if node.op_type in KEPT:
        return None
    if node.op_type not in GROWING:
        return True
    shape = node.outputs[0].shape
    known = shape is not None and all(isinstance(size, int) for size in shape)
    return bool(known and shape is not None and math.prod(int(size) for size in shape) <= LARGEST)
