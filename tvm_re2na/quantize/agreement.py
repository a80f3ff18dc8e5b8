"""What a sum over some images says of other images.

Each image adds its own part to the sum. As much as the parts differ, the sum is chance, and these images' own; what they agree on
is the rest. That share of a sum is the estimate of least expected error (James and Stein 1961; of matrices of second moments Ledoit
and Wolf 2004, of their elements off the diagonal Schäfer and Strimmer 2005).
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

Shares = npt.NDArray[np.float64]


class ImageSum:
    """A sum of parts (G, M, N), each of other images; shares are (G,)."""

    def __init__(self, *, symmetric: bool = False) -> None:
        """The diagonal of a `symmetric` sum has no say: it is known well."""
        self.symmetric = symmetric
        self.parts = 0
        self.total: npt.NDArray[np.floating] = np.zeros((1, 1, 1))
        self._energies: Shares = np.zeros(1)

    def add(self, part: npt.NDArray[np.floating]) -> None:
        """`part` is the caller's no more."""
        self._energies = self._energies + self._energy(part)
        if self.parts:
            self.total += part
        else:
            self.total = part
        self.parts += 1

    def share(self) -> Shares:
        """From 0, chance alone, which one part alone is for all that is known, to 1, all parts are alike."""
        if self.parts < 2:
            return np.zeros(len(self.total))
        energy = self._energy(self.total)
        chance = self.parts / (self.parts - 1) * (self._energies - energy / self.parts)
        return np.clip(1 - chance / np.maximum(energy, 1e-30), 0, 1)

    def _energy(self, values: npt.NDArray[np.floating]) -> Shares:
        found: Shares = np.einsum("gij,gij->g", values, values).astype(np.float64)
        if self.symmetric:
            found -= np.square(np.einsum("gii->gi", values)).sum(1)
        return found
