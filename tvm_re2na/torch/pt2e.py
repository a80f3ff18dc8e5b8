"""PyTorch's own quantisation (PT2E) with the scales of Re²Na: power-of-two observers and a quantiser. Needs torchao.

    prepared = prepare_pt2e(torch.export.export(model, (image,)).module(), Re2naQuantizer())
    for image in calibration_images:
        prepared(image)
    converted = convert_pt2e(prepared)

`tvm_re2na.relax.pt2e.from_exported_program` imports the result into TVM once `torch.export.export` exported it.

The scales come from the observed ranges alone. They know nothing of the machine's 17-bit accumulator: sums may overflow, which the
simulator computes and counts (`tvm_re2na.runtime.library.bridge_totals`), and results are then wrong. `tvm_re2na.quantize` and
`tvm_re2na.torch.convert` choose scales that avoid that; prefer them where you can choose.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, fx

from tvm_re2na.codegen.errors import Re2naError

try:
    from torchao.quantization.pt2e import MinMaxObserver
    from torchao.quantization.pt2e.quantizer import (
        DerivedQuantizationSpec,
        QuantizationAnnotation,
        QuantizationSpec,
        Quantizer,
        SharedQuantizationSpec,
    )
    from torchao.quantization.pt2e.quantizer.quantizer import Q_ANNOTATION_KEY
except ImportError as error:
    raise ImportError("torchao is not installed: pip install 'tvm_re2na[pt2e]'") from error

__all__ = ["PowerOfTwoObserver", "QuantizerError", "Re2naQuantizer"]

ATEN = torch.ops.aten
LINEAR = (ATEN.conv2d.default, ATEN.conv2d.padding, ATEN.linear.default)
ADD = (ATEN.add.Tensor, ATEN.add_.Tensor)
SAME_SCALE = (ATEN.max_pool2d.default, ATEN.flatten.using_ints)
CLAMPS = (
    ATEN.relu.default,
    ATEN.relu_.default,
    ATEN.relu6.default,
    ATEN.relu6_.default,
    ATEN.hardtanh.default,
    ATEN.hardtanh_.default,
    ATEN.clamp.default,
    ATEN.clamp_.default,
)
SYMMETRIC = torch.per_tensor_symmetric
NARROWEST, WIDEST = 2, 8  # bits of the data


class QuantizerError(Re2naError, ValueError):
    """An argument or an observed value that the machine has no scale for; the message names it, the value and the limit."""


class PowerOfTwoObserver(MinMaxObserver):
    """torchao's MinMaxObserver with its scale rounded up to a power of two, and the zero point 0.

    It takes the keywords of MinMaxObserver: `dtype` is int8 and `qscheme` per_tensor_symmetric by default, and must be. Tensors of
    any shape are observed, in units of the real numbers; one scale is found for all of them. Raises QuantizerError.
    """

    def __init__(self, **keywords: Any) -> None:
        keywords = {"dtype": torch.int8, "qscheme": SYMMETRIC, **keywords}
        for name, only in (("dtype", torch.int8), ("qscheme", SYMMETRIC)):
            if keywords[name] != only:
                raise QuantizerError(f"{name} = {keywords[name]}, must be {only}")
        super().__init__(**keywords)

    def calculate_qparams(self) -> tuple[Tensor, Tensor]:
        """Scale, float32 of shape (1,), and zero point, int64 of shape (1,). Raises QuantizerError for values not finite."""
        low, high = float(self.min_val), float(self.max_val)
        unused = low > high
        if not unused and not abs(low) + abs(high) < float("inf"):
            raise QuantizerError(f"observed values {low}..{high}, must be finite")
        scale, zero = super().calculate_qparams()
        return torch.exp2(torch.ceil(torch.log2(scale))), zero


class Re2naQuantizer(Quantizer):
    """A quantiser for `prepare_pt2e` that gives Re²Na's operators int8 values with one symmetric power-of-two scale per tensor.

    These are conv2d and linear, the addition of two tensors, max_pool2d and flatten, and the ReLU, ReLU6, hardtanh or clamp that
    alone follows one. All else stays in floating point. `prepare_pt2e` folds batch normalisation before.

    bits: width of activations, 2 to 8; they take -2**(bits-1)..2**(bits-1)-1. Weights are int8, -127..127.
    narrow: activations leave out the lowest number of that range.
    quantise_bias: biases become int32 at the scale of the sum, that of the data times that of the weights; else they stay float32,
        and a layer whose bias is no multiple of that scale is not offloaded.
    observer: what finds a scale, an observer class of torchao; the scales of another than the default may not be powers of two,
        and what has such a scale is not offloaded.

    Raises QuantizerError. See the module about the accumulator, which scales do not take into account.
    """

    def __init__(
        self,
        *,
        bits: int = 8,
        narrow: bool = False,
        quantise_bias: bool = True,
        observer: Any = PowerOfTwoObserver,
    ) -> None:
        if not isinstance(bits, int) or not NARROWEST <= bits <= WIDEST:
            raise QuantizerError(f"bits = {bits!r}, must be a whole number in {NARROWEST}..{WIDEST}")
        if not hasattr(observer, "with_args"):
            raise QuantizerError(
                f"observer = {observer!r}, must be an observer class of torchao (one with `with_args`)"
            )
        super().__init__()
        limit = 2 ** (bits - 1)
        self.quantise_bias = quantise_bias
        self._data = _int8(observer, -limit + narrow, limit - 1)
        self._weight = _int8(observer, -127, 127)

    def annotate(self, model: fx.GraphModule) -> fx.GraphModule:
        """Say of every operator how its inputs and its result are quantised; PyTorch calls this."""
        for node in model.graph.nodes:
            if node.target in LINEAR:
                _annotate(node, self._linear(node), self._data)
            elif node.target in ADD and all(isinstance(operand, fx.Node) for operand in node.args):
                _annotate(node, dict.fromkeys(node.args, self._data), self._data)
            elif node.target in SAME_SCALE:
                data = node.args[0]
                _annotate(node, {data: self._data}, SharedQuantizationSpec((data, node)))
        return model

    def validate(self, model: fx.GraphModule) -> None:
        """Nothing is refused: what the machine does not have stays on the CPU."""

    def _linear(self, node: fx.Node) -> dict[fx.Node, Any]:
        data, weight, bias = (*node.args, None)[:3]
        specs: dict[fx.Node, Any] = {data: self._data, weight: self._weight}
        if bias is not None and self.quantise_bias:
            edges = [(data, node), (weight, node)]
            specs[bias] = DerivedQuantizationSpec(
                edges, _scale_of_sum, torch.int32, -(2**31), 2**31 - 1, qscheme=SYMMETRIC
            )
        return specs


def _annotate(node: fx.Node, inputs: dict[fx.Node, Any], output: Any) -> None:
    node.meta[Q_ANNOTATION_KEY] = QuantizationAnnotation(input_qspec_map=inputs, _annotated=True)
    users = list(node.users)
    last = users[0] if len(users) == 1 and users[0].target in CLAMPS else node
    last.meta.setdefault(Q_ANNOTATION_KEY, QuantizationAnnotation(_annotated=True)).output_qspec = output


def _int8(observer: Any, low: int, high: int) -> QuantizationSpec:
    given = {"dtype": torch.int8, "quant_min": low, "quant_max": high, "qscheme": SYMMETRIC}
    return QuantizationSpec(torch.int8, observer.with_args(**given), low, high, SYMMETRIC)


def _scale_of_sum(observers: list[Any]) -> tuple[Tensor, Tensor]:
    data, weight = (observer.calculate_qparams()[0] for observer in observers)
    return data * weight, torch.zeros(1, dtype=torch.int32)
