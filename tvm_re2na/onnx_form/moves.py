"""Of models that are quantised already: what moves blocks of pixels, and padding that cuts off, in the operators that stand for it
elsewhere; nothing else changes."""

from __future__ import annotations

import onnx

from tvm_re2na.onnx_form.needed import is_crop

LARGEST_BLOCKS = 6  # axes of what has its pixels or its channels in blocks


def plain_moves(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself where there is nothing of the kind, or nothing that can be read."""
    constants = {tensor.name: tensor for tensor in model.graph.initializer}
    if not any(_is_candidate(node, constants) for node in model.graph.node):
        return model
    import onnx_ir as ir  # few models need it

    from tvm_re2na.onnx_form.operators import blocks_and_crops

    try:
        graph = ir.from_proto(onnx.shape_inference.infer_shapes(model))
        blocks_and_crops(graph)
        changed: onnx.ModelProto = ir.to_proto(graph)
    except Exception:  # a library's, of no certain class: what it cannot read, others may
        return model
    del changed.graph.value_info[:]
    changed.graph.value_info.extend(model.graph.value_info)
    return changed


def _is_candidate(node: onnx.NodeProto, constants: dict[str, onnx.TensorProto]) -> bool:
    if node.domain not in ("", "ai.onnx"):
        return False
    if node.op_type in ("SpaceToDepth", "DepthToSpace") or is_crop(node, constants):
        return True
    return node.op_type == "Transpose" and any(len(item.ints) == LARGEST_BLOCKS for item in node.attribute)
