"""What a user may choose."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

from tvm_re2na.quantize.errors import QuantizeError

Progress: TypeAlias = Callable[[str, int, int], None]


@dataclass(frozen=True)
class QuantizeOptions:
    """Knobs of the scale search; the defaults are what the tests and the documentation measure.

    headroom: an accumulator may reach `1 / headroom` of its range on the calibration images. Images that come later are
        different, and what overflows wraps to the other sign, so room is kept; 1.25 costs at most a third of a bit.
    error_images: how many calibration images the search for activation exponents looks at; extremes come from all of them.
    """

    headroom: float = 1.25
    error_images: int = 64

    def __post_init__(self) -> None:
        if not 1.0 <= self.headroom <= 64.0:
            raise QuantizeError(f"headroom = {self.headroom} is outside 1..64")
        if self.error_images < 1:
            raise QuantizeError(f"error_images = {self.error_images}, at least 1 is needed")
