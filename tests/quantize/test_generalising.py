"""What the quantiser promises of images that it has not seen."""

from __future__ import annotations

import warnings

import numpy as np
import onnx
import pytest

from tests.quantize.networks import FloatNet, residual_model, run
from tests.quantize.test_pools import snr
from tvm_re2na.quantize import (
    Guarantee,
    LayerReport,
    QuantizationReport,
    QuantizeError,
    QuantizeOptions,
    WeightRounding,
    quantize,
)
from tvm_re2na.quantize.agreement import ImageSum
from tvm_re2na.quantize.margins import largest_to_come
from tvm_re2na.quantize.report import ImagesReport, OutputReport
from tvm_re2na.quantize.rounding import WeightSearch, parts_of
from tvm_re2na.quantize.split import MOST, split

RNG = np.random.default_rng(0)


@pytest.mark.parametrize(("count", "held"), [(4, 1), (16, 4), (1000, MOST)])
def test_a_quarter_of_the_images_is_held_back(count: int, held: int) -> None:
    """However they are sorted, and the same ones in every run."""
    images = np.arange(count, dtype=np.float32).reshape(-1, 1, 1, 1)
    found, again = split(images), split(images)
    assert len(found.held_back) == held and not found.synthetic
    assert sorted([*found.held_back.flat, *found.search.flat]) == list(range(count))
    assert (found.held_back == again.held_back).all() and (found.search == again.search).all()
    if held > 1:
        assert abs(found.held_back.mean() / images.mean() - 1) < 0.3


@pytest.mark.parametrize("shape", [(3, 2, 8, 16), (2, 50)])
def test_disturbed_copies_stand_in_for_images_that_are_too_few(shape: tuple[int, ...]) -> None:
    images = RNG.normal(0, 1, shape).astype(np.float32)
    found = split(images)
    assert found.synthetic and found.search is images and found.held_back.dtype == np.float32
    moved = np.roll(images, 2, -1) if len(shape) > 2 else images
    assert 0.05 < (found.held_back - moved).std() < 0.2


def test_the_report_is_of_images_that_were_held_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """What is beyond the range of the others shows in the report, and not in the model."""
    net = FloatNet(size=8)
    model, images = net.build(net.gemm(net.add("Flatten", net.conv("input", 3, 4)), 144, 5)), net.images(32)
    monkeypatch.setattr("tvm_re2na.quantize.split.shuffled", lambda given: np.arange(len(given)))
    plain = quantize(model, images, options=_unbounded())
    wild = np.concatenate([images[:8] * 8, images[8:]])
    with pytest.warns(UserWarning, match="24 calibration images are too few"):
        found = quantize(model, wild, options=_unbounded())
    for layer, other in zip(plain.report.layers, found.report.layers, strict=True):
        assert (layer.e_x, layer.e_y, layer.seen_snr_db) == (other.e_x, other.e_y, other.seen_snr_db)
        assert layer.snr_db > other.snr_db + 10 and layer.ties < 0.1
    assert plain.report.images == found.report.images == ImagesReport(24, 8, False)
    (output,) = found.report.outputs
    outside = split(wild).held_back
    assert output.onnxruntime_snr_db == pytest.approx(snr(run(found.model, outside), run(model, outside)), abs=0.05)
    assert output.seen_snr_db is not None and output.snr_db is not None and output.seen_snr_db > output.snr_db + 10


def test_the_same_images_are_held_back_in_any_order() -> None:
    images = FloatNet(size=8).images(32)
    for parts in zip(_parts(images), _parts(images[::-1]), strict=True):
        np.testing.assert_array_equal(*parts)


