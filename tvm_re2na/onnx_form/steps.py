"""The steps, on the library's own graph. ONNX Runtime has loaded the model before: shape inference trusts what it is given."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

import onnx
import onnx_ir as ir

from tvm_re2na.model_error import ModelError, first_line
from tvm_re2na.onnx_form.channels_last import channels_second
from tvm_re2na.onnx_form.folding import clean, fold, forget_shapes
from tvm_re2na.onnx_form.inputs import own_inputs
from tvm_re2na.onnx_form.names import name_all, outputs_apart
from tvm_re2na.onnx_form.needed import HIGHEST_OPSET, LOWEST_OPSET, opset_of
from tvm_re2na.onnx_form.one_dimension import sequences_to_images
from tvm_re2na.onnx_form.open_batch import settle_shapes
from tvm_re2na.onnx_form.operators import rewrite
from tvm_re2na.onnx_form.windows import drop_window_in_padding
from tvm_re2na.onnx_runtime import session

OLDEST_IR = 4  # the first in which weights are no inputs


def bring_into_form(model: onnx.ModelProto) -> onnx.ModelProto:
    """The model as it came where ONNX Runtime refuses it, or, with a warning, where the library does not foresee what it holds."""
    if not _loads(model):
        return model
    bare = copy.deepcopy(model)
    bare.graph.ClearField("value_info")  # what follows from the operators counts, not what the file says of it
    _weights_are_constant(bare)
    name_all(bare.graph)
    outputs_apart(bare.graph)
    try:
        changed = _changed(bare)
        with _step("load the result"):
            session(changed.SerializeToString())
    except StepError as error:  # what the library cannot read, others may
        _warn(model, f"stays as it is: {error}")
        return model
    return changed


def _weights_are_constant(model: onnx.ModelProto) -> None:
    """Until IR version 3 weights had to be listed as inputs, which could be given other values: nothing is computed from them."""
    inputs = list(own_inputs(model).values())
    del model.graph.input[:]
    model.graph.input.extend(inputs)
    model.ir_version = max(model.ir_version, OLDEST_IR)


def _changed(model: onnx.ModelProto) -> onnx.ModelProto:
    """Raises StepError."""
    model = _within_opsets(model)
    with _step("read the graph"):
        graph = ir.from_proto(model)
    with _step("compute constants"):
        fold(graph)
        while drop_window_in_padding(graph):
            forget_shapes(graph)
            fold(graph)
    with _step("compute shapes"):
        settle_shapes(graph)
    with _step("rewrite operators"):
        channels_second(graph)
        rewrite(graph)
        sequences_to_images(graph)
        rewrite(graph)  # padding beside pooling is known of images
        clean(graph)
    with _step("write the graph"):
        proto: onnx.ModelProto = ir.to_proto(graph)
    proto.graph.ClearField("value_info")
    for shown, given in zip(proto.graph.output, model.graph.output, strict=True):
        shown.CopyFrom(given)
    return proto


def _within_opsets(model: onnx.ModelProto) -> onnx.ModelProto:
    """At an opset that everything behind reads; as it is where the converter fails, which a warning says."""
    wanted = min(max(opset_of(model), LOWEST_OPSET), HIGHEST_OPSET)
    if wanted == opset_of(model):
        return model
    try:
        with _step(f"convert opset {opset_of(model)} to {wanted}"):
            converted: onnx.ModelProto = onnx.version_converter.convert_version(model, wanted)
    except StepError as error:
        _warn(model, f"keeps its opset: {error}")
        return model
    return converted


class StepError(Exception):
    """A step that a library fails at, and why, in one line."""


@contextmanager
def _step(what: str) -> Iterator[None]:
    try:
        yield
    except Exception as error:  # a library's, of no certain class
        raise StepError(f"cannot {what} ({type(error).__name__}: {first_line(error)})") from error


def _warn(model: onnx.ModelProto, what: str) -> None:
    warnings.warn(f"model '{model.graph.name}' {what}", UserWarning, stacklevel=2)


def _loads(model: onnx.ModelProto) -> bool:
    try:
        session(model.SerializeToString())
    except (ModelError, ValueError):  # ValueError: more bytes than protobuf writes
        return False
    return True
