"""Trials of one layer: its samples, and what a choice of exponents and integers is worth."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture, Rounding
from tvm_re2na.codegen.arithmetic import halves
from tvm_re2na.codegen.graph.bounds import sum_range
from tvm_re2na.decibels import floored_decibels
from tvm_re2na.quantize.accumulators import shrink_to_fit
from tvm_re2na.quantize.agreement import ImageSum
from tvm_re2na.quantize.exponents import PART
from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.limits import sum_of_squares
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.observe import Extremes
from tvm_re2na.quantize.options import Guarantee, QuantizeOptions
from tvm_re2na.quantize.plan import IntArray, Integers, QuantizationPlan
from tvm_re2na.quantize.ranges import activation_bounds, seen_range
from tvm_re2na.quantize.rounding import Matrix, WeightSearch, parts_of
from tvm_re2na.quantize.samples import Samples, groups
from tvm_re2na.quantize.scales import is_sum, nearest, rounded
from tvm_re2na.quantize.transposed import weight_of
from tvm_re2na.runtime.products import multiply
from tvm_re2na.runtime.result import Int8Array

Sums = npt.NDArray[np.float64]  # by part of the images and output, (parts, O)


@dataclass(frozen=True)
class Choice:
    """Exponents and integers for one layer, and the squared error of its result over the samples."""

    e_w: int
    e_y: int
    integers: Integers
    error: float


class _Products:
    """What weights make of the rows (G, P, O), without a bias; extremes by output (G, 1, O). Where a bias is added, the extremes
    stay those of the same values."""

    def __init__(self, values: Matrix, parts: Sequence[slice]) -> None:
        self.values = values
        self.parts = parts

    @cached_property
    def sums(self) -> Sums:
        return sums_by_part(self.values, self.parts)

    @cached_property
    def low(self) -> Matrix:
        low: Matrix = self.values.min(1, keepdims=True)
        return low

    @cached_property
    def high(self) -> Matrix:
        high: Matrix = self.values.max(1, keepdims=True)
        return high


class LayerTrials:
    """Matrices are one per group: `rows` (G, P, K) are int8, `targets` and `wanted` (G, P, O) the float network's sums and
    results, weights (G, K, O)."""

    def __init__(
        self,
        net: Net,
        plan: QuantizationPlan,
        layer: Layer,
        seen: Extremes,
        samples: Samples,
        source: Int8Array,
        arch: Architecture,
        options: QuantizeOptions,
    ) -> None:
        self.plan = plan
        self.arch = arch
        self.options = options
        self.groups = groups(layer)
        self.limits = plan.weights_of(layer)
        self.e_x = plan.exponent(layer.source)
        self.weight = weight_of(net, layer.node).astype(np.float64)
        self.bias = net.constants[layer.node.inputs[2]].astype(np.float64)
        self.samples = samples
        self.rows = samples.rows(layer, source)
        self.targets = samples.targets(layer)
        self.bounds = activation_bounds(net, layer)
        self.finer = np.array(layer.finer or (0,))
        self.factors = np.ldexp(np.float32(1), -self.finer)[None, None] if layer.finer else None
        self.wanted = np.clip(self._taken_back(self.targets), *self.bounds)
        self.parts = parts_of(self.rows.shape[1], samples.images)
        self.seen = seen.magnitude(layer.sums)
        self.margin = seen.to_come(layer.sums, options.unseen_images) / max(self.seen, 1e-30)
        self.source = seen_range(net, plan, layer)

    def choices(self, e_w: int, results: list[int], *, together: bool = False) -> list[Choice]:
        """For weights of one exponent, rounded to nearest or together, and each result exponent: what fits the machine."""
        unit = self.e_x + e_w
        allowed = [e_y for e_y in results if 0 <= e_y - unit < self.arch.acc_bits - self.finer.max()]
        if not allowed:
            return []
        weight = self._rounded_together(e_w) if together else rounded(self.weight, e_w, self.limits)
        products = self._products(weight)
        found = []
        for e_y in allowed:
            lsbs = e_y - unit + self.finer
            integers, sums = self._with_bias(weight, products, e_w, lsbs)
            if self._fits(integers, sums, unit, halves(lsbs)):
                found.append(Choice(e_w, e_y, integers, self._error(integers, sums, unit, e_y)))
        return found

    def snr_db(self, choice: Choice) -> float:
        """Energy of the float network's result over that of the difference."""
        signal = float(np.square(self.wanted, dtype=np.float64).sum())
        return round(floored_decibels(signal, choice.error), 2)

    # ---- weights and biases

    @cached_property
    def _weight_search(self) -> WeightSearch:
        """A bias that is corrected takes up the mean of the error; one that stays is part of the sums."""
        rows, weight = self.samples.as_floats(self.rows), self._matrix(self.weight)
        step = np.float32(2.0**-self.e_x)
        if not self.options.bias_correction:
            return WeightSearch(rows, (self.targets - self._by_group(self.bias)) * step, weight, self.parts)
        pixels = rows.shape[1]
        means = np.ones((1, pixels), np.float32) @ rows  # a product is the quickest way to add integers up, and exact
        means /= np.float32(pixels)
        rows -= means
        return WeightSearch(rows, _centred(self.targets) * step, weight, self.parts)

    def _rounded_together(self, e_w: int) -> IntArray:
        scaled = self._matrix(np.ldexp(self.weight, -e_w))
        start = self._matrix(nearest(self.weight, e_w, self.limits))
        found = self._weight_search.run(2.0**e_w, scaled, start, self.limits)
        return np.rint(found.transpose(0, 2, 1)).astype(np.int64).reshape(self.weight.shape)

    def _with_bias(self, weight: IntArray, products: _Products, e_w: int, lsbs: IntArray) -> tuple[Integers, _Products]:
        """The weight with its bias, within the guarantee, and what it makes of the samples; `products` are the given weight's."""
        unit = self.e_x + e_w
        plain = whole_bias(self.bias, unit, lsbs, self.arch, self.options)
        if self.options.guarantee is Guarantee.PROVEN:
            weight = self._proven(weight, e_w, plain + halves(lsbs))
            products = self._products(weight)
        bias = plain
        # with even weights and an odd bias nothing lies halfway between two results
        even = bool(lsbs.min() > 0) and not (weight % 2).any()
        if is_sum(self.weight):
            bias = plain | 1 if even else plain  # the half rounds up, everywhere
        elif self.options.bias_correction:
            missing = plain + self._agreed_mean(np.ldexp(self._target_sums, -unit) - products.sums, plain)
            corrected = 2 * np.floor(missing / 2) + 1 if even else np.rint(missing)
            bias = self._provable(weight, corrected.astype(np.int64), plain, halves(lsbs))
        return Integers(weight, bias), products

    @cached_property
    def _target_sums(self) -> Sums:
        return sums_by_part(self.targets, self.parts)

    def _agreed_mean(self, missing: Sums, bias: IntArray) -> npt.NDArray[np.float64]:
        """Of what outputs miss beyond their bias, the share on which the images agree, (O,)."""
        found = ImageSum()
        for part, lost in zip(self.parts, missing, strict=True):
            found.add((lost - (part.stop - part.start) * bias).reshape(1, 1, -1))
        mean: npt.NDArray[np.float64] = found.total.reshape(-1) * found.share() / self.rows.shape[1]
        return mean

    def _proven(self, weight: IntArray, e_w: int, start: IntArray) -> IntArray:
        low, high = sum_range(weight, start, self.source)
        full = (low < self.arch.acc_min) | (high > self.arch.acc_max)
        if not full.any():
            return weight
        rows = weight.reshape(len(weight), -1).copy()
        scaled = np.ldexp(self.weight, -e_w).reshape(rows.shape)[full]
        scaled = np.clip(scaled, *self.limits)
        rows[full] = shrink_to_fit(scaled, start[full], self.source, self.arch)
        return rows.reshape(weight.shape)

    def _provable(self, weight: IntArray, corrected: IntArray, plain: IntArray, rounding: IntArray) -> IntArray:
        """The corrected biases, but for outputs whose proof they would break."""
        if self.options.guarantee is not Guarantee.PROVEN:
            return corrected
        low, high = sum_range(weight, corrected + rounding, self.source)
        return np.where((low >= self.arch.acc_min) & (high <= self.arch.acc_max), corrected, plain)

    def _taken_back(self, sums: Matrix) -> Matrix:
        """Sums (G, P, O) of channels that were scaled, as the float network has them."""
        return sums if self.factors is None else sums * self.factors.reshape(self.groups, 1, -1)

    def _products(self, weight: IntArray) -> _Products:
        return _Products(multiply(self.rows, self._matrix(weight, np.int8)), self.parts)

    def _matrix(self, weight: npt.NDArray[np.generic], kind: type = np.float32) -> npt.NDArray[Any]:
        """(O, ...) as (G, K, O / G)."""
        shaped = weight.reshape(self.groups, len(weight) // self.groups, -1).transpose(0, 2, 1)
        return np.ascontiguousarray(shaped, kind)

    def _by_group(self, bias: npt.NDArray[np.generic]) -> Matrix:
        return bias.astype(np.float32).reshape(self.groups, 1, -1)

    # ---- what a choice is worth

    def _fits(self, integers: Integers, products: _Products, unit: int, halves_added: IntArray) -> bool:
        rounding, start = int(halves_added.max()), integers.bias + halves_added
        if start.min() < self.arch.acc_min or start.max() > self.arch.acc_max:
            return False
        if self.options.guarantee is Guarantee.OFF:
            return True
        if self.options.guarantee is Guarantee.OBSERVED:
            bias = self._by_group(integers.bias)
            largest = max(float((products.high + bias).max()), -float((products.low + bias).min()))
            largest = max(largest, math.ldexp(self.seen, -unit))
            if self.options.headroom * largest + rounding > self.arch.acc_max:
                return False
            if self.margin * largest + rounding <= self.arch.acc_max:
                return True
        low, high = sum_range(integers.weight, start, self.source)
        return bool(low.min() >= self.arch.acc_min and high.max() <= self.arch.acc_max)

    def _error(self, integers: Integers, products: _Products, unit: int, e_y: int) -> float:
        """Of what leaves the accumulator: clipped by the activation, rounded half up, saturated. Part by part, in the cache."""
        groups, pixels, outputs = products.values.shape
        bias = self._by_group(integers.bias)
        step, error = max(1, PART // (groups * outputs)), 0.0
        for first in range(0, pixels, step):
            part = slice(first, first + step)
            result = products.values[:, part] + bias
            result *= np.float32(2.0**unit)
            result = self._taken_back(result)
            np.clip(result, *self.bounds, out=result)
            result *= np.float32(2.0**-e_y)
            result += np.float32(0.5)
            np.clip(np.floor(result, out=result), *self.plan.data, out=result)
            result *= np.float32(2.0**e_y)
            result -= self.wanted[:, part]
            error += sum_of_squares(result)
        return error


def whole_bias(
    bias: npt.NDArray[np.floating], unit: int, lsbs: IntArray, arch: Architecture, options: QuantizeOptions
) -> IntArray:
    """The file's bias in units of 2**unit. The file rounds half up; that a machine truncates is told by a bias that is smaller by
    the half, or made good by one that is not."""
    truncates = arch.rounding is Rounding.TRUNCATE and not options.bias_correction
    missing = halves(lsbs) if truncates else 0
    return np.rint(np.ldexp(bias.astype(np.float64), -unit)).astype(np.int64) - missing


def sums_by_part(values: Matrix, parts: Sequence[slice]) -> Sums:
    return np.stack([values[:, part].sum(1).reshape(-1) for part in parts]).astype(np.float64)


def _centred(values: Matrix) -> Matrix:
    centred: Matrix = values - values.mean(1, keepdims=True)
    return centred