def _parts(images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    found = split(images)
    return found.search, found.held_back


def _unbounded() -> QuantizeOptions:
    """The proof that sums fit looks at all images: here it is out of the way."""
    return QuantizeOptions(guarantee=Guarantee.OFF)


def test_few_images_do_not_overfit() -> None:
    """A dense layer of 256 inputs and 12 images: the rounding that suits these best is of no use to any other."""
    net = FloatNet(channels=16, size=4, seed=5)
    x = net.add("Relu", net.gemm(net.add("Flatten", "input"), 256, 128))
    model = net.build(net.gemm(x, 128, 64))
    mixing = RNG.normal(size=(256, 256))
    images, others = ((RNG.normal(size=(n, 256)) @ mixing).astype(np.float32).reshape(n, 16, 4, 4) for n in (16, 200))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that there are few
        made = quantize(model, images, options=QuantizeOptions(weight_bits=5))
        nearest = quantize(model, images, options=QuantizeOptions(weight_bits=5, rounding=WeightRounding.NEAREST))
    unseen, plain = (snr(run(found.model, others), run(model, others)) for found in (made, nearest))
    (output,) = made.report.outputs
    assert unseen > plain - 0.5
    assert output.snr_db == pytest.approx(unseen, abs=2)


def test_what_images_agree_on() -> None:
    """All of equal parts; of parts of chance nothing; of both so much as is there."""
    common = RNG.normal(size=(2, 30, 30)).astype(np.float32)
    for chance, expected in ((0.0, 1.0), (1.0, 16 / (16 + 1)), (1e3, 0.0)):
        found = ImageSum()
        for _ in range(16):
            found.add(common + np.float32(chance) * RNG.normal(size=common.shape).astype(np.float32))
        assert found.share() == pytest.approx(expected, abs=0.08)
    one = ImageSum()
    one.add(common.copy())
    assert (one.share() == 0).all()


def test_without_agreement_weights_are_rounded_to_nearest() -> None:
    """One image says nothing of others; many of the same kind do."""
    mixing = RNG.normal(size=(20, 20))
    rows = (RNG.normal(size=(1, 640, 20)) @ mixing).astype(np.float32)
    scaled = RNG.normal(0, 2, (1, 20, 8)).astype(np.float32)
    one, many = (
        WeightSearch(rows, rows @ scaled, scaled, parts_of(640, images)).run(1.0, scaled, np.rint(scaled), (-9, 9))
        for images in (1, 64)
    )
    assert (one == np.rint(scaled)).all() and (many != one).any()


@pytest.mark.parametrize("count", [8, 32, 500])
def test_the_largest_value_to_come(count: int) -> None:
    """Of long tails: of a thousand, not much more often above what few images tell of ten thousand than chance will have it; equal
    images leave little room."""
    above = 0
    for _ in range(200):
        sums = np.square(RNG.gumbel(10, 1.2, count + 1000))
        above += sums[count:].max() > largest_to_come(sums[:count], 10_000)
    assert above <= 200 * (0.2 if count < 32 else 0.13)  # 0.1 of the largest of a tenth are above the largest of all
    assert largest_to_come(np.full(count, 7.0), 10_000) < 7 * (1 + 6 / count)
    assert largest_to_come(np.zeros(count), 10_000) == largest_to_come(sums, 0) == 0


def test_what_no_input_can_overflow_needs_no_room() -> None:
    """An average's sums stay as they are, however much the images differ."""
    net = FloatNet(size=16)
    model = net.build(net.gemm(net.add("Flatten", net.add("GlobalAveragePool", "input")), 3, 5))
    images = net.images(16) * np.exp(RNG.normal(0, 2, (16, 1, 1, 1))).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = quantize(model, images).report
    assert report.layers[0].worst_case <= report.layers[0].limit and report.layers[0].e_w in (0, -1)


def test_images_that_are_too_few_are_told() -> None:
    def layer(name: str, seen: float, held: float) -> LayerReport:
        return LayerReport(name, "Conv", 0, 0, 0, 0, 0, 1, 9, 9.0, 0, 1, held, seen, 0.0)

    layers = tuple(layer(name, 30.0, held) for name, held in (("a", 29.0), ("b", 12.0), ("c", 20.0), ("d", 15.0)))
    outputs = (
        OutputReport("y", 11.0, 11.0, 38.3),
        OutputReport("z", 28.0, 28.0, 30.0),
        OutputReport("t", 40.0, 40.0, 60.0),
    )
    few = QuantizationReport(layers, ImagesReport(12, 4, False), outputs)
    expected = (
        "12 calibration images are too few for this network: on others y has 11.0 dB instead of 38.3; most in b, d, c"
    )
    with pytest.warns(UserWarning) as told:
        few.warn()
    assert [str(one.message) for one in told] == [expected]


# ---- what stays in float


def kinds(model: onnx.ModelProto) -> dict[str, bool]:
    """By operator whether it reads integers."""
    made = {name: node for node in model.graph.node for name in node.output}
    return {
        node.name: any(name in made and made[name].op_type == "DequantizeLinear" for name in node.input[:1])
        for node in model.graph.node
    }


def test_skip_from_takes_all_that_is_behind() -> None:
    model, images = residual_model()
    made = quantize(model, images, options=QuantizeOptions(skip_from=frozenset({"conv_3"})))
    assert [layer.name for layer in made.report.layers] == ["conv_0"]
    alone = quantize(model, images, options=QuantizeOptions(keep_float=frozenset({"conv_3"})))
    assert "conv_3" not in {layer.name for layer in alone.report.layers} and len(alone.report.layers) == 4


@pytest.mark.parametrize("option", ["keep_float", "skip_from"])
def test_names_of_no_operator_are_refused(option: str) -> None:
    model, images = residual_model()
    with pytest.raises(QuantizeError, match=rf"{option}: 'conv3' is no operator of the model \(near: conv_3, "):
        quantize(model, images, options=QuantizeOptions(**{option: frozenset({"conv3"})}))  # type: ignore[arg-type]


def test_postprocessing_stays_in_float() -> None:
    """Boxes of hundreds of pixels and scores below 1, decoded in float: their concatenation is not quantised with one exponent."""
    net = FloatNet(size=8, seed=2)
    x = net.add("Relu", net.conv("input", 3, 8))
    boxes = net.add("Mul", net.add("Exp", net.conv(x, 8, 4, 1)), net.const(100.0))
    scores = net.add("Sigmoid", net.conv(x, 8, 2, 1))
    model, images = net.build(net.add("Concat", boxes, scores, axis=1)), net.images(32)
    made = quantize(model, images)
    assert len(made.report.layers) == 3 and not made.model.graph.node[-1].op_type.startswith("Dequantize")
    got, wanted = run(made.model, images), run(model, images)
    assert snr(got[:, 4:], wanted[:, 4:]) > 30 and snr(got[:, :4], wanted[:, :4]) > 20


@pytest.mark.parametrize("scale", [1.0, 100.0])
def test_heads_of_unlike_ranges_keep_an_exponent_each(scale: float) -> None:
    """Boxes in pixels and scores, as the last layers make them."""
    net = FloatNet(size=8, seed=2)
    x = net.add("Relu", net.conv("input", 3, 8))
    boxes = net.add("Conv", x, net.random(4, 8, 1, 1, scale=scale * 8**-0.5), net.random(4, scale=0.1))
    flat = [net.add("Reshape", head, net.const([0, 0, -1], np.int64)) for head in (boxes, net.conv(x, 8, 2, 1))]
    model, images = net.build(net.add("Concat", *flat, axis=1)), net.images(32)
    made = quantize(model, images)
    assert made.model.graph.node[-1].op_type == ("Concat" if scale > 1 else "DequantizeLinear")
    got, wanted = run(made.model, images), run(model, images)
    assert min(snr(got[:, 4:], wanted[:, 4:]), snr(got[:, :4], wanted[:, :4])) > 25


def test_what_a_layer_reads_is_quantised_all_the_same() -> None:
    """A concatenation of float results before a layer is none of it."""
    net = FloatNet(size=8, seed=2)
    halves = [net.add("Sigmoid", net.conv("input", 3, 4)) for _ in range(2)]
    x = net.add("Concat", *halves, axis=1)
    made = quantize(net.build(net.conv(x, 8, 4)), net.images(32))
    assert kinds(made.model)["conv_5"] and made.report.layers[2].snr_db > 30


@pytest.mark.parametrize("batch", ["N", 1, 2])
@pytest.mark.parametrize("first", ["the sequence", "all pixels"])
def test_layers_whose_first_axis_is_not_the_images_stay_in_float(first: str, batch: int | str) -> None:
    """As in transformers that project (L, N, C), or (N * L, C)."""
    net = FloatNet(size=6, batch=batch)
    x = net.add("Reshape", net.conv("input", 3, 8), net.const([0, 8, 16], np.int64))
    if first == "the sequence":
        x = net.add("MatMul", net.add("Transpose", x, perm=[2, 0, 1]), net.random(8, 12))
        x = net.add("Transpose", x, perm=[1, 2, 0])
    else:
        x = net.add("Reshape", net.add("Transpose", x, perm=[0, 2, 1]), net.const([-1, 8], np.int64))
        x = net.add("Reshape", net.gemm(x, 8, 12), net.const([-1, 16, 12], np.int64))
        x = net.add("Transpose", x, perm=[0, 2, 1])
    model, images = net.build(net.gemm(net.add("Flatten", x), 192, 5)), net.images(16)
    if batch != "N":
        images = net.rng.normal(0, 1, (16, 3, 6, 6)).astype(np.float32)
    found = quantize(model, images)
    assert [layer.name.split("_")[0] for layer in found.report.layers] == ["conv", "gemm"]
    size = 16 if batch == "N" else int(batch)
    assert snr(run(found.model, images[:size]), run(model, images[:size])) > 20
