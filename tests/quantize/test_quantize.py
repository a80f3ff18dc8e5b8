"""What the quantiser promises: power-of-two scales, sums that fit, a plain ONNX file, a sound model."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from onnx import numpy_helper

from tests.quantize.networks import FloatNet, residual_model, run
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize import (
    Guarantee,
    QuantizedModel,
    QuantizeError,
    QuantizeOptions,
    ScaleRule,
    WeightRounding,
    quantize,
)
from tvm_re2na.quantize.rounding import WeightSearch, parts_of


def scales(model: onnx.ModelProto) -> dict[str, float]:
    used = {node.input[1] for node in model.graph.node if node.op_type in ("QuantizeLinear", "DequantizeLinear")}
    return {item.name: float(numpy_helper.to_array(item)) for item in model.graph.initializer if item.name in used}


def check_promises(quantized: QuantizedModel, arch: Architecture) -> None:
    onnx.checker.check_model(quantized.model, full_check=True)
    for name, scale in scales(quantized.model).items():
        assert np.frexp(scale)[0] == 0.5, f"{name} = {scale} is no power of two"
    for item in quantized.model.graph.initializer:
        if item.name.endswith(".zero"):
            assert not numpy_helper.to_array(item).any()
    for layer in quantized.report.layers:
        assert 0 <= layer.lsb < arch.acc_bits and layer.lsb == layer.e_y - layer.e_x - layer.e_w
        assert layer.observed_max <= layer.limit == arch.acc_max
        assert layer.observed_max <= layer.worst_case


def test_a_residual_network() -> None:
    model, images = residual_model()
    quantized = quantize(model, images)
    check_promises(quantized, Architecture())
    wanted, got = run(model, images), run(quantized.model, images)
    assert np.square(got - wanted).sum() < 0.01 * np.square(wanted).sum()
    operators = {node.op_type for node in quantized.model.graph.node}
    assert operators == {"QuantizeLinear", "DequantizeLinear", "Conv", "Relu", "Add", "MaxPool", "Flatten", "Gemm"}


def test_both_operands_and_the_result_of_an_addition_have_one_scale() -> None:
    model, images = residual_model()
    quantized = quantize(model, images).model
    producer = {name: node for node in quantized.graph.node for name in node.output}
    consumers = {name: node for node in quantized.graph.node for name in node.input}
    values = {
        item.name: float(numpy_helper.to_array(item)) for item in quantized.graph.initializer if "scale" in item.name
    }
    (addition,) = [node for node in quantized.graph.node if node.op_type == "Add"]
    relu = consumers[addition.output[0]]
    steps = {values[producer[name].input[1]] for name in addition.input} | {values[consumers[relu.output[0]].input[1]]}
    assert len(steps) == 1


def test_names_batch_and_result_do_not_depend_on_the_run() -> None:
    model, images = residual_model()
    first, second = quantize(model, images), quantize(model, images)
    assert first.model.SerializeToString() == second.model.SerializeToString()
    assert [value.name for value in first.model.graph.input] == ["input"]
    assert first.model.graph.input[0].type.tensor_type.shape.dim[0].dim_param == "N"
    assert [value.name for value in first.model.graph.output] == [value.name for value in model.graph.output]
    assert json.loads(json.dumps(first.report.to_json()))["layers"]


@pytest.mark.parametrize("field", [{"acc_bits": 14}, {"data_bits": 5}, {"acc_bits": 24}])
def test_the_machine_decides_the_scales(field: dict[str, int]) -> None:
    arch = Architecture.from_dict(field)
    model, images = residual_model()
    quantized = quantize(model, images, arch=arch)
    check_promises(quantized, arch)
    for item in quantized.model.graph.initializer:
        if item.name.endswith(".weight.int8"):
            weight = numpy_helper.to_array(item)
            assert arch.data_min <= weight.min() and weight.max() <= arch.data_max


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 10_000), scale=st.floats(0.01, 100), headroom=st.floats(1.0, 4.0))
def test_no_accumulator_overflows_on_the_calibration_set(seed: int, scale: float, headroom: float) -> None:
    net = FloatNet(seed=seed)
    x = net.add("Clip", net.conv("input", 3, 8), net.const(0.0), net.const(6.0))
    x = net.add("Relu", net.conv(x, 8, 8, group=8))
    model = net.build(net.conv(x, 8, 6, kernel=1))
    quantized = quantize(model, net.images() * np.float32(scale), options=QuantizeOptions(headroom=headroom))
    check_promises(quantized, Architecture())
    assert all(layer.headroom >= headroom * 0.99 for layer in quantized.report.layers)


def test_operators_it_does_not_know_stay_in_float() -> None:
    net = FloatNet()
    x = net.add("Sigmoid", net.conv("input", 3, 8))
    model = net.build(net.conv(x, 8, 4))
    quantized = quantize(model, net.images())
    check_promises(quantized, Architecture())
    (sigmoid,) = [node for node in quantized.model.graph.node if node.op_type == "Sigmoid"]
    assert sigmoid.input[0].endswith("rounded")


def test_what_depends_on_constants_alone_is_no_activation() -> None:
    """A branch that begins with a constant, pooled and convolved, stays in float; what it is added to does not."""
    net = FloatNet(size=8)
    x = net.conv("input", 3, 4)
    bias = net.conv(net.add("MaxPool", net.random(1, 3, 9, 9), kernel_shape=[2, 2]), 3, 4)
    model, images = net.build(net.conv(net.add("Add", x, bias), 4, 2)), net.images(8)
    found = quantize(model, images)
    assert [layer.name for layer in found.report.layers] == ["conv_0", "conv_4"]
    expected = run(model, images)
    assert np.linalg.norm(run(found.model, images) - expected) < 0.1 * np.linalg.norm(expected)


def test_concat_keeps_one_scale() -> None:
    net = FloatNet()
    first, second = (net.add("Relu", net.conv("input", 3, outputs)) for outputs in (4, 6))
    model = net.build(net.conv(net.add("Concat", first, second, axis=1), 10, 4))
    quantized = quantize(model, net.images())
    check_promises(quantized, Architecture())
    assert run(quantized.model, net.images()).shape == (16, 4, 8, 8)


def test_a_model_of_fixed_batch_is_calibrated_in_that_batch() -> None:
    net = FloatNet(batch=2)
    quantized = quantize(net.build(net.conv("input", 3, 4)), net.images(5))
    check_promises(quantized, Architecture())


def _with_nan(net: FloatNet) -> onnx.ModelProto:
    weight = np.ones((4, 3, 3, 3), np.float32)
    weight[0, 0, 0, 0] = np.nan
    return net.build(net.add("Conv", "input", net.const(weight)))


def _plain(net: FloatNet) -> onnx.ModelProto:
    return net.build(net.conv("input", 3, 4))


@pytest.mark.parametrize(
    ("make", "images", "message"),
    [
        (_with_nan, lambda x: x, "weights constant_0: 1 of 108 values are NaN or infinite"),
        (_plain, lambda x: x[:, :2], "calibration data has shape (16, 2, 12, 12), the model takes ('N', 3, 12, 12)"),
        (_plain, lambda x: x[0], "calibration data has shape (3, 12, 12)"),
        (_plain, lambda x: x[:0], "calibration data is empty"),
        (_plain, lambda x: (x * 10).astype(np.int8), "calibration data is int8, expected a float32 array"),
        (_plain, lambda x: x * np.float32(np.nan), "6912 values are NaN or infinite"),
    ],
)
def test_bad_input_is_named(
    make: Callable[[FloatNet], onnx.ModelProto], images: Callable[[Any], Any], message: str
) -> None:
    net = FloatNet()
    with pytest.raises(QuantizeError) as error:
        quantize(make(net), images(net.images()))
    assert message in str(error.value)


def test_a_file_that_is_no_model_is_named(tmp_path: Path) -> None:
    path = tmp_path / "model.onnx"
    with pytest.raises(QuantizeError, match="no such file"):
        quantize(path, np.zeros((1, 1, 1, 1), np.float32))
    path.write_bytes(b"this is no ONNX model")
    with pytest.raises(QuantizeError, match="no valid ONNX model"):
        quantize(path, np.zeros((1, 1, 1, 1), np.float32))


@pytest.mark.parametrize(
    "options", [{"headroom": 0.5}, {"search_images": 0}, {"unseen_images": -1}, {"unseen_images": 10**10}]
)
def test_options_have_limits(options: dict[str, Any]) -> None:
    with pytest.raises(QuantizeError):
        QuantizeOptions(**options)


@pytest.mark.parametrize("bounds", [(0.0, None), (None, 1.5), (-3e38, 3e38), (0.0, 6.0)])
def test_clips_are_finite_and_mean_the_same(bounds: tuple[float | None, float | None]) -> None:
    net = FloatNet()
    names = ["" if value is None else net.const(value) for value in bounds]
    model = net.build(net.conv(net.add("Clip", net.conv("input", 3, 8), *names), 8, 4))
    images = net.images()
    quantized = quantize(model, images).model
    (clip,) = [node for node in quantized.graph.node if node.op_type == "Clip"]
    values = {
        item.name: float(numpy_helper.to_array(item)) for item in quantized.graph.initializer if item.name in clip.input
    }
    assert len(values) == 2 and max(abs(value) for value in values.values()) < 1000
    wanted, got = run(model, images), run(quantized, images)
    assert np.square(got - wanted).sum() < 0.01 * np.square(wanted).sum()


def test_a_proof_holds_for_any_input() -> None:
    """No int8 input can overflow a layer's sums, however unlike the calibration images."""
    model, images = residual_model()
    arch = Architecture(acc_bits=14)
    loose = quantize(model, images, arch=arch).report.layers
    assert any(layer.worst_case > layer.limit for layer in loose)
    proven = quantize(model, images, arch=arch, options=QuantizeOptions(guarantee=Guarantee.PROVEN))
    check_promises(proven, arch)
    assert all(layer.worst_case <= layer.limit for layer in proven.report.layers)
    wild = np.random.default_rng(0).choice([-1e3, 1e3], images.shape).astype(np.float32)
    assert np.isfinite(run(proven.model, wild)).all()


