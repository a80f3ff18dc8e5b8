"""What newer networks are made of: functions of single numbers, products, channels taken apart, transposed convolutions."""

from __future__ import annotations

from collections.abc import Callable

import pytest

torch = pytest.importorskip("torch")

import torch.nn.functional as F
from torch import Tensor, nn

from tests.torch.exported import NETWORKS, Gate, Net, block, trained
from tests.torch.networks import assert_one_answer
from tvm_re2na.codegen.arch import AccOverflow, Architecture
from tvm_re2na.codegen.graph.bounds import sum_range
from tvm_re2na.quantize import QuantizeOptions
from tvm_re2na.quantize.options import Guarantee, WeightRounding
from tvm_re2na.torch import ConvertError, QConvTranspose2d, QFunction, convert, fine_tune, replace_layers
from tvm_re2na.torch.arithmetic import bounded
from tvm_re2na.torch.layers import QLinearLayer

QUICK = QuantizeOptions(rounding=WeightRounding.NEAREST)
FUNCTIONS: tuple[Callable[[], nn.Module], ...] = (
    *(nn.Sigmoid, nn.Tanh, nn.Hardswish, nn.SiLU, nn.GELU, nn.Mish, nn.ELU, nn.SELU, nn.Softsign, nn.Hardsigmoid),
    *(lambda: nn.GELU("tanh"), lambda: nn.LeakyReLU(0.1, inplace=True), lambda: nn.PReLU(init=0.3)),
    lambda: nn.Hardswish(inplace=True),
)
FUNCTIONAL = (
    *(F.sigmoid, torch.sigmoid, F.tanh, torch.tanh, F.hardswish, F.hardsigmoid, F.silu, F.mish, F.gelu, F.elu, F.selu),
    *(F.softsign, F.leaky_relu, lambda x: x.sigmoid(), lambda x: x * torch.sigmoid(x), lambda x: F.hardsigmoid(x) * x),
    lambda x: F.leaky_relu(x, negative_slope=0.2),
)


