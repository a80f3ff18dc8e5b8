"""Stage 1: read and check what the user hands over."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na.model_error import ModelError, first_line
from tvm_re2na.model_file import checked, read_model
from tvm_re2na.onnx_runtime import session
from tvm_re2na.quantize.errors import QuantizeError
from tvm_re2na.quantize.limits import check_size
from tvm_re2na.quantize.net import Net, from_onnx

LOWEST_OPSET = 13
HIGHEST_OPSET = 21

Calibration = npt.NDArray[np.float32]


def load_model(model: onnx.ModelProto | str | os.PathLike[str]) -> onnx.ModelProto:
    """A checked ONNX model. Raises QuantizeError for a file that is none, OSError for one that cannot be read."""
    if not isinstance(model, onnx.ModelProto):
        path = Path(model)
        if not path.is_file():
            raise QuantizeError(f"{path}: no such file")
        model = _as_quantize_error(read_model, path)
    else:
        model = _as_quantize_error(checked, model)
    opset = next((item.version for item in model.opset_import if item.domain in ("", "ai.onnx")), 0)
    if opset < LOWEST_OPSET:
        try:
            model = onnx.version_converter.convert_version(model, LOWEST_OPSET)
        except Exception as error:  # of its own, without a base in common
            raise QuantizeError(f"opset {opset} cannot be brought to {LOWEST_OPSET} ({first_line(error)})") from error
    elif opset > HIGHEST_OPSET:
        raise QuantizeError(f"opset {opset} is newer than {HIGHEST_OPSET}, the newest this release knows")
    return model


def _as_quantize_error(check: Callable[[Any], Any], given: Any) -> Any:
    try:
        return check(given)
    except ModelError as error:
        raise QuantizeError(str(error)) from error


def load_net(model: onnx.ModelProto | str | os.PathLike[str]) -> Net:
    """The model as a Net with one float32 image input and finite weights; raises QuantizeError."""
    proto = load_model(model)
    session(proto.SerializeToString())  # before onnx infers shapes, which reads out of bounds where ranks do not fit
    net = from_onnx(proto)
    if len(net.inputs) != 1:
        raise QuantizeError(f"the model has {len(net.inputs)} inputs, the quantiser takes one")
    element = net.inputs[0].type.tensor_type.elem_type
    if element != onnx.TensorProto.FLOAT:
        raise QuantizeError(f"input {net.input_name} is {onnx.TensorProto.DataType.Name(element)}, expected FLOAT")
    check_size(net)
    for name, value in net.constants.items():
        if value.dtype.kind == "f" and not np.isfinite(value).all():
            bad = int((~np.isfinite(value)).sum())
            raise QuantizeError(f"weights {name}: {bad} of {value.size} values are NaN or infinite")
    return net


def check_calibration(calibration: npt.NDArray[np.generic], net: Net) -> Calibration:
    """Calibration images as float32 of the model's input shape; raises QuantizeError naming shape, type or value."""
    if not isinstance(calibration, np.ndarray) or calibration.dtype.kind != "f":
        kind = getattr(calibration, "dtype", type(calibration).__name__)
        raise QuantizeError(f"calibration data is {kind}, expected a float32 array, normalised as the network's input")
    expected = net.shapes[net.input_name]
    fits = calibration.ndim == len(expected) and all(
        want is None or want == have for want, have in zip(expected[1:], calibration.shape[1:], strict=True)
    )
    if not fits:
        wanted = ("N", *("?" if size is None else size for size in expected[1:]))
        raise QuantizeError(f"calibration data has shape {calibration.shape}, the model takes {wanted}")
    if len(calibration) == 0:
        raise QuantizeError("calibration data is empty, at least 1 image is needed")
    if not np.isfinite(calibration).all():
        raise QuantizeError(f"calibration data: {int((~np.isfinite(calibration)).sum())} values are NaN or infinite")
    return calibration.astype(np.float32, copy=False)