def test_without_a_guarantee_sums_may_overflow() -> None:
    model, images = residual_model()
    arch = Architecture(acc_bits=12)
    off = quantize(model, images, arch=arch, options=QuantizeOptions(guarantee=Guarantee.OFF)).report
    assert any(layer.observed_max > layer.limit for layer in off.layers)


def test_layers_kept_in_float() -> None:
    model, images = residual_model()
    names = [layer.name for layer in quantize(model, images).report.layers]
    kept = quantize(model, images, options=QuantizeOptions(keep_float=frozenset(names[1:])))
    assert [layer.name for layer in kept.report.layers] == names[:1]
    integers = [item.name for item in kept.model.graph.initializer if item.name.endswith(".weight.int8")]
    assert integers == [f"{names[0]}.weight.int8"]


def noise(model: onnx.ModelProto, images: np.ndarray, arch: Architecture, **options: Any) -> float:
    """Share of the float model's energy that is lost."""
    wanted = run(model, images)
    got = run(quantize(model, images, arch=arch, options=QuantizeOptions(**options)).model, images)
    return float(np.square(got - wanted).sum() / np.square(wanted).sum())


def test_each_part_of_the_search_gains() -> None:
    model, images = residual_model()
    arch = Architecture(data_bits=4)
    plain = {"rounding": WeightRounding.NEAREST, "bias_correction": False, "equalise": False}
    steps = [
        noise(model, images, arch, scales=ScaleRule.LARGEST, **plain),
        noise(model, images, arch, **plain),
        noise(model, images, arch, **{**plain, "bias_correction": True}),
        noise(model, images, arch),
    ]
    assert steps == sorted(steps, reverse=True) and steps[-1] < 0.5 * steps[0]


