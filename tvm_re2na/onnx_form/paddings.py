"""Of models that are quantised already: `auto_pad` as numbers; nothing else changes."""

from __future__ import annotations

import copy

import onnx


def explicit_paddings(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model itself where no node has `auto_pad`. What depends on a size that is open stays."""
    if not any(_is_automatic(node) for node in model.graph.node):
        return model
    import onnx_ir as ir  # few models need it

    from tvm_re2na.onnx_form.windows import explicit_padding

    changed = copy.deepcopy(model)
    try:
        nodes = list(ir.from_proto(onnx.shape_inference.infer_shapes(model)).graph)
    except Exception:  # a library's, of no certain class: what it cannot read, others may
        return model
    for node, known in zip(changed.graph.node, nodes, strict=True):
        if not _is_automatic(node):
            continue
        explicit_padding(known)
        if "auto_pad" not in known.attributes:
            kept = [item for item in node.attribute if item.name not in ("auto_pad", "pads")]
            pads = onnx.helper.make_attribute("pads", list(known.attributes["pads"].as_ints()))
            node.ClearField("attribute")
            node.attribute.extend([*kept, pads])
    return changed


def _is_automatic(node: onnx.NodeProto) -> bool:
    told = any(item.name == "auto_pad" and item.s != b"NOTSET" for item in node.attribute)
    return told and node.domain in ("", "ai.onnx") and node.op_type in ("Conv", "MaxPool", "AveragePool")
