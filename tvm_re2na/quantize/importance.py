"""What noise in a layer's sums does to the network's outputs: an estimate by channel, from few images.

Noise of variance v in every element of a channel adds `weight * v` to the outputs' noise over signal. Weights are propagated from
the outputs backwards: noise adds up as if that of different channels were independent, and from one layer to the next it keeps its
proportion to the signal. An activation lets that noise pass which meets elements that it leaves as they are.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tvm_re2na.element_wise import OF_ONE, OF_TWO
from tvm_re2na.progress import silent
from tvm_re2na.quantize.fold import is_linear
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net, Node
from tvm_re2na.quantize.observe import observe
from tvm_re2na.quantize.transposed import groups_of, weight_of

Channels = npt.NDArray[np.float64]  # (C,) of one tensor
Weights = npt.NDArray[np.float64]  # (2, C): of noise from further up; of noise that the layer just before adds

IMAGES = 16
TINY = 1e-30
PASSING = ("MaxPool", "Resize", "Pad")


@dataclass(frozen=True)
class Moments:
    """By channel, of tensors (N, C, ...) over some images: the mean of squares and the variance; of the results of a Relu or a Clip
    the share of elements that it leaves as they are."""

    power: dict[str, Channels]
    variance: dict[str, Channels]
    unchanged: dict[str, Channels]


def moments(net: Net, images: Calibration) -> Moments:
    """Over the first IMAGES of them; of tensors of numbers with two axes or more."""
    names = [name for name in net.activations() if name not in net.integers]
    clamps = [node for node in net.nodes if node.name in net.bounds]
    mean, power, unchanged = _Mean(), _Mean(), _Mean()
    for values in observe(net, names, images[:IMAGES], silent, "", fast=True):
        told = {name: value for name, value in values.items() if value.ndim > 1 and value.size}
        for name, value in told.items():
            mean.add(name, _by_channel(value).mean(2, dtype=np.float64))
            power.add(name, np.square(_by_channel(value)).mean(2, dtype=np.float64))
        for node in clamps:
            if node.output in told and node.inputs[0] in told:
                unchanged.add(node.output, _by_channel(told[node.output] == told[node.inputs[0]]).mean(2))
    means = mean.found()
    variance = {name: np.maximum(squares - np.square(means[name]), 0) for name, squares in power.found().items()}
    return Moments(power.found(), variance, unchanged.found())


class _Mean:
    """Of rows (N, C), batch by batch."""

    def __init__(self) -> None:
        self._sums: dict[str, Channels] = {}
        self._rows: dict[str, int] = {}

    def add(self, name: str, rows: npt.NDArray[np.float64]) -> None:
        self._sums[name] = self._sums.get(name, 0.0) + rows.sum(0)
        self._rows[name] = self._rows.get(name, 0) + len(rows)

    def found(self) -> dict[str, Channels]:
        return {name: total / self._rows[name] for name, total in self._sums.items()}


def _by_channel(values: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
    return values.reshape(*values.shape[:2], -1)


class Importance:
    """`of(sums)`: the weight of noise in each channel of a layer's sums, (C,)."""

    def __init__(self, net: Net, seen: Moments) -> None:
        self.seen = seen
        self._net = net
        self._found: dict[str, Weights] = {}
        for name in net.output_names:
            self._share([name], 1.0)
        for node in reversed(net.nodes):
            data = [name for name in dict.fromkeys(node.inputs) if name in seen.power]
            if data and any(name in self._found for name in node.outputs):
                self._pass(node, data)

    def of(self, sums: str) -> Channels:
        return self._found[sums][1] if sums in self._found else np.zeros(len(self.seen.power.get(sums, ())))

    def _add(self, name: str, weights: Weights) -> None:
        self._found[name] = self._found[name] + weights if name in self._found else weights

    def _share(self, names: list[str], noise: float) -> None:
        """As much noise over signal in each of these."""
        for name in names:
            power = self.seen.power.get(name, np.zeros(0))
            self._add(name, np.full((2, len(power)), noise / max(float(power.sum()), TINY)))

    def _pass(self, node: Node, data: list[str]) -> None:
        seen, net = self.seen, self._net
        behind = self._found.get(node.output, np.zeros((2, 0)))
        first, channels = data[0], len(seen.power[data[0]])
        same = all(len(seen.power[name]) == behind.shape[1] for name in data)
        constant = net.constant(node, 1)
        if is_linear(net, node):
            self._add(first, self._before(node, behind[0]))
        elif node.op == "Concat" and node.attributes.get("axis") == 1 and len(data) == len(node.inputs):
            edges = np.cumsum([len(seen.power[name]) for name in data])[:-1]
            for name, part in zip(data, np.split(behind, edges, axis=1), strict=True):
                self._add(name, part)
        elif node.op == "Gather" and node.attributes.get("axis") == 1 and constant is not None and constant.ndim == 1:
            weights = np.zeros((2, channels))
            np.add.at(weights.T, constant, behind.T)
            self._add(first, weights)
        elif node.op in ("Flatten", "Reshape") and behind.size and behind.shape[1] % channels == 0:
            self._add(first, behind.reshape(2, channels, -1).sum(2))
        elif same and (node.op in PASSING or (node.op in ("Add", "Sub") and len(data) == 2)):
            for name in data:
                self._add(name, behind)
        elif same and node.op == "Mul" and len(data) == 2:
            for name, other in (data, data[::-1]):
                self._add(name, behind * seen.power[other])
        elif same and len(data) == 1 and (node.op in OF_ONE | OF_TWO or node.name in net.bounds):
            self._add(first, self._through(node, first, behind))
        else:  # nothing is known of it: noise over signal is the same before it
            known = [name for name in node.outputs if name in self._found and name in seen.power]
            self._share(data, sum(float(self._found[name][0] @ seen.power[name]) for name in known))

    def _before(self, node: Node, behind: Channels) -> Weights:
        """What a linear layer reads, from what it makes."""
        weight, groups = weight_of(self._net, node), groups_of(node)
        shape = groups, len(weight) // groups, weight.shape[1], -1
        squares = np.square(weight, dtype=np.float64).reshape(shape).sum(3)
        found = np.einsum("gok,go->gk", squares, behind.reshape(groups, -1)).reshape(-1)
        before, after = (self.seen.variance[name] for name in (node.inputs[0], node.output))
        return np.stack([found * float(behind @ after) / max(float(found @ before), TINY)] * 2)

    def _through(self, node: Node, source: str, behind: Weights) -> Weights:
        """A function of single numbers changes noise as it changes the signal; what is added just before it is no part of that."""
        before, after = self.seen.variance[source], self.seen.variance[node.output]
        alike = np.where(before > 0, after / np.maximum(before, TINY), 0)
        if node.output not in self.seen.unchanged:
            return behind * alike
        passed: Weights = np.stack([alike, self.seen.unchanged[node.output]]) * behind[0]
        return passed
