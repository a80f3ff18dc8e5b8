"""Networks that PyTorch quantised (PT2E) through TVM's importer, the partition and the simulator.

PyTorch rounds exact halves to even, Re²Na, and the package's integer code for the CPU, up; PyTorch rounds the sum of an addition
once, Re²Na each operand. So PyTorch's own run of the same network may differ by a step here and there. Run with the rounding of
Re²Na (`HalvesUp`), it gives the same bits.
"""
# ruff: noqa: E402

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("torchao.quantization.pt2e")

import tvm
from torch import Tensor, fx, nn
from torchao.quantization.pt2e import MinMaxObserver
from tvm import relax

from tests.relax.pt2e_network import QUANTIZE, HalvesUp, Residual, quantised
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.frontends.relax.partition import find, for_cpu
from tvm_re2na.relax import explain, lower, offloaded_functions, partition_for_re2na
from tvm_re2na.relax.pt2e import Pt2eError, from_exported_program
from tvm_re2na.runtime.library import bridge_reset, bridge_totals
from tvm_re2na.torch.pt2e import PowerOfTwoObserver, QuantizerError, Re2naQuantizer

WIDE = Architecture(acc_bits=32)  # the quantiser of these tests knows nothing of the accumulator's width
KINDS = ["conv2d", "max_pool2d", "conv2d", "add", "reshape", "dense", "dense"]
BOUNDARY = ("quantize", "dequantize")
QD = torch.ops.quantized_decomposed
Array = npt.NDArray[Any]


class Function(nn.Module):
    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.function = function

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x)


