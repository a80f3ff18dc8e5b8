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

    def __init__(self) -> None:
        self.parts = 0
        self.total: npt.NDArray[np.floating] = np.zeros((1, 1, 1))
        self._energies: Shares = np.zeros(1)

    def add(self, part: npt.NDArray[np.floating]) -> None:
        """`part` is the caller's no more."""
        self._energies = self._energies + energy(part)
        if self.parts:
            self.total += part
        else:
            self.total = part
        self.parts += 1

    def share(self) -> Shares:
        """From 0, chance alone, which one part alone is for all that is known, to 1, all parts are alike."""
        return agreed(self.parts, self._energies, energy(self.total))


def agreed(parts: int, energies: Shares, whole: Shares) -> Shares:
    """The share of a sum on which its parts agree, from their energies, added up, and its own (G,)."""
    if parts < 2:
        return np.zeros(len(whole))
    chance = parts / (parts - 1) * (energies - whole / parts)
    return np.clip(1 - chance / np.maximum(whole, 1e-30), 0, 1)


def energy(values: npt.NDArray[np.floating]) -> Shares:
    """Squares of (G, M, N), added up (G,)."""
    found: Shares = np.einsum("gij,gij->g", values, values).astype(np.float64)
    return found
