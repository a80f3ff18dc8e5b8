"""What a transposed convolution cuts off its result."""

from __future__ import annotations

import pytest

from tests.onnx_form.networks import after
from tests.quantize.networks import FloatNet


@pytest.mark.parametrize("mode", ["NOTSET", "SAME_UPPER", "SAME_LOWER", "VALID"])
@pytest.mark.parametrize("shape", [None, [24, 25], [26, 24]], ids=str)
def test_what_a_transposed_convolution_cuts_off_becomes_explicit(mode: str, shape: list[int] | None) -> None:
    net = FloatNet(size=12)
    attributes = {"output_shape": shape} if shape else {}
    model = net.build(
        net.add("ConvTranspose", "input", net.random(3, 4, 4, 5), auto_pad=mode, strides=[2, 2], **attributes)
    )
    made = after(model)
    assert not [a for node in made.graph.node for a in node.attribute if a.name in ("output_shape",)]
    assert mode == "NOTSET" or not [a for node in made.graph.node for a in node.attribute if a.name == "auto_pad"]
