"""Names: each node its own, those that users know kept, none that the quantiser gives."""

from __future__ import annotations

import onnx
from onnx import helper

from tests.onnx_form.networks import after, declared, images, names
from tests.quantize.networks import FloatNet
from tvm_re2na.onnx_form import normalise
from tvm_re2na.quantize import quantize


def two_layers() -> tuple[FloatNet, onnx.ModelProto]:
    net = FloatNet(channels=4, size=5)
    return net, net.build(net.conv(net.add("Relu", net.conv("input", 4, 4)), 4, 4))


def test_the_second_of_a_name_gets_another() -> None:
    net, model = two_layers()
    model.graph.node[0].name = model.graph.node[2].name = "conv"
    made = normalise(model)
    assert names(made) == ["conv", "relu_1", "conv_1"]
    assert len(quantize(made, net.images()).report.layers) == 2


def test_a_tensor_of_the_name_that_the_quantiser_gives() -> None:
    net, model = two_layers()
    for node in model.graph.node:
        node.output[:] = ["input.int8" if name == "relu_1" else name for name in node.output]
        node.input[:] = ["input.int8" if name == "relu_1" else name for name in node.input]
    del model.graph.value_info[:]
    made = after(model)
    quantized = quantize(model, net.images())
    assert names(made) == names(model) and len(quantized.report.layers) == 2


def test_nodes_without_names_are_called_by_their_place_in_the_file() -> None:
    net = FloatNet()
    x = net.conv("input", 3, 4)
    net.nodes.append(helper.make_node("Constant", [], ["sizes"], value_ints=[0, -1]))
    x = net.add("Reshape", x, "sizes")
    model = declared(net.build(net.gemm(x, 400, 5)), ("N", 5))
    for node in model.graph.node:
        node.name = ""
    assert names(after(model)) == ["conv_0", "reshape_2", "gemm_3"]


def test_one_tensor_under_two_names() -> None:
    net = FloatNet()
    x = net.add("Relu", net.conv("input", 3, 4))
    model = net.build(net.add("Identity", x), net.add("Identity", x))
    made = quantize(model, images(model, 16)).model
    assert [value.name for value in made.graph.output] == [value.name for value in model.graph.output]


def test_quantised_models_keep_all_but_names() -> None:
    net = FloatNet(channels=4, size=5)
    model = quantize(net.build(net.conv("input", 4, 4)), net.images()).model
    assert normalise(model) is model
    model.graph.node[1].name = model.graph.node[0].name
    made = normalise(model)
    assert made.graph.initializer == model.graph.initializer
    assert [helper.printable_node(node) for node in made.graph.node] == list(
        map(helper.printable_node, model.graph.node)
    )
