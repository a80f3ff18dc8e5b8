"""Which exponents a tensor could have, and what it would lose with each."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tvm_re2na.quantize.limits import sum_of_squares
from tvm_re2na.quantize.observe import Extremes, TensorValues
from tvm_re2na.quantize.options import IntegerRange

FINEST = 4  # candidate exponents per tensor: the one that clips nothing, and this many less one finer ones
PART = 2**17  # values: half a megabyte


def coarsest_exponent(magnitude: float, limits: IntegerRange) -> int:
    """The smallest exponent with which `magnitude` is not clipped; 0 for a tensor of zeros."""
    return math.ceil(math.log2(magnitude / limits[1])) if magnitude > 0 else 0


class ExponentErrors:
    """Squared errors of tensors, summed batch by batch, for the exponents that the extremes `seen` leave them.

    The extremes grow with the batches. Errors are kept for one exponent more than there are candidates, the next coarser one: a
    tensor whose extremes rise by more than that is `incomplete`, and its batches have to be added again, to another instance.
    """

    def __init__(self, names: list[str], limits: IntegerRange, seen: Extremes) -> None:
        self.limits = limits
        self.seen = seen
        self._errors: dict[str, dict[int, float]] = {name: {} for name in names}
        self._energy = dict.fromkeys(names, 1e-30)

    def add(self, values: TensorValues) -> None:
        """A batch whose extremes are seen."""
        for name, known in self._errors.items():
            if not self.seen.magnitude(name):  # zeros, which lose nothing
                continue
            coarsest = coarsest_exponent(self.seen.magnitude(name), self.limits)
            energy, errors = _energy_and_errors(values[name], range(coarsest + 1, coarsest - FINEST, -1), self.limits)
            self._energy[name] += energy
            self._errors[name] = {
                e: known.get(e, 0.0) + error for e, error in errors.items() if not known or e in known
            }

    def incomplete(self) -> list[str]:
        return [
            name
            for name, known in self._errors.items()
            if self.seen.magnitude(name) and not self._candidates(name) <= known.keys()
        ]

    def relative(self) -> dict[str, npt.NDArray[np.float64]]:
        """Shares of each tensor's energy, (FINEST,), the coarsest exponent's first; of the tensors that are complete."""
        done = [name for name in self._errors if name not in self.incomplete()]
        return {
            name: np.array([self._errors[name].get(e, 0.0) for e in sorted(self._candidates(name), reverse=True)])
            / self._energy[name]
            for name in done
        }

    def _candidates(self, name: str) -> set[int]:
        coarsest = coarsest_exponent(self.seen.magnitude(name), self.limits)
        return set(range(coarsest - FINEST + 1, coarsest + 1))


def _energy_and_errors(
    values: npt.NDArray[np.float32], exponents: range, limits: IntegerRange
) -> tuple[float, dict[int, float]]:
    """Part by part, in the cache. Steps are powers of two, so that errors may be summed in units of one."""
    flat = values.reshape(-1)
    energy, errors = 0.0, dict.fromkeys(exponents, 0.0)
    for first in range(0, flat.size, PART):
        part = flat[first : first + PART]
        energy += sum_of_squares(part)
        for exponent in exponents:
            scaled = np.ldexp(part, np.int32(-exponent))
            error = np.rint(scaled)
            np.clip(error, *limits, out=error)
            error -= scaled
            errors[exponent] += math.ldexp(sum_of_squares(error), 2 * exponent)
    return energy, errors
