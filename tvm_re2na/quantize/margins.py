"""How large a sum becomes on images that nobody has seen.

An image's largest sum is the largest of many, so Gumbel's distribution is fitted to those of the images that were seen, and tells
the largest of those to come. It is fitted to their square roots: on trained networks the tails of sums were longer than Gumbel's,
and shorter than those of its logarithmic form. The fit is by L-moments (Hosking 1990), for which few images do.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

SPREAD = 0.06  # of the roots, relative: what it was in trained networks
KNOWN = 2  # images of that spread, added to those that were seen


def largest_to_come(largest: npt.NDArray[np.floating], images: int) -> float:
    """The largest value of so many images, from the largest of each of n that were seen (n,), none negative; 0 for no images."""
    roots = np.sort(np.sqrt(largest, dtype=np.float64))
    count, mean = len(roots), float(roots.mean())
    if not (mean and images):
        return 0.0
    ranks = np.arange(count)
    spread = 2 * float(ranks @ roots) / (count * (count - 1)) / mean - 1 if count > 1 else 0.0
    spread = (spread * (count - 1) + SPREAD * KNOWN) / (count - 1 + KNOWN)
    spread *= 1 + 1 / math.sqrt(count)  # about its standard error more
    scale = mean * spread / math.log(2)
    return float((mean + scale * (math.log(images) - np.euler_gamma)) ** 2)
