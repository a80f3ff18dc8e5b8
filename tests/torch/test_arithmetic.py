"""Single layers against the C simulator: results and overflows of any machine; gradients against the float layer's."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

torch = pytest.importorskip("torch")

from tvm_re2na.codegen.arch import AccOverflow, Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.arithmetic import half
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import GraphBuilder
from tvm_re2na.codegen.graph.ops import Conv2d, Cut, Dense, Window
from tvm_re2na.runtime.library import Simulator
from tvm_re2na.torch import QAdd, QConv2d, QInput, QLinear, QReLU
from tvm_re2na.torch.layers import QLinearLayer


@st.composite
def machines(draw: st.DrawFn) -> Architecture:
    return Architecture(
        data_bits=draw(st.sampled_from([8, 8, 5, 3, 2])),
        acc_bits=draw(st.sampled_from([17, 17, 12, 9, 32])),
        acc_overflow=draw(st.sampled_from(list(AccOverflow))),
        cut_overflow=draw(st.sampled_from(list(CutOverflow))),
        rounding=draw(st.sampled_from(list(Rounding))),
    )


@settings(max_examples=60, deadline=None)
@given(arch=machines(), seed=st.integers(0, 10_000), groups=st.sampled_from([1, 1, 2, 4]), lsb=st.integers(0, 7))
def test_convolutions(arch: Architecture, seed: int, groups: int, lsb: int) -> None:
    rng = np.random.default_rng(seed)
    stride, dilation = (int(rng.integers(1, 3)) for _ in range(2))
    pads = tuple(int(size) for size in rng.integers(0, 3, 4))
    layer = QConv2d(4, 8, (3, 2), stride=stride, dilation=dilation, groups=groups, pads=pads)
    window = Window((3, 2), (stride, stride), pads, (dilation, dilation))
    weight, bias, x = given_integers(rng, arch, layer, lsb, (2, 4, 8, 9))
    builder = GraphBuilder("conv")
    source = builder.input("x", x.shape)
    cut = Cut(lsb, arch.data_min, arch.data_max)
    builder.append(Conv2d("conv", (source,), "y", weight, machine_bias(bias, lsb, arch), window, groups, cut))
    same_as_simulator(builder, arch, layer, x)


@settings(max_examples=40, deadline=None)
@given(arch=machines(), seed=st.integers(0, 10_000), lsb=st.integers(0, 7))
def test_dense_layers(arch: Architecture, seed: int, lsb: int) -> None:
    rng = np.random.default_rng(seed)
    layer = QLinear(24, 10)
    weight, bias, x = given_integers(rng, arch, layer, lsb, (3, 24))
    builder = GraphBuilder("dense")
    source = builder.input("x", x.shape)
    cut = Cut(lsb, arch.data_min, arch.data_max)
    builder.append(Dense("dense", (source,), "y", weight, machine_bias(bias, lsb, arch), cut))
    same_as_simulator(builder, arch, layer, x)


def given_integers(
    rng: np.random.Generator, arch: Architecture, layer: QLinearLayer, lsb: int, shape: tuple[int, ...]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Random integers of the machine, put into the layer as real numbers."""
    layer.arch, layer.input_exponent, layer.weight_exponent, layer.exponent = arch, -3, -4, lsb - 7
    layer.count_overflows = True
    low, high = arch.data_min, arch.data_max + 1
    weight = rng.integers(low, high, layer.weight.shape).astype(np.int8)
    room = min(1000, arch.acc_max - half(lsb))
    bias = rng.integers(-room - 1, room + 1, len(weight)) if room > 0 else np.zeros(len(weight), np.int64)
    with torch.no_grad():
        layer.weight.copy_(torch.from_numpy(weight * 2.0**-4))
        layer.bias.copy_(torch.from_numpy(bias * 2.0**-7))
    return weight, bias, rng.integers(low, high, shape).astype(np.int8)


def machine_bias(bias: np.ndarray, lsb: int, arch: Architecture) -> np.ndarray:
    """A machine that truncates finds the rounding half in its bias."""
    return (bias + half(lsb) - arch.half(lsb)).astype(np.int32)


def same_as_simulator(builder: GraphBuilder, arch: Architecture, layer: QLinearLayer, x: np.ndarray) -> None:
    run = Simulator(compile_graph(builder.build(["y"]), arch)).run([x])
    with torch.no_grad():
        result = layer(torch.from_numpy(x * np.float32(2.0**-3)))
    integers = (result.numpy() * 2.0**-layer.exponent).astype(np.int64)
    np.testing.assert_array_equal(integers.reshape(run.outputs[0].shape), run.outputs[0])
    assert layer.overflows == run.counters.total.overflows


def test_the_gradient_is_the_float_layers_within_the_range() -> None:
    torch.manual_seed(0)
    layer = QLinear(6, 4)
    plain = torch.nn.Linear(6, 4)
    plain.load_state_dict({name: value for name, value in layer.state_dict().items() if name in ("weight", "bias")})
    layer.input_exponent, layer.weight_exponent, layer.exponent = -4, -7, -4
    x = torch.randint(-8, 8, (5, 6)) * 2.0**-4
    first, second = x.clone().requires_grad_(), x.clone().requires_grad_()
    layer(first).sum().backward()
    plain(second).sum().backward()
    torch.testing.assert_close(layer.weight.grad, plain.weight.grad)
    torch.testing.assert_close(layer.bias.grad, plain.bias.grad)
    rounded, _ = layer.integers()
    torch.testing.assert_close(first.grad, (rounded * 2.0**-7).sum(0).expand(5, 6))
    assert second.grad is not None


def test_what_saturates_has_no_gradient() -> None:
    layer = QLinear(2, 1)
    layer.input_exponent, layer.weight_exponent, layer.exponent = 0, -6, -6
    with torch.no_grad():
        layer.weight.fill_(1.5)  # 96 steps
        layer.bias.zero_()
    layer(torch.tensor([[100.0, 100.0]])).sum().backward()  # 300 lies far above 127 / 64
    assert not layer.weight.grad.any()
    for module, inside, outside in ((QReLU(6.0), 3.0, 7.0), (QInput(), 1.0, 99.0)):
        module.exponent = -4
        x = torch.tensor([inside, outside], requires_grad=True)
        module(x).sum().backward()
        assert x.grad.tolist() == [1.0, 0.0]


def test_additions_saturate() -> None:
    layer = QAdd()
    layer.exponent = -4
    left, right = torch.tensor([1.0, 7.0, -8.0]), torch.tensor([0.5, 7.0, -8.0])
    assert layer(left, right).tolist() == [1.5, 127 / 16, -8.0]


def test_the_input_rounds_halves_away_from_zero_as_tvm_does() -> None:
    layer = QInput()
    layer.exponent = 0
    assert layer(torch.tensor([0.5, -0.5, 1.5, -1.5, 200.0])).tolist() == [1.0, -1.0, 2.0, -2.0, 127.0]


def test_exponents_that_no_cut_joins_are_named() -> None:
    layer = QLinear(2, 2)
    with pytest.raises(ValueError, match="no exponents yet"):
        _ = layer.unit
    layer.input_exponent, layer.weight_exponent, layer.exponent = 0, 0, -1
    with pytest.raises(ValueError, match=r"a cut of -1 bits is outside 0\.\.16"):
        layer(torch.zeros(1, 2))
