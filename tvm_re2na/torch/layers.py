"""The layers: ordinary modules whose values are real numbers, multiples of a power of two, and whose forward pass is the machine's.

A layer knows the machine and its exponents; weights and biases stay float parameters and are rounded in the forward pass, so that
any optimiser trains them. Until exponents are set (by `convert`, `calibrate` or by hand), the forward pass is the float layer's.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvm_re2na.codegen.arch import AccOverflow, Architecture
from tvm_re2na.torch import arithmetic
from tvm_re2na.torch.onnx_nodes import OnnxNode
from tvm_re2na.torch.saturating import saturating_convolution

Pads = tuple[int, int, int, int]  # top, left, bottom, right, as in ONNX


LINEAR_STATE = ("input_exponent", "weight_exponent", "weight_limits", "input_limits", "bound")


class QLayer(nn.Module):
    """What all layers share, and what a layer of your own derives from.

    Write `forward` for tensors that are multiples of 2**self.exponent (`self.quantise` makes them so again) and `onnx`. An operator
    that Re²Na has not runs on the CPU. `from_float` makes a layer of yours from the float module it stands for.
    """

    arch: Architecture
    exponent: int | None  # of the result
    narrower: tuple[int, int] | None  # limits of the result's integers, where they are not the machine's

    def init_machine(self) -> None:
        """Call it behind the base class's __init__."""
        self.arch = Architecture()
        self.exponent = self.narrower = None

    @property
    def limits(self) -> tuple[int, int]:
        """The integers that a result may be."""
        return self.narrower or (self.arch.data_min, self.arch.data_max)

    @classmethod
    def from_float(cls, module: nn.Module) -> QLayer:
        """A layer like `module`: by default one made without arguments."""
        del module
        return cls()

    def onnx(self) -> OnnxNode | Sequence[OnnxNode]:
        raise NotImplementedError(f"{type(self).__name__}.onnx: which operator this layer is in ONNX")

    def quantise(self, x: Tensor) -> Tensor:
        """x as multiples of 2**exponent within the data's range, halves upward; x itself until there is an exponent."""
        if self.exponent is None:
            return x
        return arithmetic.scale(arithmetic.quantise(x, self.exponent, self.limits), self.exponent)

    def get_extra_state(self) -> dict[str, Any]:
        return {"arch": self.arch.as_words(), "exponent": self.exponent, "narrower": self.narrower}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        self.arch = Architecture.from_words(state["arch"])
        self.exponent, self.narrower = state["exponent"], state["narrower"]


class QInput(QLayer):
    """The network's input, quantised as the CPU does it before the machine: halves away from zero."""

    def __init__(self) -> None:
        super().__init__()
        self.init_machine()

    def forward(self, x: Tensor) -> Tensor:
        if self.exponent is None:
            return x
        return arithmetic.scale(arithmetic.quantise(x, self.exponent, self.limits, away=True), self.exponent)

    def onnx(self) -> OnnxNode:
        return OnnxNode("Identity")


