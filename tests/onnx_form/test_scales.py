"""Models that are quantised already: other forms of their scales and zero points, the same integers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest
from onnx import numpy_helper

from tests.onnx_form.networks import answers, images, names, operators
from tests.quantize.networks import FloatNet
from tvm_re2na.model_file import check_model
from tvm_re2na.onnx_form import normalise
from tvm_re2na.quantize import quantize


def guest(*, single: bool, zeros: bool) -> onnx.ModelProto:
    """Our own, with scales of shape (1) instead of (), and without the zero points, which ONNX lets out."""
    net = FloatNet(channels=4, size=5)
    model = quantize(net.build(net.conv("input", 4, 4)), net.images()).model
    for tensor in model.graph.initializer:
        if single and tensor.name.endswith((".scale", ".zero")):
            tensor.dims[:] = [1]
    for node in model.graph.node:
        if not zeros and node.op_type == "DequantizeLinear":
            node.input[:] = node.input[:2]
    check_model(model)
    return model


@pytest.mark.parametrize("single, zeros", [(True, True), (False, False), (True, False)])
def test_scales_become_numbers_and_zero_points_are_there(single: bool, zeros: bool) -> None:
    model = guest(single=single, zeros=zeros)
    made = normalise(model)
    onnx.checker.check_model(made, full_check=True)
    assert operators(made) == operators(model) and names(made) == names(model)
    for node in made.graph.node:
        if node.op_type.endswith("eLinear"):
            assert len(node.input) == 3
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in made.graph.initializer}
    for tensor in model.graph.initializer:
        assert np.array_equal(constants[tensor.name].reshape(-1), numpy_helper.to_array(tensor).reshape(-1))
    read = [name for node in made.graph.node if node.op_type.endswith("eLinear") for name in node.input[1:]]
    assert not [name for name in read if constants[name].shape]
    given = images(model)
    np.testing.assert_array_equal(answers(made, given)[0], answers(model, given)[0])


def test_a_scale_that_something_else_reads_keeps_its_shape() -> None:
    model = guest(single=True, zeros=True)
    scale = model.graph.node[0].input[1]
    model.graph.node.append(onnx.helper.make_node("Identity", [scale], ["shown"], name="shown"))
    model.graph.output.append(onnx.helper.make_tensor_value_info("shown", onnx.TensorProto.FLOAT, [1]))
    made = {tensor.name: list(tensor.dims) for tensor in normalise(model).graph.initializer}
    assert made[scale] == [1]
