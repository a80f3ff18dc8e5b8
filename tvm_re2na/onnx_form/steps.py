"""The steps, on the library's own graph. ONNX Runtime has loaded the model before: shape inference trusts what it is given."""

from __future__ import annotations

import onnx
import onnx_ir as ir

from tvm_re2na.model_error import ModelError
from tvm_re2na.onnx_form.folding import clean, fold, forget_shapes
from tvm_re2na.onnx_form.names import name_all, outputs_apart
from tvm_re2na.onnx_form.needed import HIGHEST_OPSET, LOWEST_OPSET, opset_of
from tvm_re2na.onnx_form.one_dimension import sequences_to_images
from tvm_re2na.onnx_form.open_batch import settle_shapes
from tvm_re2na.onnx_form.operators import rewrite
from tvm_re2na.onnx_form.windows import drop_window_in_padding
from tvm_re2na.onnx_runtime import session


def bring_into_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as it came where ONNX Runtime refuses it, or the library does not foresee what it holds."""
    if not _loads(model):
        return model
    bare = onnx.ModelProto()
    bare.CopyFrom(model)
    bare.graph.ClearField("value_info")  # what follows from the operators counts, not what the file says of it
    name_all(bare.graph)
    outputs_apart(bare.graph)
    try:
        changed = _changed(bare)
    except Exception:  # a library's, of no certain class: what it cannot read, others may
        return model
    return changed if _loads(changed) else model


def _changed(model: onnx.ModelProto) -> onnx.ModelProto:
    model = _within_opsets(model)
    graph = ir.from_proto(model)
    fold(graph)
    while drop_window_in_padding(graph):
        forget_shapes(graph)
        fold(graph)
    settle_shapes(graph)
    rewrite(graph)
    sequences_to_images(graph)
    rewrite(graph)  # padding beside pooling is known of images
    clean(graph)
    proto: onnx.ModelProto = ir.to_proto(graph)
    proto.graph.ClearField("value_info")
    for shown, given in zip(proto.graph.output, model.graph.output, strict=True):
        shown.CopyFrom(given)
    return proto


def _within_opsets(model: onnx.ModelProto) -> onnx.ModelProto:
    """At an opset that everything behind reads; as it is where the converter fails."""
    wanted = min(max(opset_of(model), LOWEST_OPSET), HIGHEST_OPSET)
    if wanted == opset_of(model):
        return model
    try:
        converted: onnx.ModelProto = onnx.version_converter.convert_version(model, wanted)
    except Exception:  # of its own, without a base in common
        return model
    return converted


def _loads(model: onnx.ModelProto) -> bool:
    try:
        session(model.SerializeToString())
    except (ModelError, ValueError):  # ValueError: more bytes than protobuf writes
        return False
    return True