class Clamped(Function):
    """A clamp after a convolution that gives what it gets."""

    def __init__(self, clamp: Callable[[Tensor], Tensor]) -> None:
        super().__init__(clamp)
        self.layer = nn.Conv2d(3, 3, 1, groups=3, bias=False)
        nn.init.ones_(self.layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(self.layer(x))


class InPlace(nn.Module):
    """As torchvision's networks are written."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.norm = nn.Conv2d(3, 3, 3, padding="same"), nn.BatchNorm2d(3)
        self.conv2 = nn.Conv2d(3, 3, 1)
        self.relu, self.relu6 = nn.ReLU(inplace=True), nn.ReLU6(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.norm(self.conv1(x)))
        y = self.conv2(x)
        y += x
        return self.relu6(y)


class PerChannel(nn.Module):
    """A convolution as PT2E writes one, its weights with a scale per channel; it is added to its bias. Many results saturate."""

    def __init__(self, scales: list[float], bias: list[float] | None = None, low: int = -128, high: int = 127) -> None:
        super().__init__()
        self.range = low, high
        self.register_buffer("weight", torch.randint(-127, 128, (2, 3, 3, 3), dtype=torch.int8))
        self.register_buffer("scales", torch.tensor(scales))
        self.register_buffer("zeros", torch.zeros(2, dtype=torch.int64))
        self.bias = None if bias is None else nn.Parameter(torch.tensor(bias).reshape(-1))

    def forward(self, x: Tensor) -> Tensor:
        x = through_int8(x, 0.03125)
        weight = QD.dequantize_per_channel.default(self.weight, self.scales, self.zeros, 0, -127, 127, torch.int8)
        sums = nn.functional.conv2d(x, weight)
        if self.bias is not None:
            sums = self.bias.reshape(1, -1, 1, 1) + sums
        return through_int8(sums, 2.0, *self.range)


def through_int8(x: Tensor, scale: float, low: int = -128, high: int = 127) -> Tensor:
    given = scale, 0, low, high, torch.int8
    return QD.dequantize_per_tensor.default(QD.quantize_per_tensor.default(x, *given), *given)


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(0)


@pytest.fixture
def images() -> Tensor:
    return torch.randn(4, 3, 8, 8)


@pytest.fixture
def network() -> nn.Module:
    return Residual()


def imported(model: nn.Module, *inputs: Tensor) -> tvm.IRModule:
    with torch.no_grad():
        return from_exported_program(torch.export.export(model, inputs), unwrap_unit_return_tuple=True)


def run(mod: tvm.IRModule, images: Tensor, target: str = "llvm") -> Array:
    machine = relax.VirtualMachine(tvm.compile(mod, target=target), tvm.cpu())
    return machine["main"](tvm.runtime.tensor(images.numpy())).numpy()


def on_cpu(mod: tvm.IRModule, images: Tensor) -> Array:
    return run(for_cpu(find(mod)), images)


def on_re2na(mod: tvm.IRModule, images: Tensor) -> Array:
    return run(relax.transform.RunCodegen()(partition_for_re2na(mod, arch=WIDE)), images, "re2na")


def halves_up(model: nn.Module, images: Tensor) -> Array:
    with torch.no_grad():
        return HalvesUp(torch.fx.symbolic_trace(model)).run(images).numpy()


def steps_apart(model: fx.GraphModule, images: Tensor, other: Array) -> float:
    """The largest difference from PyTorch's own run, in steps of the result."""
    *_, dequantize, _ = model.graph.nodes
    with torch.no_grad():
        return float(np.abs(model(images).numpy() - other).max() / dequantize.args[1])


def kept(mod: tvm.IRModule) -> list[Explanation]:
    """The operators left on the CPU, without those at the boundary of the quantised part."""
    return [e for e in explain(mod, arch=WIDE) if not e.offloaded and e.op not in BOUNDARY]


@pytest.mark.parametrize(
    "options",
    [{}, {"quantise_bias": False}, {"fold": False}, {"narrow": True}, {"bits": 4}],
    ids=["int32 bias", "float bias", "weights not folded", "-127..127", "4 bits"],
)
def test_a_network_is_one_region_with_the_bits_of_pytorch(
    network: nn.Module, images: Tensor, options: dict[str, Any]
) -> None:
    """Images outside the calibrated range saturate. Other roundings inside the network travel on: a few steps at its end."""
    model = quantised(network, images, **options)
    mod = imported(model, images)
    partitioned = partition_for_re2na(mod, arch=WIDE)
    regions = [lower(function, symbol, WIDE) for symbol, function in offloaded_functions(partitioned)]
    assert [[op.kind for op in graph.ops] for graph in regions] == [KINDS]
    images = 1.5 * images
    cpu = on_cpu(mod, images)
    np.testing.assert_array_equal(on_re2na(mod, images), cpu)
    np.testing.assert_array_equal(halves_up(model, images), cpu)
    assert steps_apart(model, images, cpu) <= 4


@pytest.mark.parametrize("kind", ["conv2d", "dense"])
def test_an_operator_differs_from_pytorch_by_a_step_where_halves_are_rounded(kind: str, images: Tensor) -> None:
    """With the weights 1 and -1 the sums are sums of the data; the result's step is a few times as large as theirs."""
    layer, x = (nn.Conv2d(3, 4, 3), images) if kind == "conv2d" else (nn.Linear(8, 64), images[:, 0, 0])
    with torch.no_grad():
        layer.weight.sign_()
        layer.bias.zero_()
    model = quantised(layer, x)
    cpu = on_cpu(imported(model, x), x)
    np.testing.assert_array_equal(halves_up(model, x), cpu)
    assert steps_apart(model, x, cpu) == 1


def test_the_scales_of_pytorchs_observers_stay_on_the_cpu(network: nn.Module, images: Tensor) -> None:
    mod = imported(quantised(network, images, observer=MinMaxObserver), images)
    assert {(e.op, e.rule) for e in kept(mod)} >= {(op, "power_of_two_scales") for op in ("conv2d", "add", "dense")}


def test_a_float_bias_between_two_steps_of_the_sum_stays_on_the_cpu(images: Tensor) -> None:
    """It is computed there in floating point, as in PyTorch: no bit differs."""
    layer = nn.Conv2d(3, 4, 3)
    with torch.no_grad():
        layer.bias.fill_(1 / 3)
    model = quantised(layer, images, quantise_bias=False)
    mod = imported(model, images)
    assert [(e.op, e.rule) for e in kept(mod)] == [("conv2d", "constant_bias")]
    assert steps_apart(model, images, on_cpu(mod, images)) == 0


@pytest.mark.parametrize(
    "clamp",
    [nn.ReLU6(), nn.Hardtanh(-0.5, 0.75), nn.Hardtanh(), lambda x: x.clamp(max=2), lambda x: x.clamp(-2)],
    ids=["relu6", "hardtanh", "hardtanh of no bounds", "clamp max", "clamp min"],
)
def test_clamps_keep_their_bounds(clamp: Callable[[Tensor], Tensor], images: Tensor) -> None:
    """TVM's importer alone takes every hardtanh, that of ReLU6 too, for one of -1..1."""
    images = 8 * images
    model = quantised(Clamped(clamp), images)
    mod = imported(model, images)
    assert not kept(mod)
    cpu = on_cpu(mod, images)
    np.testing.assert_array_equal(on_re2na(mod, images), cpu)
    np.testing.assert_array_equal(halves_up(model, images), cpu)
    with torch.no_grad():
        expected = Clamped(clamp)(images)
    assert cpu.max() == expected.max() or cpu.min() == expected.min()


def test_normalisation_is_folded_and_dropout_leaves_no_trace(images: Tensor) -> None:
    layers = [
        nn.Conv2d(3, 4, 3, bias=False),
        nn.BatchNorm2d(4),
        nn.ReLU(),
        nn.Dropout(),
        nn.Flatten(),
        nn.Linear(144, 2),
    ]
    model = quantised(nn.Sequential(*layers), images)
    mod = imported(model, images)
    assert len(list(offloaded_functions(partition_for_re2na(mod, arch=WIDE)))) == 1
    np.testing.assert_array_equal(on_re2na(mod, images), halves_up(model, images))


def test_operators_in_place_are_quantised(images: Tensor) -> None:
    model = quantised(InPlace(), images)
    mod = imported(model, images)
    assert not kept(mod)
    re2na = on_re2na(mod, images)
    np.testing.assert_array_equal(re2na, on_cpu(mod, images))
    np.testing.assert_array_equal(re2na, halves_up(model, images))


def test_what_a_clamp_and_others_read_is_quantised_before_the_clamp(images: Tensor) -> None:
    model = quantised(Clamped(lambda x: torch.relu(x) - x), images)
    (layer,) = (node for node in model.graph.nodes if node.target is torch.ops.aten.conv2d.default)
    assert [user.target for user in layer.users] == [QUANTIZE]


def test_the_addition_of_a_number_stays_on_the_cpu(images: Tensor) -> None:
    mod = imported(quantised(nn.Sequential(nn.Conv2d(3, 4, 3), Function(lambda x: x + 0.5)), images), images)
    assert [e.op for e in kept(mod)] == ["add"]


def test_the_scales_ignore_the_accumulator_whose_overflows_are_counted() -> None:
    """400 products of 64 and 64 are 25 times what 17 bits hold."""
    layer, x = nn.Linear(400, 2, bias=False), torch.ones(1, 400)
    nn.init.ones_(layer.weight)
    mod = imported(quantised(layer, x), x)
    bridge_reset()
    wrapped = run(relax.transform.RunCodegen()(partition_for_re2na(mod)), x, "re2na")
    assert bridge_totals()["overflows"] > 0
    assert (wrapped != on_cpu(mod, x)).all()
    np.testing.assert_array_equal(on_re2na(mod, x), on_cpu(mod, x))


def test_average_pooling_stays_on_the_cpu(images: Tensor) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, 2))
    mod = imported(quantised(network, images), images)
    assert [(e.op, e.rule) for e in kept(mod)] == [("nn.adaptive_avg_pool2d", "exact_average")]


