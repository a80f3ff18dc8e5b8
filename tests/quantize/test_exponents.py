"""Errors of exponents, collected while the extremes still grow, against those of all values at once."""

from __future__ import annotations

import numpy as np
import pytest

from tests.quantize.networks import residual_model
from tvm_re2na.quantize.exponents import FINEST, ExponentErrors, coarsest_exponent
from tvm_re2na.quantize.layers import find_layers
from tvm_re2na.quantize.load import load_net
from tvm_re2na.quantize.observe import Extremes, observe
from tvm_re2na.quantize.quantizer import _observe
from tvm_re2na.quantize.samples import Samples

LIMITS = (-128, 127)


def obvious(values: np.ndarray, magnitude: float) -> np.ndarray:
    errors = []
    for index in range(FINEST):
        step = 2.0 ** (coarsest_exponent(magnitude, LIMITS) - index)
        errors.append(np.square(np.clip(np.rint(values / step), *LIMITS) * step - values).sum())
    return np.array(errors) / np.square(values).sum()


@pytest.mark.parametrize(
    ("largest", "complete"),
    [
        ((1, 1, 1), True),
        ((0, 0, 3), True),
        ((1, 2, 1), True),
        ((1, 2, 4), False),
        ((1, 16, 1), False),
        ((16, 1, 1), True),
    ],
)
def test_extremes_that_rise(largest: tuple[int, ...], complete: bool) -> None:
    rng = np.random.default_rng(0)
    batches = [{"x": rng.uniform(-1, 1, (2, 3, 300, 300)).astype(np.float32) * scale} for scale in largest]
    seen = Extremes(["x"])
    errors = ExponentErrors(["x"], LIMITS, seen)
    for batch in batches:
        seen.add(batch)
        errors.add(batch)
    assert errors.incomplete() == ([] if complete else ["x"])
    wanted = obvious(np.concatenate([batch["x"] for batch in batches]).astype(np.float64), seen.magnitude("x"))
    if not complete:
        assert errors.relative() == {}
        errors = ExponentErrors(["x"], LIMITS, seen)
        for batch in batches:
            errors.add(batch)
    np.testing.assert_allclose(errors.relative()["x"], wanted, rtol=1e-6)


@pytest.mark.parametrize("scales", [np.ones(70), 2.0 ** -np.arange(70), 2.0 ** np.minimum(0, np.arange(70) - 65)])
def test_a_network_observed_once_is_known_as_if_all_values_were_kept(scales: np.ndarray) -> None:
    """Images of one size, falling, and rising: 64 of the 70 are sampled, in two batches."""
    model, images = residual_model()
    images = (np.resize(images, (70, *images.shape[1:])) * scales[:, None, None, None]).astype(np.float32)
    net = load_net(model)
    quantised = find_layers(net, frozenset())
    stages: list[str] = []
    samples = Samples(net, quantised.layers, 64)
    seen, errors = _observe(net, quantised, images, samples, LIMITS, lambda stage, done, total: stages.append(stage))
    names = list(quantised.group_of)
    kept = [dict(values) for values in observe(net, names, images, lambda *_: None, "")]
    for name in names:
        values = np.concatenate([batch[name] for batch in kept]).astype(np.float64)
        magnitude = np.abs(values).max()
        assert seen.magnitude(name) == pytest.approx(magnitude, rel=1e-5)
        np.testing.assert_allclose(errors[name], obvious(values[:64], magnitude), rtol=1e-4)
    assert errors.keys() == set(names)
