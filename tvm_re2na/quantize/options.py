"""What a user may choose."""

from __future__ import annotations

import enum
import re
from dataclasses import dataclass
from typing import TypeAlias

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.quantize.errors import QuantizeError

NARROWEST = 2  # bits: a sign and one more
MOST_UNSEEN = 10**9


class Guarantee(enum.Enum):
    """How sure it is that no accumulator overflows.

    OBSERVED: none does on the calibration images, and each keeps the headroom. PROVEN: none can, whatever the input: the weights
    of each output are bounded so that their largest possible sum fits (the L1 bound of A2Q, Colbert et al. 2023). OFF: accumulators
    are not looked at.
    """

    OBSERVED = "observed"
    PROVEN = "proven"
    OFF = "off"


class WeightRounding(enum.Enum):
    """NEAREST: each weight on its own. SEARCHED: together, for the least error of the layer's output. AUTO: searched where a layer
    of nearest weights would lose more than `PAYS_BELOW_DB`."""

    NEAREST = "nearest"
    SEARCHED = "searched"
    AUTO = "auto"


class ScaleRule(enum.Enum):
    """SEARCHED: the exponents of least error of the layer's output. LARGEST: PyParch's rule, bits - 1 - ceil(log2(max|x|)) fraction
    bits, for weights and activations."""

    SEARCHED = "searched"
    LARGEST = "largest"


@dataclass(frozen=True)
class QuantizeOptions:
    """Knobs of the scale search; the defaults are what the tests and the documentation measure.

    headroom: an accumulator may reach `1 / headroom` of its range on the calibration images. Images that come later are
        different, and what overflows wraps to the other sign, so room is kept; more of it where the images differ much.
    unseen_images: accumulators have room for the largest sum of so many images to come as well, as the calibration images tell it;
        0: for the headroom alone, which costs less accuracy and may overflow.
    search_images: how many calibration images the search looks at; extremes come from all that are not held back, the final proof
        from those, too.
    weight_bits, activation_bits: narrower than the machine's data; None is the machine's own width.
    equalise: move a channel's scale from one layer's weights to the next's where that makes both easier to round.
    split_layers: compute channels whose steps must be far coarser than the others' in a layer of their own.
    bias_correction: biases that take back the mean error of a layer's output, and on a machine that truncates, its half.
    channel_scales: on a machine that cuts by channel (`Architecture.channel_cuts`) a convolution's weights have an exponent for
        each output channel.
    keep_float: names of operators (layers as the report lists them) that are left in float.
    skip_from: names of operators that are left in float with all that computes with their results.
    full_width: names of layers whose weights have the machine's width, whatever `weight_bits` says.
    """

    headroom: float = 1.25
    unseen_images: int = 10_000
    search_images: int = 256
    weight_bits: int | None = None
    activation_bits: int | None = None
    guarantee: Guarantee = Guarantee.OBSERVED
    rounding: WeightRounding = WeightRounding.AUTO
    scales: ScaleRule = ScaleRule.SEARCHED
    equalise: bool = True
    split_layers: bool = True
    bias_correction: bool = True
    channel_scales: bool = True
    keep_float: frozenset[str] = frozenset()
    skip_from: frozenset[str] = frozenset()
    full_width: frozenset[str] = frozenset()

    def __post_init__(self) -> None:
        if not 1.0 <= self.headroom <= 64.0:
            raise QuantizeError(f"headroom = {self.headroom} is outside 1..64")
        if not 0 <= self.unseen_images <= MOST_UNSEEN:
            raise QuantizeError(f"unseen_images = {self.unseen_images} is outside 0..{MOST_UNSEEN}")
        if self.search_images < 1:
            raise QuantizeError(f"search_images = {self.search_images}, at least 1 is needed")

    @property
    def searched(self) -> bool:
        """Whether scales are chosen for the least error that the accumulator allows."""
        return self.scales is ScaleRule.SEARCHED and self.guarantee is Guarantee.OBSERVED

    def weights_of(self, layer: str, arch: Architecture) -> IntegerRange:
        """The integers that the weights of a layer, or of a part of one, may take. Raises as `ranges`."""
        wide = not self.full_width.isdisjoint((layer, layer_of(layer)))
        return _signed(arch.data_bits) if wide else self.ranges(arch)[0]

    def ranges(self, arch: Architecture) -> tuple[IntegerRange, IntegerRange]:
        """The integers that weights and activations may take. Raises QuantizeError for a width the machine has not."""
        widths = {"weight_bits": self.weight_bits, "activation_bits": self.activation_bits}
        for name, bits in widths.items():
            if bits is not None and not NARROWEST <= bits <= arch.data_bits:
                raise QuantizeError(
                    f"{name} = {bits} is outside {NARROWEST}..{arch.data_bits}, the machine's data width"
                )
        weights, activations = (_signed(arch.data_bits if bits is None else bits) for bits in widths.values())
        return weights, activations


IntegerRange: TypeAlias = tuple[int, int]


def layer_of(name: str) -> str:
    """Of a part of a layer, by which a report names it, the layer."""
    return re.sub(r"\.part\d+$", "", name)


def _signed(bits: int) -> IntegerRange:
    return -(1 << (bits - 1)), (1 << (bits - 1)) - 1
