"""What the quantiser raises."""

from tvm_re2na.model_error import ModelError


class QuantizeError(ModelError):
    """The quantiser cannot use the model or the calibration data; the message names the thing, the value and the limit."""
