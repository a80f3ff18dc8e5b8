"""Rounding weights together: the integers of least error of the layer's output, not of the weights.

The squared error of the sums, ||rows @ weight - targets||^2, is a quadratic function of the weights; with the others held, the best
integer for one weight is known in closed form. Coordinate descent sweeps over the inputs until nothing moves (the objective is
AdaRound's, Nagel et al. 2020; the solver is that of QuantEase, Behdin et al. 2023).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from tvm_re2na.quantize.agreement import ImageSum, Shares, agreed, energy
from tvm_re2na.quantize.options import IntegerRange
from tvm_re2na.runtime.descent import descend

SWEEPS = 4
DAMPING = 0.01  # of the mean input energy: holds weights near their float values where the samples say little
PARTS = 16  # into which the images are divided, to see what they agree on
LARGEST_INPUTS = 8192  # the matrix of inputs by inputs stays below 256 MiB

Matrix = npt.NDArray[np.float32]  # one per group of the layer


class WeightSearch:
    """For rows (G, P, K) of integers and targets (G, P, O) of real numbers, in steps of the rows; `weight` (G, K, O) are the float
    weights, each of `parts` the rows of other images.

    The error is a quadratic form of what the integers differ from the float weights by: the inputs' second moments, and a slope for
    what the layers before have lost. Of both the share is taken on which the images agree: where there is none, of the moments the
    diagonal is left, and the best integers are the nearest.
    """

    def __init__(self, rows: Matrix, targets: Matrix, weight: Matrix, parts: Sequence[slice]) -> None:
        lost = rows @ weight
        lost -= targets
        slope = ImageSum()
        for part in parts:
            slope.add(rows[:, part].transpose(0, 2, 1) @ lost[:, part])
        self._slope = slope.total
        self._slope *= slope.share().astype(np.float32)[:, None, None]
        self._gram, share = _second_moments(rows, parts)
        diagonal = np.arange(rows.shape[2])
        own = self._gram[:, diagonal, diagonal]
        self._gram *= share.astype(np.float32)[:, None, None]
        self._gram[:, diagonal, diagonal] = own + DAMPING * own.mean(1, keepdims=True) + np.float32(1e-3)

    def run(self, unit: float, scaled: Matrix, start: Matrix, limits: IntegerRange) -> Matrix:
        """Integer weights (G, K, O) such that rows @ weights * unit is near the targets; `scaled` are the float weights in steps of
        the integers, `start` the integers to begin with."""
        left = self._gram @ (scaled - start)
        left -= self._slope / np.float32(unit)
        left, weight = _by_output(left), _by_output(start)
        descend(self._gram, left, weight, limits, SWEEPS)
        return weight.transpose(0, 2, 1)


def _second_moments(rows: Matrix, parts: Sequence[slice]) -> tuple[Matrix, Shares]:
    """Of the inputs, summed over all rows (G, K, K), and the share of them off the diagonal on which the parts agree. Where a part
    has fewer rows than inputs, the products between its rows have the same energy as the moments, and are fewer."""
    total, energies = rows.transpose(0, 2, 1) @ rows, np.zeros(len(rows))
    for part in parts:
        own = rows[:, part]
        turned = own.transpose(0, 2, 1)
        energies += energy(own @ turned if own.shape[1] < own.shape[2] else turned @ own)
        energies -= np.square(np.einsum("gpk,gpk->gk", own, own)).sum(1)
    own_moments = np.square(np.einsum("gkk->gk", total)).sum(1)
    return total, agreed(len(parts), energies, energy(total) - own_moments)


def parts_of(pixels: int, images: int) -> list[slice]:
    """Of the rows, each of as many images as the others, or one more."""
    count = min(images, PARTS)
    edges = [pixels // images * (images * part // count) for part in range(count + 1)]
    return [slice(*ends) for ends in itertools.pairwise(edges)]


def _by_output(values: Matrix) -> Matrix:
    """(G, K, O) as (G, O, K), in memory of its own."""
    return np.array(values.transpose(0, 2, 1), order="C")
