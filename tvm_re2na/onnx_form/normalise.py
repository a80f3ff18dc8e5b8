"""The whole job on one page: names, then what a library folds, then operators in the form that everything behind expects."""

from __future__ import annotations

import onnx

from tvm_re2na.onnx_form.inputs import Constants, InputShape, with_constants, with_input_shapes
from tvm_re2na.onnx_form.moves import plain_moves
from tvm_re2na.onnx_form.names import unique_names
from tvm_re2na.onnx_form.needed import is_quantised, needs_folding
from tvm_re2na.onnx_form.paddings import explicit_paddings
from tvm_re2na.onnx_form.scales import plain_scales
from tvm_re2na.onnx_form.signed import signed


def normalise(
    model: onnx.ModelProto, input_shape: InputShape | None = None, constants: Constants | None = None
) -> onnx.ModelProto:
    """A model of the same function in fewer forms; the model itself where it has that form already, which most files do.

    `input_shape`: sizes of inputs that the file leaves open. `constants`: inputs that are none any more. `model` has passed
    `model_file.check_model`. One that holds quantised operators keeps its operators and integers, and one that ONNX Runtime refuses
    all but its names. Raises ModelError for inputs that cannot be as asked.
    """
    quantised = is_quantised(model)
    model = unique_names(model, tensors_too=not quantised)  # a model of our own has tensors of such names
    if constants:
        model = with_constants(model, constants)
    if input_shape:
        model = with_input_shapes(model, input_shape)
    if quantised:
        return plain_moves(signed(plain_scales(explicit_paddings(model))))
    if not needs_folding(model):
        return model
    from tvm_re2na.onnx_form.steps import bring_into_form  # loads a library, which takes seconds

    return bring_into_form(model)
