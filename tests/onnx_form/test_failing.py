"""Where the library fails: the model stays as it is, and a warning names the step and the reason."""

from __future__ import annotations

from typing import Any

import onnx
import pytest

from tests.quantize.networks import FloatNet
from tvm_re2na.onnx_form import normalise, steps
from tvm_re2na.quantize.fold import fold, is_linear
from tvm_re2na.quantize.net import from_onnx
from tvm_re2na.quantize.pool import pools_to_convolutions


def fail(*_: Any) -> None:
    raise KeyError("first\nsecond")


@pytest.mark.parametrize(
    ("function", "step"),
    [("fold", "compute constants"), ("settle_shapes", "compute shapes"), ("rewrite", "rewrite operators")],
)
def test_a_step_that_fails(monkeypatch: pytest.MonkeyPatch, function: str, step: str) -> None:
    net = FloatNet()
    model = net.build(net.conv("input", 3, 4, auto_pad="SAME_UPPER"))
    monkeypatch.setattr(steps, function, fail)
    with pytest.warns(UserWarning, match=rf"model 'net' stays as it is: cannot {step} \(KeyError: 'first") as told:
        assert normalise(model) is model
    assert len(told) == 1


def test_an_operator_that_the_converter_does_not_know(monkeypatch: pytest.MonkeyPatch) -> None:
    net = FloatNet()
    model = net.build(net.add("Dropout", net.conv("input", 3, 4)))
    model.opset_import[0].version = 22
    monkeypatch.setattr(onnx.version_converter, "convert_version", fail)
    with pytest.warns(UserWarning, match=r"keeps its opset: cannot convert opset 22 to 21"):
        assert normalise(model).opset_import[0].version == 22


def test_a_result_that_does_not_load(monkeypatch: pytest.MonkeyPatch) -> None:
    net = FloatNet()
    model = net.build(net.conv("input", 3, 4, auto_pad="SAME_UPPER"))

    def spoil(graph: Any) -> None:
        next(iter(graph.graph)).op_type = "Nonsense"

    monkeypatch.setattr(steps, "rewrite", spoil)
    with pytest.warns(UserWarning, match="stays as it is: cannot load the result"):
        assert normalise(model) is model


def test_what_is_left_with_its_padding_stays_in_float() -> None:
    """Nothing behind reads `auto_pad`: a layer with it is none that could be quantised."""

    model = FloatNet()
    x = model.add(
        "AveragePool", model.conv("input", 3, 4, auto_pad="SAME_UPPER"), kernel_shape=[2, 2], auto_pad="VALID"
    )
    net = from_onnx(model.build(model.conv(x, 4, 2)))
    fold(net)
    pools_to_convolutions(net, 2**9)
    assert [node.op for node in net.nodes] == ["Conv", "AveragePool", "Conv"]
    assert [is_linear(net, node) for node in net.nodes] == [False, False, True]
