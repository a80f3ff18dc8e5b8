"""Rounding weights together: the integers of least error of the layer's output, not of the weights.

The squared error of the sums, ||rows @ weight - targets||^2, is a quadratic function of the weights; with the others held, the best
integer for one weight is known in closed form. Coordinate descent sweeps over the inputs until nothing moves (the objective is
AdaRound's, Nagel et al. 2020; the solver is that of QuantEase, Behdin et al. 2023).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from tvm_re2na.quantize.options import IntegerRange
from tvm_re2na.runtime.descent import descend

SWEEPS = 4
DAMPING = 0.01  # of the mean input energy: holds weights near their float values where the samples say little
LARGEST_INPUTS = 8192  # the matrix of inputs by inputs stays below 256 MiB

Matrix = npt.NDArray[np.float32]  # one per group of the layer


class WeightSearch:
    """For rows (G, P, K) of integers and targets (G, P, O) of real numbers, in steps of the rows."""

    def __init__(self, rows: Matrix, targets: Matrix) -> None:
        turned = rows.transpose(0, 2, 1)
        self._gram = turned @ rows
        self._damping = DAMPING * np.einsum("gkk->gk", self._gram).mean(1, keepdims=True) + np.float32(1e-3)
        diagonal = np.arange(rows.shape[2])
        self._gram[:, diagonal, diagonal] += self._damping
        self._products = turned @ targets

    def run(self, unit: float, scaled: Matrix, start: Matrix, limits: IntegerRange) -> Matrix:
        """Integer weights (G, K, O) such that rows @ weights * unit is near the targets; `scaled` are the float weights in steps of
        the integers, `start` the integers to begin with."""
        wanted = self._products / np.float32(unit) + self._damping[:, :, None] * scaled
        left, weight = _by_output(wanted - self._gram @ start), _by_output(start)
        descend(self._gram, left, weight, limits, SWEEPS)
        return weight.transpose(0, 2, 1)


def _by_output(values: Matrix) -> Matrix:
    """(G, K, O) as (G, O, K), in memory of its own."""
    return np.array(values.transpose(0, 2, 1), order="C")
