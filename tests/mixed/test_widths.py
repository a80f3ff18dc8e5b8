"""The search for widths meets its target on images that nobody saw, and no dearer than it has to."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Command, re2na
from tests.quantize.networks import FloatNet
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import in_memory
from tvm_re2na.dataset import Dataset
from tvm_re2na.mixed import Target, search_widths
from tvm_re2na.mixed.costs import layer_costs
from tvm_re2na.npz import DataError
from tvm_re2na.quantize import QuantizeError, QuantizeOptions, quantize
from tvm_re2na.quantize.options import WeightRounding

__all__ = ["re2na"]
QUICK = QuantizeOptions(rounding=WeightRounding.NEAREST)


def network() -> tuple[onnx.ModelProto, Dataset]:
    """Three convolutions and a dense layer; images whose labels are the float network's classes."""
    net = FloatNet(size=8, seed=8)
    x = net.add("Relu", net.conv("input", 3, 6))
    x = net.add("Relu", net.conv(x, 6, 8))
    x = net.add("Relu", net.conv(x, 8, 8))
    model = net.build(net.gemm(net.add("Flatten", x), 8 * 2 * 2, 5))
    return model, in_memory("images", net.images(40), np.arange(40) % 5)


@pytest.fixture(scope="module")
def known() -> tuple[onnx.ModelProto, Dataset]:
    return network()


def target(text: str) -> Target:
    return Target.read(text)


def test_nothing_is_given_up_for_what_is_there(known: tuple[Any, ...]) -> None:
    made, found = search_widths(*known, target("10dB"), options=QUICK)
    assert len(found.trials) == 1 and found.chosen.cost[0] == 0 and found.chosen.meets
    assert not made.report.kept_float and len(made.report.layers) == 4
    assert (found.seen_images, found.held_back_images) == (30, 10)


def test_the_cheapest_that_meets_it(known: tuple[Any, ...]) -> None:
    model, images = known
    whole = search_widths(model, images, target("1dB"), options=QUICK)[1].chosen.snr_db
    assert whole is not None
    made, found = search_widths(model, images, target(f"{whole + 3:.1f}dB"), options=QUICK)
    chosen = found.chosen
    assert chosen.meets and chosen.keep_float and (chosen.snr_db or 1e9) >= whole + 3
    assert not any(trial.meets and trial.cost < chosen.cost for trial in found.trials)
    assert {layer.name for layer in made.report.layers}.isdisjoint(chosen.keep_float)
    costs = [trial.cost for trial in found.front]
    assert costs == sorted(costs) and chosen in found.front
    assert [trial.accuracy for trial in found.front] == sorted(trial.accuracy for trial in found.front)


def test_full_width_before_float(known: tuple[Any, ...]) -> None:
    """Of 3 bits, layers are raised to 8 first; only what even that does not reach takes them from the machine."""
    model, images = known
    narrow = QuantizeOptions(rounding=WeightRounding.NEAREST, weight_bits=3)
    whole = search_widths(model, images, target("1dB"), options=narrow)[1].chosen.snr_db
    assert whole is not None
    made, found = search_widths(model, images, target(f"{whole + 5:.1f}dB"), options=narrow)
    assert found.chosen.full_width and not found.chosen.keep_float
    widths = {name: np.abs(weight).max() for name, weight in _integers(made.model).items()}
    for name, largest in widths.items():
        assert (largest > 4) == (name in found.chosen.full_width), name


def test_full_width_is_an_option_of_its_own(known: tuple[Any, ...]) -> None:
    model, images = known
    options = QuantizeOptions(rounding=WeightRounding.NEAREST, weight_bits=4, full_width=frozenset({"conv_2"}))
    integers = _integers(quantize(model, images.x, options=options).model)
    assert (
        np.abs(integers["conv_2"]).max()
        > 8
        >= max(np.abs(integers[name]).max() for name in integers if name != "conv_2")
    )
    with pytest.raises(QuantizeError, match="full_width: 'conv_9' is no operator of the model"):
        quantize(model, images.x, options=QuantizeOptions(full_width=frozenset({"conv_9"})))


def test_points_of_top1(known: tuple[Any, ...]) -> None:
    model, images = known
    _, found = search_widths(model, images, target("100pt"), options=QUICK)
    assert found.chosen.lost_points is not None and len(found.trials) == 1
    with pytest.raises(DataError, match=r"5 points are less than one of the 10 labelled .* \(10.00\)"):
        search_widths(model, images, target("5pt"), options=QUICK)
    with pytest.raises(DataError, match="no labels; a target in points of top-1 needs some"):
        search_widths(model, in_memory("images", images.x, None), target("50pt"), options=QUICK)
    with pytest.raises(DataError, match="images: 7 images, a search for widths needs 8"):
        search_widths(model, in_memory("images", images.x[:7], None), target("30dB"), options=QUICK)


@pytest.mark.parametrize("text", ["30", "dB", "-3dB", "121dB", "101pt", "3 dB", "nandB", ""])
def test_what_is_no_target(text: str) -> None:
    with pytest.raises(ValueError, match=f"'{text}' is no accuracy, like 30dB"):
        Target.read(text)


def test_costs() -> None:
    """Each pixel of an output takes all weights of its channel once."""
    net = FloatNet(size=8)
    x = net.add("Relu", net.conv("input", 3, 6))
    x = net.conv(x, 6, 6, group=6)
    model = net.build(net.gemm(net.add("Flatten", x), 6 * 4 * 4, 5))
    costs = layer_costs(quantize(model, net.images(), arch=Architecture(), options=QUICK).model)
    assert {name: (cost.macs, cost.weights) for name, cost in costs.items()} == {
        "conv_0": (6 * 3 * 9 * 36, 6 * 3 * 9),
        "conv_2": (6 * 9 * 16, 6 * 9),
        "gemm_4": (96 * 5, 96 * 5),
    }


def test_the_command(known: tuple[Any, ...], re2na: Command, tmp_path: Path) -> None:
    model, images = known
    onnx.save(model, tmp_path / "net.onnx")
    np.savez(tmp_path / "images.npz", x=images.x, y=images.y)
    words = ["quantize", tmp_path / "net.onnx", "--calibration", tmp_path / "images.npz", "--rounding", "nearest"]
    words += ["--output", tmp_path / "out.onnx"]
    found = re2na(*words, "--search-widths", "45dB", "--json")
    assert found.code == 0, found.stderr
    widths = found.json["widths"]
    assert widths.keys() == {
        *("target", "seen_images", "held_back_images", "top1_float", "macs", "trials", "chosen", "front")
    }
    assert widths["chosen"]["meets"] and widths["chosen"] in widths["front"]
    kept = set(widths["chosen"]["keep_float"])
    assert kept and kept.isdisjoint(row["name"] for row in found.json["layers"])
    shown = re2na(*words, "--search-widths", "10dB")
    assert "Layers given up for accuracy (* written; target: 10 dB)" in shown.stdout
    wrong = re2na(*words, "--search-widths", "30")
    assert wrong.code == 2 and "'30' is no accuracy, like 30dB (at most 120) or 0.5pt (at most 100)" in wrong.stderr
    assert re2na(*words, "--json").json["widths"] is None


def _integers(model: onnx.ModelProto) -> dict[str, np.ndarray]:
    """The quantised weights by layer."""
    ending = ".weight.int8"
    return {
        tensor.name.removesuffix(ending).split(".part")[0]: onnx.numpy_helper.to_array(tensor).astype(int)
        for tensor in model.graph.initializer
        if tensor.name.endswith(ending)
    }
