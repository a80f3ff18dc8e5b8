"""How large the numbers of a network may be.

Squares of weights within their limit, a hundred million of them added up, are float32 numbers still; so are sums of values within
theirs, and the step of every exponent that the search tries. Beyond it nothing that is computed here would mean anything.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tvm_re2na.quantize.errors import QuantizeError
from tvm_re2na.quantize.layers import QuantisedLayers
from tvm_re2na.quantize.net import Array, Net

LARGEST_WEIGHT, LARGEST_VALUE = 50, 110  # exponents of 2
MOST_BYTES = 2**30  # of all tensors of one run, which are held at once; of one image where the batch is open


def image_bytes(net: Net) -> int:
    """Of all tensors together, for one image, as far as their shapes are known."""
    batch = net.batch or 1
    sizes = (math.prod(size for size in shape if size) for shape in net.shapes.values())
    return sum(sizes) * np.dtype(np.float32).itemsize // batch


def check_size(net: Net) -> None:
    """Raises QuantizeError for a network whose tensors take more than MOST_BYTES."""
    batch = net.batch or 1
    total = image_bytes(net) * batch
    if total > MOST_BYTES:
        raise QuantizeError(
            f"the tensors of one run (batch {batch}) are {total:,} bytes, at most {MOST_BYTES:,} are computed"
        )


def check_layers(net: Net, quantised: QuantisedLayers) -> None:
    """Raises QuantizeError unless weights and biases, as they are after folding and equalising, are within the limit."""
    for layer in quantised.layers:
        for kind, name in zip(("weights", "biases"), layer.node.inputs[1:3], strict=True):
            check_values(f"{layer.name}: {kind}", net.constants[name], LARGEST_WEIGHT)


def check_values(what: str, values: Array, largest: int = LARGEST_VALUE) -> None:
    """Raises QuantizeError unless all are finite and at most 2**`largest`."""
    if values.size and not (found := float(np.abs(values).max())) <= 2.0**largest:
        limit = f"2**{largest} = {2.0**largest:.4g}"
        raise QuantizeError(f"{what} reach {found:g}, the quantiser takes numbers of at most {limit}")


def sum_of_squares(values: npt.NDArray[np.float32]) -> float:
    """Squares are float32 numbers, which is quicker, unless that is too little for them."""
    with np.errstate(over="ignore"):
        found = float(np.square(values).sum(dtype=np.float64))
    return found if math.isfinite(found) else float(np.square(values, dtype=np.float64).sum())