class QLinearLayer(QLayer):
    """A convolution or a dense layer: `input_exponent`, `weight_exponent` and the result's `exponent` make the cut.

    `weight_limits`: the integers that weights may be, the machine's by default. `overflows` counts the sums that did not fit the
    accumulator, as the simulator does, while `count_overflows` is set. `bound` keeps any input within `input_limits` from making
    such a sum (see `arithmetic.bounded`). `uncut` is the result before the cut, in real numbers, while
    `keep_uncut` is set: a loss sees more in it than in what is left of two bits.
    """

    weight: nn.Parameter
    bias: nn.Parameter | None
    input_exponent: int | None
    weight_exponent: int | None

    def init_machine(self) -> None:
        super().init_machine()
        self.input_exponent = self.weight_exponent = None
        self.weight_limits: tuple[int, int] | None = None
        self.input_limits: tuple[int, int] | None = None
        self.bound: arithmetic.Bound | None = None
        self.count_overflows = False
        self.overflows = 0
        self.keep_uncut = False
        self.uncut: Tensor | None = None
        self.register_buffer("mask", None)

    def get_extra_state(self) -> dict[str, Any]:
        return super().get_extra_state() | {name: getattr(self, name) for name in LINEAR_STATE}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        for name in LINEAR_STATE:
            setattr(self, name, state.get(name))

    @property
    def unit(self) -> int:
        """Exponent of the sums."""
        if self.input_exponent is None or self.weight_exponent is None:
            raise ValueError(f"{type(self).__name__}: no exponents yet: calibrate the model first")
        return self.input_exponent + self.weight_exponent

    @property
    def lsb(self) -> int:
        """Bits that are cut off the sums. Raises ValueError for exponents that no cut joins."""
        lsb = (self.exponent or 0) - self.unit
        if not 0 <= lsb < self.arch.acc_bits:
            raise ValueError(f"{type(self).__name__}: a cut of {lsb} bits is outside 0..{self.arch.acc_bits - 1}")
        return lsb

    def kept_weight(self) -> Tensor:
        """The float weight without what was pruned."""
        return self.weight if self.mask is None else self.weight * self.mask

    def by_output(self, weight: Tensor) -> Tensor:
        """The parameter with the output channels first, or such a tensor as the parameter has it."""
        return weight

    def integers(self) -> tuple[Tensor, Tensor]:
        """Weight, output channels first, and bias as the QDQ file holds them, with straight-through gradients."""
        limits = self.weight_limits or (self.arch.data_min, self.arch.data_max)
        kept = self.by_output(self.kept_weight())
        bias = torch.zeros(len(kept), device=kept.device)
        if self.bias is not None:
            bias = arithmetic.quantise_constant(self.bias, self.unit)
        if self.bound is not None and self.weight.requires_grad:
            bound = self.bound if self.mask is None else "norm"  # what is pruned stays 0
            source = self.input_limits or (self.arch.data_min, self.arch.data_max)
            scaled = arithmetic.scale(kept, -(self.weight_exponent or 0))
            start = bias.detach() + arithmetic.rounding_half(self.lsb)
            return arithmetic.bounded(scaled, start, source, limits, self.arch, bound), bias
        return arithmetic.quantise_constant(kept, self.weight_exponent or 0, limits), bias

    def forward(self, x: Tensor) -> Tensor:
        if self.exponent is None:
            return self.product(x, self.by_output(self.kept_weight()), self.bias)
        weight, bias = self.integers()
        exact = arithmetic.exact_type(weight, bias, self.arch)
        inputs = arithmetic.scale(x, -(self.input_exponent or 0)).to(exact)
        start = bias.to(exact) + arithmetic.rounding_half(self.lsb)
        sums = self._sums(inputs, weight.to(exact), start)
        if self.keep_uncut:
            self.uncut = arithmetic.scale(sums - arithmetic.rounding_half(self.lsb), self.unit).to(x.dtype)
        results = arithmetic.cut(sums, self.lsb, self.arch).clamp(*self.limits)
        return arithmetic.scale(results, self.exponent).to(x.dtype)

    def _sums(self, inputs: Tensor, weight: Tensor, start: Tensor) -> Tensor:
        if self.arch.acc_overflow is AccOverflow.SATURATE:
            sums, clipped = self.saturating_product(inputs, weight, start)
            self.overflows += clipped if self.count_overflows else 0
            return sums
        sums = self.product(inputs, weight, start)
        if self.count_overflows:
            self.overflows += arithmetic.overflows(sums.detach(), self.arch)
        return sums

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """The layer's linear function."""
        raise NotImplementedError

    def saturating_product(self, x: Tensor, weight: Tensor, start: Tensor) -> tuple[Tensor, int]:
        """The same with an accumulator that saturates at every step, and how often it did."""
        raise NotImplementedError


class QConv2d(QLinearLayer, nn.Conv2d):
    """nn.Conv2d on Re²Na: (N, C, H, W) -> (N, O, H', W'). `pads` (top, left, bottom, right) goes beyond `padding`."""

    def __init__(self, *args: Any, pads: Pads | None = None, **options: Any) -> None:
        super().__init__(*args, **options)
        self.init_machine()
        if isinstance(self.padding, str) or self.padding_mode != "zeros":
            raise ValueError(
                f"QConv2d: padding {self.padding!r}, mode {self.padding_mode!r}: expected numbers and zeros"
            )
        rows, columns = self.padding
        self.pads: Pads = pads or (int(rows), int(columns), int(rows), int(columns))

    @classmethod
    def from_float(cls, module: nn.Module) -> QConv2d:
        if not isinstance(module, nn.Conv2d):
            raise TypeError(f"QConv2d.from_float: {type(module).__name__}, expected Conv2d")
        sizes = module.in_channels, module.out_channels, module.kernel_size
        layer = cls(*sizes, module.stride, module.padding, module.dilation, module.groups, bias=True)
        return take_parameters(layer, module)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.conv2d(self._padded(x), weight, bias, self.stride, 0, self.dilation, self.groups)

    def _padded(self, x: Tensor) -> Tensor:
        top, left, bottom, right = self.pads
        return F.pad(x, (left, right, top, bottom)) if any(self.pads) else x

    def saturating_product(self, x: Tensor, weight: Tensor, start: Tensor) -> tuple[Tensor, int]:
        padded = self._padded(x)
        return saturating_convolution(padded, weight, start, self.stride, self.dilation, self.groups, self.arch)

    def onnx(self) -> OnnxNode:
        attributes = {
            "kernel_shape": list(self.kernel_size),
            "strides": list(self.stride),
            "dilations": list(self.dilation),
            "group": self.groups,
            "pads": list(self.pads),
        }
        return OnnxNode("Conv", (self.kept_weight(), self.bias), attributes)


