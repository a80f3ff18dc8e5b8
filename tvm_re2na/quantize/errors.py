"""What the quantiser raises."""

from collections.abc import Sequence

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.model_error import ModelError


class QuantizeError(ModelError):
    """The quantiser cannot use the model or the calibration data; the message names the thing, the value and the limit."""


class SumsDoNotFitError(QuantizeError):
    """No scales were found under which the sums of these layers fit the accumulator."""

    def __init__(self, layers: Sequence[str], arch: Architecture) -> None:
        super().__init__(f"{', '.join(layers)}: no scales found under which the sums fit {arch.acc_bits} bits")
        self.layers = tuple(layers)
