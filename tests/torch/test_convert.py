"""Float PyTorch models through convert, export, TVM and the simulator: one answer, whatever the machine."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import onnx
import pytest

torch = pytest.importorskip("torch")

from torch import Tensor, nn

from tests.torch.networks import Branches, Plain, Residual, assert_one_answer, made
from tvm_re2na.codegen.arch import Architecture, Rounding
from tvm_re2na.quantize import QuantizeOptions, quantize
from tvm_re2na.torch import (
    ConvertError,
    ExportError,
    OnnxNode,
    QClip,
    QConv2d,
    QInput,
    QLayer,
    QLinear,
    QMaxPool2d,
    QReLU,
    calibrate,
    convert,
    export,
    float_onnx,
    replace_layers,
)
from tvm_re2na.torch.layers import QLinearLayer


@pytest.mark.parametrize("network", [Plain, Residual, Branches])
@pytest.mark.parametrize("bits", [8, 3])
def test_a_network_has_one_answer(network: type[nn.Module], bits: int) -> None:
    model, images = made(network)
    before = copy.deepcopy(model.state_dict())
    arch = Architecture(data_bits=bits)
    converted = convert(model, images, arch=arch)
    results = assert_one_answer(converted, images, arch)
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    if bits == 8:
        wanted = model(images).detach().numpy().reshape(results.shape)
        assert np.square(results - wanted).sum() < 0.02 * np.square(wanted).sum()


def test_a_truncating_machine() -> None:
    model, images = made(Plain)
    arch = Architecture(data_bits=4, rounding=Rounding.TRUNCATE)
    options = QuantizeOptions(bias_correction=False)
    assert_one_answer(convert(model, images, arch=arch, options=options), images, arch)


def test_widths_below_the_machines() -> None:
    model, images = made(Residual)
    converted = convert(model, images, options=QuantizeOptions(weight_bits=3, activation_bits=5))
    assert_one_answer(converted, images, Architecture())
    weight, _ = converted.get_submodule("conv1").integers()
    assert weight.min() >= -4 and weight.max() <= 3


def test_the_same_as_quantising_the_onnx_model() -> None:
    model, images = made(Plain)
    converted = convert(model, images)
    known = quantize(float_onnx(converted_float(model, images), tuple(images.shape[1:])), images.numpy())
    exported = export(converted, tuple(images.shape[1:]))
    assert exported.SerializeToString() == known.model.SerializeToString()


def converted_float(model: nn.Module, images: Tensor) -> nn.Module:
    return replace_layers(model, tuple(images.shape[1:]))


def test_float_weights_are_kept_for_training() -> None:
    model, images = made(Plain)
    options = QuantizeOptions(equalise=False)
    converted = convert(model, images, weights="float", options=options)
    torch.testing.assert_close(converted.get_submodule("fc1").weight, model.fc1.weight)
    for layer in linear_layers(converted):
        layer.count_overflows = True
    loss_before, loss_after = train(converted, model, images)
    assert loss_after < 0.7 * loss_before
    assert not any(layer.overflows for layer in linear_layers(converted))
    assert_one_answer(converted.eval(), images, Architecture())


def linear_layers(model: nn.Module) -> list[QLinearLayer]:
    return [module for module in model.modules() if isinstance(module, QLinearLayer)]


def train(student: nn.Module, teacher: nn.Module, images: Tensor) -> tuple[float, float]:
    """Towards half the teacher's answers: another function, with sums that are no larger."""
    optimiser = torch.optim.Adam(student.parameters(), 1e-3)
    losses = []
    for _ in range(30):
        loss = (student(images) - teacher(images).detach() / 2).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        losses.append(float(loss.detach()))
    return losses[0], losses[-1]


def test_state_survives_a_file(tmp_path: Path) -> None:
    model, images = made(Residual)
    first = convert(model, images)
    torch.save(first.state_dict(), tmp_path / "state.pt")
    other, _ = made(Residual, seed=1)
    second = converted_float(other, images)
    second.load_state_dict(torch.load(tmp_path / "state.pt", weights_only=False))
    assert torch.equal(first(images), second(images))


def test_by_hand_in_the_manner_of_pyparch() -> None:
    torch.manual_seed(3)
    model = nn.Sequential(
        QInput(),
        QConv2d(3, 6, 3),
        QReLU(),
        QMaxPool2d(2),
        nn.Flatten(),
        QLinear(6 * 5 * 5, 10),
        QReLU(1),
        QLinear(10, 4),
    )
    images = torch.randn(16, 3, 12, 12)
    report = calibrate(model, images)
    assert [layer.name for layer in report.layers] == ["1", "5", "7"]
    assert_one_answer(model, images, Architecture())


class QHardTanh(QClip):
    """A user's activation that the array applies with its cut."""

    def __init__(self) -> None:
        super().__init__(-0.5, 0.5)


class QLeakyReLU(QLayer):
    """A user's activation that Re²Na has not: it runs on the CPU between two parts that are offloaded."""

    def __init__(self) -> None:
        super().__init__()
        self.init_machine()

    def forward(self, x: Tensor) -> Tensor:
        return self.quantise(nn.functional.leaky_relu(x, 0.25))

    def onnx(self) -> OnnxNode:
        return OnnxNode("LeakyRelu", attributes={"alpha": 0.25})


def test_layers_of_a_users_own(tmp_path: Path) -> None:
    torch.manual_seed(4)
    model = nn.Sequential(nn.Conv2d(3, 6, 3), nn.Tanhshrink(), nn.Conv2d(6, 4, 3))
    images = torch.randn(16, 3, 12, 12)
    converted = convert(model, images, layers={nn.Tanhshrink: QHardTanh})
    assert_one_answer(converted, images, Architecture())
    with pytest.raises(ConvertError, match="1: Tanhshrink has no form on Re²Na; name one of yours in `layers`"):
        convert(model, images)
    leaky = convert(model, images, layers={nn.Tanhshrink: QLeakyReLU})
    exported = export(leaky, (3, 12, 12), tmp_path / "leaky.onnx")
    assert onnx.load(tmp_path / "leaky.onnx") == exported
    assert [node.op_type for node in exported.graph.node].count("LeakyRelu") == 1


def test_what_cannot_be_converted_is_named() -> None:
    images = torch.randn(4, 3, 12, 12)
    with pytest.raises(ConvertError, match="BatchNorm2d that does not follow a convolution"):
        convert(nn.Sequential(nn.BatchNorm2d(3), nn.Conv2d(3, 4, 3)), images)
    with pytest.raises(ExportError, match=r"is not calibrated|no layer gives an exponent"):
        export(converted_float(nn.Sequential(nn.Conv2d(3, 4, 3)), images), (3, 12, 12))
