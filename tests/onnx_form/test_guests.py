"""Quantised models as other tools write them: what is exact is offloaded, to the bits of TVM and of NumPy's integers."""

from __future__ import annotations

import numpy as np
import onnx
import pytest

from tests.frontends.harness import FrontEnd, compare_all
from tests.onnx_form.guests import CASES, bytes_without_sign, guest, linear, network
from tests.onnx_form.networks import after, answers, images
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.onnx_form import normalise

RNG = np.random.default_rng(27)


@pytest.mark.parametrize("name", CASES)
def test_the_function_stays_and_is_that_of_the_plain_network(name: str) -> None:
    model = guest(name)
    given = images(model)
    made = after(model, given)
    np.testing.assert_array_equal(answers(made, given)[0], answers(network(), given)[0])
    assert all(len(node.input) == 3 for node in linear(made))
    assert not any(item.name == "auto_pad" for node in made.graph.node for item in node.attribute)


def test_all_of_them_are_offloaded_and_exact(front_end: FrontEnd) -> None:
    """Every region against TVM's CPU and NumPy, and its graph is that of the plain network."""
    modules = {name: front_end.load(normalise(guest(name))) for name in CASES}
    partitioned = {name: front_end.partition(module) for name, module in modules.items()}
    (plain,) = front_end.regions(front_end.partition(front_end.load(network())))
    kinds = compare_all(front_end, partitioned, RNG)
    for name, module in partitioned.items():
        (region,) = front_end.regions(module)
        assert kinds[name] == [op.kind for op in plain.graph.ops], name
        assert region.graph.shapes == plain.graph.shapes, name


def test_the_simulator_gives_the_cpus_bits(front_end: FrontEnd) -> None:
    """Of one in which nearly everything is said in another way."""
    model = normalise(guest("output_dtype, scales of shape (1), no zero points"))
    imported = pipeline.import_into_tvm(model)
    re2na = pipeline.build_for_re2na(*imported, Architecture())
    assert re2na.offloaded_macs_share == 1.0
    image = images(model)
    for mine, theirs in zip(re2na.executor()(image), pipeline.build_for_cpu(*imported).executor()(image), strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_bytes_that_something_else_reads_keep_their_type() -> None:
    """An output of the model, and what a Cast reads."""
    model = network()
    bytes_without_sign("activation")(model)
    shown = next(node.output[0] for node in model.graph.node if node.op_type == "QuantizeLinear")
    model.graph.output.append(onnx.helper.make_tensor_value_info(shown, onnx.TensorProto.UINT8, [1, 4, 8, 8]))
    given = images(model)
    made = after(model, given)
    assert answers(made, given)[1].dtype == np.uint8
    (first,) = (node for node in made.graph.node if node.output[0] == shown)
    assert onnx.numpy_helper.to_array(next(t for t in made.graph.initializer if t.name == first.input[2])) == 128


def test_scales_that_differ_stay() -> None:
    model = network()
    node = next(linear(model, "weight"))
    for name, value in zip(
        node.input[1:], (np.array([1, 2, 4, 8], np.float32) / 64, np.zeros(4, np.int8)), strict=True
    ):
        next(t for t in model.graph.initializer if t.name == name).CopyFrom(onnx.numpy_helper.from_array(value, name))
    made = normalise(model)
    assert [list(t.dims) for t in made.graph.initializer if t.name in node.input[1:]] == [[4], [4]]