def gates() -> nn.Module:
    """All functions, each behind a layer of its own, squeeze-and-excitation by both gates, an average that nothing linear reads."""
    parts = [part for made in FUNCTIONS for part in (nn.Conv2d(8, 8, 1), made())]
    excited = Gate(8, nn.Hardsigmoid()), block(8, 8, act=nn.SiLU), Gate(8, nn.Sigmoid())
    return nn.Sequential(block(3, 8, 2), *parts, *excited, nn.Conv2d(8, 5, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def _apart(m: nn.Module, x: Tensor) -> Tensor:
    """A unit of ShuffleNet, and the way up of a U-Net."""
    left, right = m.a(x).chunk(2, dim=1)
    x = torch.cat((left, m.b(right)), dim=1)
    images, channels, rows, columns = x.size()
    x = x.view(images, 2, channels // 2, rows, columns)
    x = torch.transpose(x, 1, 2).contiguous().view(images, -1, rows, columns)
    up = torch.cat([F.interpolate(x, scale_factor=2), m.up(x[:, 2:6])], 1)
    return m.fc(m.c(up).mean([2, 3]))


def apart() -> nn.Module:
    up = nn.Sequential(nn.ConvTranspose2d(4, 6, 3, 2, 1, 1, bias=False), nn.BatchNorm2d(6), nn.ReLU())
    return Net(_apart, a=block(3, 8, 2), b=block(4, 4), up=up, c=block(14, 8), fc=nn.Linear(8, 5))


@pytest.mark.parametrize(("network", "arch"), [(gates, Architecture(activation_table=1)), (apart, Architecture())])
def test_a_network_has_one_answer(network: Callable[[], nn.Module], arch: Architecture) -> None:
    model, images = trained(network)
    converted = convert(model, images, arch=arch, options=QUICK)
    results = assert_one_answer(converted, images[:8], arch)
    with torch.no_grad():
        wanted = model(images[:8]).numpy()
    assert ((results - wanted) ** 2).sum() < 0.03 * (wanted**2).sum()


def same_function(model: nn.Module, images: Tensor) -> None:
    """Before it is calibrated a replaced model is the float one."""
    with torch.no_grad():
        torch.testing.assert_close(
            replace_layers(model, tuple(images.shape[1:]))(images), model(images), rtol=1e-3, atol=1e-4
        )


REPLACED = (
    *("hard_swish", "silu", "squeeze_excitation", "leaky_relu", "sigmoid", "channel_shuffle", "split", "u_net"),
    *("upsampling", "conv_transpose", "adaptive_average", "mean", "residual", "computed_shape", "view_of_numbers"),
)


@pytest.mark.parametrize("name", REPLACED)
def test_replacing_changes_no_float_network(name: str) -> None:
    same_function(*trained(NETWORKS[name]))


def test_replacing_changes_no_function() -> None:
    same_function(*trained(gates))
    same_function(*trained(apart))
    same_function(*trained(lambda: Net(lambda m, x: m.a(x) + F.avg_pool2d(x, 1) * x, a=nn.Conv2d(3, 3, 1))))
    for function in FUNCTIONAL:
        model, images = trained(lambda: nn.Sequential(block(3, 4), Net(lambda m, x: x), nn.Conv2d(4, 2, 1)))
        model[1].compute = lambda m, x, applied=function: applied(x)
        same_function(model, images)


@pytest.mark.parametrize(
    "name", ["mobilenet_v3_small", "shufflenet_v2_x1_0", "squeezenet1_1", "efficientnet_b0", "googlenet"]
)
def test_torchvisions_networks(name: str) -> None:
    models = pytest.importorskip("torchvision.models", exc_type=(ImportError, RuntimeError))
    torch.manual_seed(0)
    model = getattr(models, name)(
        weights=None, num_classes=10, **({"aux_logits": False} if name == "googlenet" else {})
    )
    same_function(model.eval(), torch.randn(2, 3, 64, 64))


def test_gradients_are_the_float_functions() -> None:
    for made in FUNCTIONS:
        layer = QFunction(made())
        layer.input_exponent, layer.exponent = -5, -6
        x = (torch.arange(-20, 20) / 32).requires_grad_()
        layer(x * 1).sum().backward()
        y = x.detach().requires_grad_()
        layer.activation(y).sum().backward()
        torch.testing.assert_close(x.grad, y.grad)


def test_a_function_leaves_its_input_alone() -> None:
    """Which others read, and the table as well."""
    x = torch.arange(-20.0, 20.0) / 32
    for made in (nn.Hardswish, nn.SiLU, nn.LeakyReLU, nn.ELU):
        results = []
        for inplace in (True, False):
            layer, given = QFunction(made(inplace=inplace)), x.clone()
            layer.input_exponent, layer.exponent = -5, -6
            results.append(layer(given))
            assert torch.equal(given, x)
        assert torch.equal(*results)


def test_a_saturating_accumulator_takes_the_steps_of_the_sum() -> None:
    """Where nothing saturates, the transposed convolution of a machine that could is that of one that wraps."""
    torch.manual_seed(2)
    layer = QConvTranspose2d(4, 6, (3, 2), stride=(2, 3), padding=(1, 0), output_padding=(1, 2), groups=2)
    layer.input_exponent, layer.weight_exponent, layer.exponent = -4, -6, -4
    x = torch.randint(-8, 8, (2, 4, 5, 4)) / 16
    wrapped = layer(x)
    layer.arch = Architecture(acc_overflow=AccOverflow.SATURATE)
    assert torch.equal(layer(x), wrapped)
    layer.arch, layer.count_overflows = Architecture(acc_bits=8, acc_overflow=AccOverflow.SATURATE), True
    layer(x)
    assert layer.overflows


@pytest.mark.parametrize("source", [(0, 127), (-128, 127), (-40, 3)])
def test_bounded_weights_overflow_for_no_input(source: tuple[int, int]) -> None:
    torch.manual_seed(1)
    arch = Architecture()
    scaled = torch.randn(64, 100, 3, 3) * torch.logspace(-1, 2, 64)[:, None, None, None]
    start = torch.randint(arch.acc_min, arch.acc_max, (64,)).float() / 2
    norms = {}
    for bound in ("norm", "centred"):
        weight = bounded(scaled, start, source, (-128, 127), arch, bound)
        low, high = sum_range(weight.long().numpy(), start.long().numpy(), source)
        assert low.min() >= arch.acc_min and high.max() <= arch.acc_max
        assert torch.equal(weight, weight.round()) and weight.abs().max() > 1
        norms[bound] = float(weight.abs().sum())
    if source[0] == 0:
        assert norms["centred"] > norms["norm"]
    plain = bounded(scaled[:1], start[:1], source, (-128, 127), arch, "norm")
    assert torch.equal(plain, scaled[:1].round())  # small ones are rounded alone
    assert not bounded(scaled[-1:], torch.tensor([float(arch.acc_max)]), (-128, 127), (-128, 127), arch, "norm").any()


def test_fine_tuning_keeps_the_proof() -> None:
    model, images = trained(lambda: nn.Sequential(block(3, 16, 2), block(16, 16), nn.Flatten(), nn.Linear(1024, 5)))
    arch = Architecture(acc_bits=14)
    options = QuantizeOptions(rounding=WeightRounding.NEAREST, guarantee=Guarantee.PROVEN)
    student = convert(model, images, arch=arch, options=options, weights="float")
    fine_tune(student, images, model, steps=4, batch=8)
    layers = [module for module in student.modules() if isinstance(module, QLinearLayer)]
    for layer in layers:
        with torch.no_grad():
            weight, bias = (tensor.long().numpy() for tensor in layer.integers())
        low, high = sum_range(weight, bias + (1 << layer.lsb >> 1), layer.input_limits or (-128, 127))
        assert low.min() >= arch.acc_min and high.max() <= arch.acc_max
    assert [layer.bound for layer in layers] == ["norm"] * 3
    assert layers[1].input_limits == (0, 127)


@pytest.mark.parametrize(
    ("made", "message"),
    [
        (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), "mode bilinear, expected nearest and whole factors"),
        (lambda: nn.Upsample(scale_factor=1.5), "expected nearest and whole factors"),
        (lambda: nn.PReLU(4), "PReLU with 4 slopes, expected one"),
        (lambda: Net(lambda m, x: x.transpose(2, 3)), r"transpose of .* expected \(N, features\) or channels"),
        (lambda: Net(lambda m, x: x.mean(1)), "mean over the axes 1, expected those of the pixels"),
        (lambda: Net(lambda m, x: x * 2), "mul has no form"),
    ],
)
def test_what_has_no_form_is_named(made: Callable[[], nn.Module], message: str) -> None:
    with pytest.raises(ConvertError, match=message):
        replace_layers(nn.Sequential(nn.Conv2d(3, 4, 1), made()), (3, 8, 8))
