"""Cross-layer equalisation (Nagel et al. 2019): a channel's scale moves from one layer's weights into the next's.

Between two linear layers lies f with f(a x) = a f(x) for a > 0. Multiplying a channel's weights in the first layer by a and those
that read it in the second by 1 / a changes nothing in float; with one scale for a whole tensor, it decides how many steps each
channel gets. An upper bound of an activation (ReLU6) has no a to go with: there, a channel is enlarged no further than its largest
value on the calibration images meets the bound, and channels that meet it already stay as they are.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tvm_re2na.quantize.fold import is_linear
from tvm_re2na.quantize.layers import Layer, QuantisedLayers
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.scales import is_average, is_sum
from tvm_re2na.quantize.transposed import is_transposed

Factors = npt.NDArray[np.float64]
ROUNDS = 2  # a layer between two others is equalised with both
LARGEST_FACTOR = 64.0
PAYS = 0.5  # of the noise that rounding is expected to make


@dataclass(frozen=True)
class _Pair:
    """`view` (groups, O / groups, channels / groups, ...): the second layer's weight with its input channels apart."""

    first: Layer
    second: Layer
    view: tuple[int, ...]
    bound: float


def equalise(net: Net, quantised: QuantisedLayers, largest: dict[str, Factors]) -> int:
    """Equalise every pair that gains by it; `largest` is each result's largest |value| by channel. Returns how many did."""
    pairs = list(_pairs(net, quantised))
    changed = set()
    for _ in range(ROUNDS):
        for pair in pairs:
            channels = largest[pair.first.result]
            factors = _factors(net, pair, channels)
            if factors is not None:
                _apply(net, pair, factors)
                largest[pair.first.result] = channels * factors
                changed.add(pair.first.name)
    return len(changed)


def candidates(net: Net, quantised: QuantisedLayers) -> list[Layer]:
    """Layers whose results `equalise` has to know by channel."""
    return [pair.first for pair in _pairs(net, quantised)]


def _pairs(net: Net, quantised: QuantisedLayers) -> Iterator[_Pair]:
    by_source = {layer.source: layer for layer in quantised.layers}
    for first in quantised.layers:
        activation = net.producer(first.result)
        low, bound = net.bounds.get(activation.name, (0.0, np.inf)) if activation is not None else (0.0, np.inf)
        taken = _follow(net, first.result)
        second = by_source.get(taken) if taken is not None else None
        if second is None or is_transposed(first.node) or is_transposed(second.node):
            continue
        if low not in (0.0, -np.inf) or not quantised.is_free(first):
            continue
        view = _view(net, first, second)
        weights = [net.constants[layer.node.inputs[1]] for layer in (first, second)]
        if view is not None and not any(is_sum(weight) or is_average(weight) for weight in weights):
            yield _Pair(first, second, view, bound)


def _follow(net: Net, tensor: str) -> str | None:
    """The tensor that the only linear layer behind `tensor` reads: itself, or what pooling and flattening make of it."""
    node = net.only_consumer(tensor)
    if node is None:
        return None
    if is_linear(net, node):
        return tensor if node.inputs[0] == tensor else None
    flattens = node.op == "Flatten" and node.attributes.get("axis", 1) == 1
    return _follow(net, node.output) if flattens or node.op == "MaxPool" else None


def _view(net: Net, first: Layer, second: Layer) -> tuple[int, ...] | None:
    channels, weight = len(net.constants[first.node.inputs[1]]), net.constants[second.node.inputs[1]]
    groups = int(second.node.attributes.get("group", 1))
    values, left = divmod(weight.size, len(weight) * (channels // groups))
    return None if left else (groups, len(weight) // groups, channels // groups, values)


def _factors(net: Net, pair: _Pair, largest: Factors) -> Factors | None:
    """What to multiply the first layer's channels by; None where that does not pay."""
    first, second = (
        np.abs(net.constants[layer.node.inputs[1]].astype(np.float64)) for layer in (pair.first, pair.second)
    )
    ranges = first.reshape(len(first), -1).max(1), second.reshape(pair.view).max((1, 3)).reshape(-1), largest
    alive = (ranges[0] > 0) & (ranges[1] > 0) & (largest > 0)
    own, next_, values = (np.where(alive, value, 1.0) for value in ranges)
    factors = np.clip(np.sqrt(next_ / own), 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    factors /= np.exp(np.log(factors[alive]).mean()) if alive.any() else 1.0
    if np.isfinite(pair.bound):
        factors = np.where(values < pair.bound, np.minimum(factors, pair.bound / values), 1.0)
    factors = np.where(alive, factors, 1.0)
    importance = np.where(alive, np.square(values * next_), 0.0)
    before = _noise(importance, own, next_, values)
    return factors if _noise(importance, own * factors, next_ / factors, values * factors) < PAYS * before else None


def _noise(importance: Factors, *ranges: Factors) -> float:
    """Rounding noise of the channels, each relative to its own range, one step being a share of the largest range of all."""
    return float(sum((importance * np.square(values.max() / values)).sum() for values in ranges))


def _apply(net: Net, pair: _Pair, factors: Factors) -> None:
    first, second = pair.first.node, pair.second.node
    for index in (1, 2):
        value = net.constants[first.inputs[index]]
        scaled = value * factors.reshape(-1, *[1] * (value.ndim - 1))
        first.inputs[index] = net.add_constant(f"{first.inputs[index]}.equalised", scaled.astype(np.float32))
    weight = net.constants[second.inputs[1]]
    divided = weight.reshape(pair.view) / factors.reshape(pair.view[0], 1, pair.view[2], 1)
    second.inputs[1] = net.add_constant(
        f"{second.inputs[1]}.equalised", divided.reshape(weight.shape).astype(np.float32)
    )