class QLinear(QLinearLayer, nn.Linear):
    """nn.Linear on Re²Na: (N, K) -> (N, O)."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.init_machine()

    @classmethod
    def from_float(cls, module: nn.Module) -> QLinear:
        if not isinstance(module, nn.Linear):
            raise TypeError(f"QLinear.from_float: {type(module).__name__}, expected Linear")
        return take_parameters(cls(module.in_features, module.out_features), module)

    def product(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        return F.linear(x, weight, bias)

    def saturating_product(self, x: Tensor, weight: Tensor, start: Tensor) -> tuple[Tensor, int]:
        sums, clipped = arithmetic.saturating_sums(x[:, :, None], weight, start, self.arch)
        return sums[:, :, 0], clipped

    def onnx(self) -> OnnxNode:
        return OnnxNode("Gemm", (self.kept_weight(), self.bias), {"transB": 1})


class QClip(QLayer):
    """Values between `low` and `high`, as integers of the result nearest to them; an activation the array applies with its cut."""

    def __init__(self, low: float = -math.inf, high: float = math.inf) -> None:
        super().__init__()
        self.init_machine()
        self.low, self.high = low, high

    def forward(self, x: Tensor) -> Tensor:
        return x.clamp(self._bound(self.low), self._bound(self.high))

    def _bound(self, value: float) -> float:
        if self.exponent is None or math.isinf(value):
            return value
        return math.ldexp(math.floor(math.ldexp(value, -self.exponent) + 0.5), self.exponent)

    def onnx(self) -> OnnxNode:
        bounds = (None if math.isinf(value) else torch.tensor(value) for value in (self.low, self.high))
        return OnnxNode("Clip", tuple(bounds))

    def extra_repr(self) -> str:
        return f"{self.low}, {self.high}"


class QReLU(QClip):
    """ReLU, or ReLU1 and ReLU6 with `max_value` 1 and 6."""

    def __init__(self, max_value: float | None = None) -> None:
        super().__init__(0.0, math.inf if max_value is None else float(max_value))

    def onnx(self) -> OnnxNode:
        return OnnxNode("Relu") if math.isinf(self.high) else super().onnx()


class QMaxPool2d(QLayer, nn.MaxPool2d):
    """nn.MaxPool2d: it chooses among integers and needs no arithmetic."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.init_machine()

    @classmethod
    def from_float(cls, module: nn.Module) -> QMaxPool2d:
        if not isinstance(module, nn.MaxPool2d):
            raise TypeError(f"QMaxPool2d.from_float: {type(module).__name__}, expected MaxPool2d")
        return cls(module.kernel_size, module.stride, module.padding, module.dilation, ceil_mode=module.ceil_mode)

    def onnx(self) -> OnnxNode:
        kernel, stride, padding, dilation = (
            [size, size] if isinstance(size, int) else list(size)
            for size in (self.kernel_size, self.stride, self.padding, self.dilation)
        )
        attributes = {"kernel_shape": kernel, "strides": stride, "dilations": dilation, "pads": padding * 2}
        return OnnxNode("MaxPool", (), attributes | {"ceil_mode": int(self.ceil_mode)})


class QAdd(QLayer):
    """The sum of two tensors of one exponent."""

    def __init__(self) -> None:
        super().__init__()
        self.init_machine()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        return self.quantise(x + y)

    def onnx(self) -> OnnxNode:
        return OnnxNode("Add")


def QSumPool2d(
    channels: int,
    kernel_size: tuple[int, int],
    stride: tuple[int, int] | None = None,
    padding: tuple[int, int] = (0, 0),
    weight: float = 1.0,
) -> QConv2d:
    """Average pooling in the form that is exact on integers: a depthwise convolution with weights 1, which are not trained.

    Divide the weights of the linear layer behind it by the number of values; `convert` does. Where there is none, `weight` is that
    share of one, and the average is rounded.
    """
    layer = QConv2d(channels, channels, kernel_size, stride or kernel_size, padding, groups=channels)
    with torch.no_grad():
        layer.weight.fill_(weight)
        if layer.bias is not None:
            layer.bias.zero_()
    return layer.requires_grad_(False)


def take_parameters(layer: Any, module: nn.Module) -> Any:
    """The layer with the weight and bias of the float module."""
    with torch.no_grad():
        layer.weight.copy_(module.weight)
        if module.bias is None:
            layer.bias.zero_()
        else:
            layer.bias.copy_(module.bias)
    return layer.train(module.training)
