"""Stage 1: read and check what the user hands over."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na.batches import Batch, join_inputs
from tvm_re2na.model_error import ModelError, first_line
from tvm_re2na.model_file import checked, read_model
from tvm_re2na.onnx_form.inputs import InputShape
from tvm_re2na.onnx_form.needed import HIGHEST_OPSET, LOWEST_OPSET, opset_of
from tvm_re2na.onnx_runtime import session
from tvm_re2na.quantize.errors import QuantizeError
from tvm_re2na.quantize.limits import check_size
from tvm_re2na.quantize.net import Net, from_onnx

Calibration: TypeAlias = Batch  # float32, finite, of the shape that the model takes


def load_model(
    model: onnx.ModelProto | str | os.PathLike[str], input_shape: InputShape | None = None
) -> onnx.ModelProto:
    """A checked ONNX model, its inputs of these sizes. Raises QuantizeError for a file that is none, or cannot have them, OSError
    for one that cannot be read."""
    if not isinstance(model, onnx.ModelProto):
        path = Path(model)
        if not path.is_file():
            raise QuantizeError(f"{path}: no such file")
        model = _as_quantize_error(read_model, path, input_shape)
    else:
        model = _as_quantize_error(checked, model, input_shape)
    opset = opset_of(model)
    if opset < LOWEST_OPSET:
        try:
            model = onnx.version_converter.convert_version(model, LOWEST_OPSET)
        except Exception as error:  # of its own, without a base in common
            raise QuantizeError(f"opset {opset} cannot be brought to {LOWEST_OPSET} ({first_line(error)})") from error
    elif opset > HIGHEST_OPSET:
        raise QuantizeError(_too_new(opset))
    return model


def _too_new(opset: int) -> str:
    """Of an opset that could not be converted: later ones are, as far as the installed libraries know them."""
    known = onnx.defs.onnx_opset_version()
    why = f"onnx {onnx.__version__} knows opsets up to {known}" if opset > known else "its operators have no older form"
    return f"opset {opset} cannot be brought to {HIGHEST_OPSET}, the newest that is read ({why}); export it with {HIGHEST_OPSET}"


def _as_quantize_error(check: Callable[..., Any], *given: Any) -> Any:
    try:
        return check(*given)
    except ModelError as error:
        raise QuantizeError(str(error)) from error


def load_net(model: onnx.ModelProto | str | os.PathLike[str], input_shape: InputShape | None = None) -> Net:
    """The model as a Net with float32 inputs and finite weights; raises QuantizeError."""
    proto = load_model(model, input_shape)
    session(proto.SerializeToString())  # before onnx infers shapes, which reads out of bounds where ranks do not fit
    net = from_onnx(proto)
    _check_inputs(net)
    check_size(net)
    for name, value in net.constants.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            bad = int((~np.isfinite(value)).sum())
            raise QuantizeError(f"weights {name}: {bad} of {value.size} values are NaN or infinite")
    return net


def _check_inputs(net: Net) -> None:
    if not net.inputs:
        raise QuantizeError("the model has no inputs, expected one at least")
    for value in net.inputs:
        element = value.type.tensor_type.elem_type
        if element != onnx.TensorProto.FLOAT:
            raise QuantizeError(f"input {value.name} is {onnx.TensorProto.DataType.Name(element)}, expected FLOAT")
        if not net.shapes[value.name]:
            raise QuantizeError(f"input {value.name} is one number, expected a batch")
    batches = {name: size for name in net.input_names if (size := net.shapes[name][0]) is not None}
    if len(set(batches.values())) > 1:
        told = ", ".join(f"{name} {size}" for name, size in batches.items())
        raise QuantizeError(f"the inputs have different batches: {told}")


def check_calibration(calibration: Batch | Mapping[str, npt.NDArray[np.generic]], net: Net) -> Batch:
    """Calibration images as float32 of the model's input shape, of several inputs as records; raises QuantizeError naming the
    input, its shape, type or value."""
    if len(net.inputs) == 1 and isinstance(calibration, np.ndarray) and calibration.dtype.names is None:
        return _checked(calibration, net, net.input_name, "calibration data")
    given = _by_input(calibration, net)
    arrays = {name: _checked(given[name], net, name, f"calibration data: {name}") for name in net.input_names}
    counts = {len(array) for array in arrays.values()}
    if len(counts) > 1:
        raise QuantizeError(
            f"calibration data has {' and '.join(map(str, sorted(counts)))} arrays, one of each input is needed"
        )
    return join_inputs(arrays) if len(arrays) > 1 else arrays[net.input_name]


def _by_input(calibration: Any, net: Net) -> Mapping[str, Any]:
    names = list(calibration) if isinstance(calibration, Mapping) else None
    if isinstance(calibration, np.ndarray) and calibration.dtype.names is not None:
        names = list(calibration.dtype.names)
    if names is None:
        told = f"{len(net.inputs)} inputs ({', '.join(net.input_names)})"
        raise QuantizeError(
            f"calibration data is one array, the model has {told}: an array for each is needed, by its name"
        )
    if set(names) != set(net.input_names):
        told = ", ".join(net.input_names)
        raise QuantizeError(f"calibration data is of {', '.join(names) or 'nothing'}, the model's inputs are {told}")
    return {name: calibration[name] for name in names}


def _checked(calibration: Any, net: Net, name: str, what: str) -> Calibration:
    if not isinstance(calibration, np.ndarray) or calibration.dtype.kind != "f":
        kind = getattr(calibration, "dtype", type(calibration).__name__)
        raise QuantizeError(f"{what} is {kind}, expected a float32 array, normalised as the network's input")
    expected = net.shapes[name]
    fits = calibration.ndim == len(expected) and all(
        want is None or want == have for want, have in zip(expected[1:], calibration.shape[1:], strict=True)
    )
    if not fits:
        wanted = ("N", *("?" if size is None else size for size in expected[1:]))
        raise QuantizeError(f"{what} has shape {calibration.shape}, the model takes {wanted}")
    if len(calibration) == 0:
        raise QuantizeError(f"{what} is empty, at least 1 image is needed")
    if not np.isfinite(calibration).all():
        raise QuantizeError(f"{what}: {int((~np.isfinite(calibration)).sum())} values are NaN or infinite")
    return calibration.astype(np.float32, copy=False)
