"""Images cut into shards: how many at a time does not depend on how many workers there are, so that any number may resume a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

MOST_IMAGES = 64  # of a shard: some seconds of work of a CPU
MOST_BYTES = 8 << 20  # of a shard's images, where it is more than one batch
PIECES = 64  # into which a small set is cut at least, so that many workers have something to do
WAITING_BYTES = 1 << 30  # of images that are sent ahead


@dataclass(frozen=True)
class Cuts:
    """`images` in shards of `size`; the last one may be smaller."""

    images: int
    size: int

    def __len__(self) -> int:
        return math.ceil(self.images / self.size)

    def span(self, index: int) -> tuple[int, int]:
        """First image, and the one behind the last."""
        return index * self.size, min((index + 1) * self.size, self.images)

    def name(self, index: int) -> str:
        start, stop = self.span(index)
        return f"images {start} to {stop - 1}"

    def sizes(self) -> list[int]:
        return [stop - start for start, stop in map(self.span, range(len(self)))]


def cut(images: int, image_bytes: int, batch: int, wanted: int | None = None, most: int = MOST_IMAGES) -> Cuts:
    """Whole batches, of `wanted` images or what suits, at most `most`; only the last batch of all may be filled up.

    Raises ValueError for fewer than one image.
    """
    if wanted is not None and wanted < 1:
        raise ValueError(f"shard = {wanted}: at least one image is needed")
    fitting = min(most, MOST_BYTES // max(image_bytes, 1), math.ceil(images / PIECES))
    return Cuts(images, batch * math.ceil(max(1, wanted or fitting) / batch))


def most_waiting(cuts: Cuts, image_bytes: int) -> int:
    """How many shards may be under way for their images' sake."""
    return max(2, WAITING_BYTES // max(1, cuts.size * image_bytes))
