"""What the user says of a model's inputs: sizes that the file leaves open, and inputs that are constant."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
from onnx import numpy_helper

from tvm_re2na.batches import shape_text
from tvm_re2na.model_error import ModelError

Sizes: TypeAlias = Sequence[int | None]  # None leaves an axis as it is in the file
InputShape: TypeAlias = Sizes | Mapping[str, Sizes]  # of the one input, or by the inputs' names
Constants: TypeAlias = Mapping[str, npt.NDArray[Any]]
MOST_ELEMENTS = 2**28


def with_input_shapes(model: onnx.ModelProto, shape: InputShape) -> onnx.ModelProto:
    """A model whose inputs have these sizes; a name that several axes share stands for one size. Raises ModelError for an input
    that there is not, and for sizes that are none or not those of the file."""
    changed = copy.deepcopy(model)
    inputs = own_inputs(changed)
    named: dict[str, int] = {}
    for name, sizes in _by_name(shape, inputs).items():
        dimensions = inputs[name].type.tensor_type.shape.dim
        if len(sizes) != len(dimensions):
            told = f"{_text(sizes)} has {len(sizes)} sizes, the model's input is {_shape(inputs[name])}"
            raise ModelError(f"input '{name}': --input-shape {told}")
        for axis, (dimension, size) in enumerate(zip(dimensions, sizes, strict=True)):
            if size is None:
                continue
            _check(f"input '{name}': axis {axis}", dimension, size, named)
            named |= {name_of(dimension): size} if name_of(dimension) else {}
            dimension.dim_value = size
    for value in (*changed.graph.input, *changed.graph.output):
        for dimension in value.type.tensor_type.shape.dim:
            if name_of(dimension) in named:
                dimension.dim_value = named[name_of(dimension)]
    _check_elements(inputs.values())
    _check_fits(model, changed)
    return changed


def with_constants(model: onnx.ModelProto, constants: Constants) -> onnx.ModelProto:
    """A model in which these inputs are constants. Raises ModelError for an input that there is not, for an array that is not of
    its type and shape, and where no input is left."""
    changed = copy.deepcopy(model)
    inputs = own_inputs(changed)
    for name, array in constants.items():
        _require(name, inputs)
        tensor = inputs[name].type.tensor_type
        known = [size.dim_value for size in tensor.shape.dim]
        wanted = onnx.helper.tensor_dtype_to_np_dtype(tensor.elem_type)
        fits = len(known) == array.ndim and all(size in (0, own) for size, own in zip(known, array.shape, strict=True))
        if array.dtype != wanted or not fits:
            own = f"{array.dtype} {_text(array.shape)}"
            raise ModelError(
                f"input '{name}': the constant is {own}, the model's input is {wanted} {_shape(inputs[name])}"
            )
        changed.graph.initializer.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        changed.graph.input.remove(inputs[name])
    if not own_inputs(changed):
        raise ModelError(f"every input is constant ({', '.join(inputs)}), one at least is needed")
    return changed


def own_inputs(model: onnx.ModelProto) -> dict[str, onnx.ValueInfoProto]:
    """By their names; until IR version 3 weights are listed among them."""
    weights = {tensor.name for tensor in model.graph.initializer}
    return {value.name: value for value in model.graph.input if value.name not in weights}


def _by_name(shape: InputShape, inputs: Mapping[str, onnx.ValueInfoProto]) -> Mapping[str, Sizes]:
    if not isinstance(shape, Mapping):
        if len(inputs) != 1:
            told = f"the model has {len(inputs)} inputs ({', '.join(inputs)}): NAME={_text(shape)} says whose it is"
            raise ModelError(f"--input-shape {_text(shape)}: {told}")
        return {next(iter(inputs)): shape}
    for name in shape:
        _require(name, inputs)
    return shape


def _require(name: str, inputs: Mapping[str, onnx.ValueInfoProto]) -> None:
    if name not in inputs:
        raise ModelError(f"input '{name}': the model has none of this name; its inputs are {', '.join(inputs)}")


def _check(what: str, dimension: onnx.TensorShapeProto.Dimension, size: int, named: Mapping[str, int]) -> None:
    if not isinstance(size, int) or not 1 <= size <= MOST_ELEMENTS:
        raise ModelError(f"{what}: size {size}, expected a number from 1 to {MOST_ELEMENTS}")
    if dimension.dim_value > 0 and dimension.dim_value != size:
        raise ModelError(f"{what} is {dimension.dim_value} in the file, {size} was asked for")
    name = name_of(dimension)
    if named.get(name, size) != size:
        raise ModelError(f"{what} ('{name}'): {size} was asked for, and {named[name]} before")


def name_of(dimension: onnx.TensorShapeProto.Dimension) -> str:
    """What an open size is called, nothing where it has no name: tools write '?' for each that they do not know, whatever it is."""
    name = str(dimension.dim_param)
    return name if any(map(str.isalpha, name)) else ""


def _check_elements(inputs: Iterable[onnx.ValueInfoProto]) -> None:
    for value in inputs:
        count = math.prod(max(size.dim_value, 1) for size in value.type.tensor_type.shape.dim)
        if count > MOST_ELEMENTS:
            told = f"{count:,} elements, at most 2**28 = {MOST_ELEMENTS:,} are computed"
            raise ModelError(f"input '{value.name}' of {_shape(value)}: {told}")


def _check_fits(model: onnx.ModelProto, changed: onnx.ModelProto) -> None:
    """Raise ModelError where ONNX Runtime takes the model, but not with these sizes."""
    from tvm_re2na.onnx_runtime import session  # loads a library, which models of open sizes alone need

    try:
        session(changed.SerializeToString())
    except (ModelError, ValueError) as error:  # ValueError: more bytes than protobuf writes
        try:
            session(model.SerializeToString())
        except (ModelError, ValueError):
            return  # nobody says that it is for these sizes
        told = ", ".join(f"{name} {_shape(value)}" for name, value in own_inputs(changed).items())
        raise ModelError(f"the model does not take inputs of these sizes ({told}): {error}") from error


def _shape(value: onnx.ValueInfoProto) -> str:
    sizes = value.type.tensor_type.shape.dim
    return shape_text(tuple(size.dim_value if size.dim_value > 0 else None for size in sizes))


def _text(sizes: Sizes) -> str:
    """As the option is written."""
    return ",".join("N" if size is None else str(size) for size in sizes) or "one number"
