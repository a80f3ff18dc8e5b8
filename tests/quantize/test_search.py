"""How the search goes through a long network: once, each operator once, whatever the start was made for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from tests.quantize.networks import FloatNet, run
from tests.quantize.test_pools import snr
from tvm_re2na.quantize import quantize, quantizer, segments
from tvm_re2na.quantize.plan import QuantizationPlan

LAYERS = 12


@pytest.fixture(scope="module")
def chain() -> tuple[Any, np.ndarray]:
    net = FloatNet(channels=8, size=6)
    x = "input"
    for _ in range(LAYERS):
        x = net.add("Relu", net.conv(x, 8, 8, pads=[1, 1, 1, 1]))
    return net.build(x), net.images()


def test_each_operator_is_run_once(chain: tuple[Any, np.ndarray], monkeypatch: pytest.MonkeyPatch) -> None:
    sizes, emit = [], segments.emit

    def counted(net: Any, *args: Any, **options: Any) -> Any:
        sizes.append(len(net.nodes))
        return emit(net, *args, **options)

    monkeypatch.setattr(segments, "emit", counted)
    quantize(*chain)
    assert sizes == [0] + [2] * (LAYERS - 1)  # the input of the first layer; then a convolution and its Relu for each


@pytest.mark.parametrize("steps", [3, 6])
def test_weights_that_start_too_fine_become_coarser_at_once(
    chain: tuple[Any, np.ndarray], steps: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where the layers before a layer give it larger inputs than the float network's."""
    model, images = chain
    searches, search, start_plan = [], quantizer.search, quantizer.start_plan

    def too_fine(*args: Any) -> QuantizationPlan:
        plan = start_plan(*args)
        plan.weight[plan.quantised.layers[5].name] -= steps
        return plan

    def counted(*args: Any) -> None:
        searches.append(args)
        search(*args)

    monkeypatch.setattr(quantizer, "start_plan", too_fine)
    monkeypatch.setattr(quantizer, "search", counted)
    found = quantize(model, images)
    assert len(searches) == 1 and len(found.report.layers) == LAYERS and not found.report.kept_float
    assert snr(run(model, images), run(found.model, images)) > 20
