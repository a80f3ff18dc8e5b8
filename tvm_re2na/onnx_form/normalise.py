"""The whole job on one page: names, then what a library folds, then operators in the form that everything behind expects."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import onnx

from tvm_re2na.onnx_form.names import unique_names
from tvm_re2na.onnx_form.needed import is_quantised, needs_folding
from tvm_re2na.onnx_form.paddings import explicit_paddings
from tvm_re2na.onnx_form.scales import plain_scales
from tvm_re2na.onnx_form.signed import signed

Shapes = Mapping[str, Sequence[int]]


def normalise(model: onnx.ModelProto, input_shapes: Shapes | None = None) -> onnx.ModelProto:
    """A model of the same function in fewer forms; the model itself where it has that form already, which most files do.

    `input_shapes`: sizes of inputs that the file leaves open. `model` has passed `model_file.check_model`. One that holds quantised
    operators keeps its operators and integers, and one that ONNX Runtime refuses all but its names.
    """
    quantised = is_quantised(model)
    model = unique_names(model, tensors_too=not quantised)  # a model of our own has tensors of such names
    if input_shapes:
        model = _with_inputs(model, input_shapes)
    if quantised:
        return signed(plain_scales(explicit_paddings(model)))
    if not needs_folding(model):
        return model
    from tvm_re2na.onnx_form.steps import bring_into_form  # loads a library, which takes seconds

    return bring_into_form(model)


def _with_inputs(model: onnx.ModelProto, shapes: Shapes) -> onnx.ModelProto:
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    for value in changed.graph.input:
        for dimension, size in zip(value.type.tensor_type.shape.dim, shapes.get(value.name, ()), strict=False):
            dimension.dim_value = size
    return changed