@pytest.mark.parametrize("scales, rule", [([0.5, 0.5], None), ([0.5, 0.25], "per_tensor_scales")])
def test_scales_per_channel_must_be_equal(scales: list[float], rule: str | None, images: Tensor) -> None:
    model = PerChannel(scales)
    mod = imported(model, images)
    assert [e.rule for e in explain(mod) if e.op == "conv2d"] == [rule]
    if rule is None:
        np.testing.assert_array_equal(on_re2na(mod, images), halves_up(model, images))


@pytest.mark.parametrize("low, high", [(-127, 127), (-8, 7)])
def test_a_range_narrower_than_int8_is_kept(low: int, high: int, images: Tensor) -> None:
    model = PerChannel([0.5, 0.5], low=low, high=high)
    mod = imported(model, images)
    assert not kept(mod)
    cpu = on_cpu(mod, images)
    assert (cpu.min(), cpu.max()) == (2.0 * low, 2.0 * high)
    np.testing.assert_array_equal(on_re2na(mod, images), cpu)
    np.testing.assert_array_equal(halves_up(model, images), cpu)


def test_a_bias_may_stand_on_the_left(images: Tensor) -> None:
    mod = imported(PerChannel([0.5, 0.5], bias=[0.25, -3.0]), images)
    assert not kept(mod)
    np.testing.assert_array_equal(on_re2na(mod, images), on_cpu(mod, images))