def test_equalisation_changes_nothing_in_float_and_helps_unequal_channels() -> None:
    net = FloatNet(seed=1)
    factors = np.float32(10.0) ** np.linspace(-1, 1, 8, dtype=np.float32)
    weight = net.rng.normal(0, 0.2, (8, 3, 3, 3)).astype(np.float32) * factors.reshape(-1, 1, 1, 1)
    x = net.add("Relu", net.add("Conv", "input", net.const(weight), net.random(8, scale=0.01)))
    weight = net.rng.normal(0, 0.2, (8, 1, 3, 3)).astype(np.float32) / factors.reshape(-1, 1, 1, 1)
    x = net.add("Relu", net.add("Conv", x, net.const(weight), net.random(8, scale=0.01), group=8))
    model = net.build(net.conv(x, 8, 4, kernel=1))
    images, arch = net.images(), Architecture()
    assert noise(model, images, arch) < 0.5 * noise(model, images, arch, equalise=False)


@pytest.mark.parametrize("name", ["weight_bits", "activation_bits"])
def test_widths_are_checked(name: str) -> None:
    model, images = residual_model()
    with pytest.raises(QuantizeError, match=rf"{name} = 9 is outside 2\.\.8"):
        quantize(model, images, options=QuantizeOptions(**{name: 9}))


def test_weights_rounded_together_are_the_best_of_their_neighbours() -> None:
    """Coordinate descent ends where no single weight can be moved by one step with gain."""
    rng = np.random.default_rng(2)
    mixing = rng.normal(size=(12, 12))
    rows = (rng.normal(size=(1, 400, 12)) @ mixing).astype(np.float32)
    scaled = rng.normal(0, 2, (1, 12, 3)).astype(np.float32)
    targets = rows @ scaled
    start = np.rint(scaled)
    found = WeightSearch(rows, targets, scaled, parts_of(400, 100)).run(1.0, scaled, start, (-4, 3))

    def error(weights: np.ndarray) -> float:
        return float(np.square(rows @ weights - targets).sum())

    assert error(found) < error(np.clip(start, -4, 3))
    for index in np.ndindex(found.shape):
        for step in (-1, 1):
            moved = found.copy()
            moved[index] += step
            assert not -4 <= moved[index] <= 3 or error(moved) > 0.99 * error(found)
