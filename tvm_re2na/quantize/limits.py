"""How large the numbers of a network may be.

Squares of what is within the limit, a hundred million of them added up, are float32 numbers still, and so is the step of every
exponent that the search tries. Beyond it nothing that is computed here would mean anything.
"""

from __future__ import annotations

import math

import numpy as np

from tvm_re2na.quantize.errors import QuantizeError
from tvm_re2na.quantize.layers import QuantisedLayers
from tvm_re2na.quantize.net import Array, Net

LARGEST = 2.0**50
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
            check_values(f"{layer.name}: {kind}", net.constants[name])


def check_values(what: str, values: Array) -> None:
    """Raises QuantizeError unless all are finite and within the limit."""
    if values.size and not (largest := float(np.abs(values).max())) <= LARGEST:
        raise QuantizeError(f"{what} reach {largest:g}, the quantiser takes numbers of at most 2**50 = {LARGEST:.4g}")
