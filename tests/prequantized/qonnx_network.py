"""A small network of QONNX nodes, written by hand."""

from __future__ import annotations

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

DOMAIN = "qonnx.custom_op.general"


def qonnx_network(bits: int = 8, scale: float = 2**-5, **options: object) -> onnx.ModelProto:
    """Quant, Conv (weights and bias through Quant), Relu, Quant on (1, 2, 6, 6)."""
    rng = np.random.default_rng(5)
    constants: dict[str, np.ndarray] = {
        "w": rng.normal(size=(4, 2, 3, 3)).astype(np.float32) / 8,
        "b": rng.normal(size=4).astype(np.float32) / 8,
        "s_in": np.float32(2**-5),
        "s_w": np.float32(2**-8),
        "s_b": np.float32(2**-13),
        "s": np.float32(scale),
        "zero": np.float32(0),
        "eight": np.float32(8),
        "bits": np.float32(bits),
        "wide": np.float32(32),
    }
    signed = {"signed": 1, "narrow": 0, "rounding_mode": "ROUND"}
    nodes = [
        helper.make_node("Quant", ["input", "s_in", "zero", "eight"], ["x"], name="q_in", domain=DOMAIN, **signed),
        helper.make_node(
            "Quant", ["w", "s_w", "zero", "eight"], ["wq"], name="q_w", domain=DOMAIN, **signed | {"narrow": 1}
        ),
        helper.make_node("Quant", ["b", "s_b", "zero", "wide"], ["bq"], name="q_b", domain=DOMAIN, **signed),
        helper.make_node("Conv", ["x", "wq", "bq"], ["c"], name="conv"),
        helper.make_node("Relu", ["c"], ["r"], name="relu"),
        helper.make_node(
            "Quant", ["r", "s", "zero", "bits"], ["output"], name="q_out", domain=DOMAIN, **signed | options
        ),
    ]
    graph = helper.make_graph(
        nodes,
        "qonnx",
        [helper.make_tensor_value_info("input", TensorProto.FLOAT, [1, 2, 6, 6])],
        [helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 4, 4, 4])],
        [numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()],
    )
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid(DOMAIN, 1)]
    return helper.make_model(graph, opset_imports=opsets, ir_version=8)