@pytest.mark.parametrize(
    "function, message",
    [
        (lambda x: QD.quantize_per_tensor.tensor(x, x.max(), torch.tensor(0), -128, 127, torch.int8), "computed by"),
        (lambda x: QD.dequantize_per_tensor.default(x.to(torch.int8), 0.5, 0, -256, 255, torch.int8), "quant_min -256"),
        (lambda x: QD.dequantize_per_tensor.default(x.to(torch.int8), 0.5, 128, 0, 1, torch.int8), "zero point 128"),
        (lambda x: QD.quantize_per_tensor.default(x, 0.5, 0, 0, 9, torch.uint16), "type torch.uint16"),
        (lambda x: QD.quantize_per_tensor.default(x, 0.5, 0, 0, 9, torch.int32), "type int32"),
        (lambda x: torch.add(x, x, alpha=2), "alpha 2"),
    ],
    ids=["dynamic", "range", "zero point", "type", "wide", "alpha"],
)
def test_what_cannot_be_imported_is_named(function: Callable[[Tensor], Tensor], message: str, images: Tensor) -> None:
    with pytest.raises(Pt2eError, match=message):
        imported(Function(function), images)


@pytest.mark.parametrize(
    "low, high, scale", [(-1.0, 0.5, 2**-6), (0.0, 127.5, 1.0), (-127.75, 0.0, 2.0), (0.0, 0.0, 2**-23)]
)
def test_the_observer_rounds_its_scale_up(low: float, high: float, scale: float) -> None:
    observer = PowerOfTwoObserver()
    observer(torch.tensor([low, high]))
    assert [tuple(found.shape) for found in observer.calculate_qparams()] == [(1,), (1,)]
    assert tuple(map(float, observer.calculate_qparams())) == (scale, 0.0)


@pytest.mark.parametrize("values", [[1.0, float("inf")], [float("-inf")], [float("nan"), 1.0]])
def test_values_that_are_not_finite_have_no_scale(values: list[float]) -> None:
    observer = PowerOfTwoObserver()
    observer(torch.tensor(values))
    with pytest.raises(QuantizerError, match=r"observed values .*(inf|nan).*, must be finite"):
        observer.calculate_qparams()


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: Re2naQuantizer(bits=1), r"bits = 1, must be a whole number in 2\.\.8"),
        (lambda: Re2naQuantizer(bits=9), r"bits = 9, must be a whole number in 2\.\.8"),
        (lambda: Re2naQuantizer(bits=4.0), r"bits = 4\.0, must be a whole number in 2\.\.8"),  # type: ignore[arg-type]
        (lambda: Re2naQuantizer(observer="minmax"), "observer = 'minmax', must be an observer class"),
        (lambda: PowerOfTwoObserver(dtype=torch.uint8), r"dtype = torch\.uint8, must be torch\.int8"),
        (
            lambda: PowerOfTwoObserver(qscheme=torch.per_tensor_affine),
            r"qscheme = torch\.per_tensor_affine, must be torch\.per_tensor_symmetric",
        ),
    ],
    ids=["bits below", "bits above", "bits not whole", "observer", "dtype", "qscheme"],
)
def test_bad_arguments_are_named(make: Callable[[], object], message: str) -> None:
    with pytest.raises(QuantizerError, match=message):
        make()


def test_only_the_module_of_pt2e_needs_torchao() -> None:
    """Nor does it know TVM."""
    code = (
        "import sys; sys.modules['tvm'] = None; import tvm_re2na.torch; assert 'torchao' not in sys.modules\n{}"
        "import tvm_re2na.torch.pt2e"
    )
    assert python(code.format("")).returncode == 0
    without = python(code.format("sys.modules['torchao'] = None; "))
    assert "ImportError: torchao is not installed: pip install 'tvm_re2na[pt2e]'" in without.stderr


def python(code: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
