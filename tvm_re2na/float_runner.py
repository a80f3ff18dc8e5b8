"""A model in ONNX Runtime, on the CPU: the float network, and the quantised one."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime

from tvm_re2na.batches import Batch, by_name
from tvm_re2na.model_error import ModelError
from tvm_re2na.onnx_runtime import OnnxRuntimeSession

BatchRunner: TypeAlias = Callable[[Batch], list[npt.NDArray[Any]]]


def float_runner(model: onnx.ModelProto) -> BatchRunner:
    """ONNX Runtime on the CPU; image by image where the model's batch is fixed to 1.

    Its int8 kernels for AVX2 without VNNI saturate in between, as TVM's do, unless they are asked for precision, which it grants
    to most models (its rewriting fails where two QLinear operators share a weight, and has no kernel for a QGemm of int8).
    """
    content = model.SerializeToString()
    try:
        session = _session(content, precise=True)
    except ModelError:
        session = _session(content, precise=False)
    return _runner(session)


def precise_runner(model: onnx.ModelProto) -> BatchRunner:
    """A QDQ model in ONNX Runtime, each of its operators in float between DequantizeLinear and QuantizeLinear."""
    options = _options()
    options.add_session_config_entry("session.disable_quant_qdq", "1")
    return _runner(OnnxRuntimeSession(model.SerializeToString(), options))


def _runner(session: OnnxRuntimeSession) -> BatchRunner:
    names = session.input_names
    return lambda batch: [np.asarray(output) for output in session.run(None, by_name(batch, names))]


def _session(model: bytes, precise: bool) -> OnnxRuntimeSession:
    options = _options()
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    return OnnxRuntimeSession(model, options)


def _options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = _threads()
    # its idle threads would spin, which doubles what an image costs and takes the time from TVM's
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return options


def _threads() -> int:
    """What OMP_NUM_THREADS says, which ONNX Runtime does not read by itself; 0 leaves it to ONNX Runtime."""
    text = os.environ.get("OMP_NUM_THREADS", "")
    return int(text) if text.isdecimal() else 0
