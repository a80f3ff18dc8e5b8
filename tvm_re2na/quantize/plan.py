"""What the search decides: exponents of tensors and weights, then the integers themselves."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from tvm_re2na.quantize.layers import Layer, QuantisedLayers
from tvm_re2na.quantize.options import IntegerRange

IntArray = npt.NDArray[np.int64]
SPARE_BITS = 2  # cut off a product: the search may take each operand's exponent up by one


class Integers(NamedTuple):
    """A layer's weight, shaped as its float one, and bias (O,) in units of 2**(e_x + e_w), as the QDQ file holds them."""

    weight: IntArray
    bias: IntArray


@dataclass
class QuantizationPlan:
    """Exponents by group of tensors and by name of a layer's node; `integers` and `seen_db` (see LayerReport) by layer, as
    the search comes to them. `weights` and `data` are the ranges of the integers. `balanced`: groups that are coarser than their
    tensors need (`balance.py`). `wide`: layers whose weights have another range."""

    quantised: QuantisedLayers
    weights: IntegerRange
    data: IntegerRange
    group: dict[str, int]
    weight: dict[str, int]
    integers: dict[str, Integers] = field(default_factory=dict)
    seen_db: dict[str, float] = field(default_factory=dict)
    balanced: set[str] = field(default_factory=set)
    wide: dict[str, IntegerRange] = field(default_factory=dict)

    def weights_of(self, layer: Layer) -> IntegerRange:
        return self.wide.get(layer.name, self.weights)

    def exponent(self, tensor: str) -> int:
        return self.group[self.quantised.group_of[tensor]]

    def unit(self, layer: Layer) -> int:
        """Exponent of the layer's sums."""
        return self.exponent(layer.source) + self.weight[layer.name]

    def lsb(self, layer: Layer) -> int:
        """Bits that are cut off the layer's sums, of the channels of the coarsest weights."""
        return self.exponent(layer.result) - self.unit(layer)

    def lsbs(self, layer: Layer) -> IntArray:
        """The same of each output channel, (O,), or of all, (1,)."""
        return self.lsb(layer) + np.array(layer.finer or (0,))

    def make_coarser(self, layer: Layer, *, sums: bool) -> None:
        """Double the step of the layer's weights, or of what it `sums` with weights that are 1, and that of its result where the
        cut leaves no room for it."""
        if sums:
            self.group[self.quantised.group_of[layer.source]] += 1
        else:
            self.weight[layer.name] += 1
        self.group[self.quantised.group_of[layer.result]] -= min(self.lsb(layer), 0)
        self.fit_products()

    def fit_products(self) -> bool:
        """Raise the exponents of products until all of them are cut; whether any was raised."""
        before = dict(self.group)
        for product in self.quantised.products:
            least = sum(map(self.exponent, product.operands)) + SPARE_BITS
            group = self.quantised.group_of[product.result]
            self.group[group] = max(self.group[group], least)
        return self.group != before
