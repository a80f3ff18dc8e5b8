"""What the quantiser raises."""


class QuantizeError(ValueError):
    """The model or the calibration data cannot be used; the message names the thing, the value and the limit."""
