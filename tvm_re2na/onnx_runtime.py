"""ONNX Runtime on the CPU: the one place that makes its sessions, and that turns its errors into ours."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy.typing as npt
import onnxruntime

from tvm_re2na.model_error import ModelError, first_line


class OnnxRuntimeSession:
    """A model that is loaded. What ONNX Runtime has against it is a ModelError: each of its errors has a class of its own, and no
    base but Exception."""

    def __init__(self, model: bytes, options: onnxruntime.SessionOptions) -> None:
        options.log_severity_level = 4  # what fails is told once, by the exception
        try:
            self._session = onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot load the model ({first_line(error)})") from error

    @property
    def input_names(self) -> list[str]:
        return [str(value.name) for value in self._session.get_inputs()]

    def run(self, outputs: Sequence[str] | None, inputs: dict[str, npt.NDArray[Any]]) -> list[Any]:
        """The named outputs, or all; raises ModelError where an operator cannot be computed."""
        try:
            found: list[Any] = self._session.run(outputs, inputs)
        except Exception as error:
            raise ModelError(f"ONNX Runtime cannot run the model ({first_line(error)})") from error
        return found


def session(model: bytes, *, fast: bool = False) -> OnnxRuntimeSession:
    """ONNX Runtime on the CPU, its operators those of the file. Its threads sleep while they have nothing to do: the time between
    two runs is NumPy's, and threads that spin take half of it.

    `fast`: convolutions may add up in another order and layout. To sums of integers that makes no difference, to a float network's
    extremes one in the last bit.
    """
    levels = onnxruntime.GraphOptimizationLevel
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = levels.ORT_ENABLE_ALL if fast else levels.ORT_DISABLE_ALL
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return OnnxRuntimeSession(model, options)
