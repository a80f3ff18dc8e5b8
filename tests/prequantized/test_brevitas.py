"""Networks that Brevitas exports, as QCDQ and as QONNX: signed power-of-two ones are offloaded as they are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
qnn = pytest.importorskip("brevitas.nn")
pytest.importorskip("onnxoptimizer")

from brevitas.export import export_onnx_qcdq, export_qonnx  # noqa: E402
from brevitas.quant import fixed_point  # noqa: E402
from brevitas.quant.scaled_int import Int32Bias  # noqa: E402

from tests.cli.conftest import Command  # noqa: E402
from tvm_re2na import load_dataset  # noqa: E402

SIGNED, UNSIGNED = fixed_point.Int8ActPerTensorFixedPoint, fixed_point.Uint8ActPerTensorFixedPoint
EXPORTS = {"qcdq": export_onnx_qcdq, "qonnx": export_qonnx}


def network(activation: Any, images: Any, *, thin: float) -> Any:
    """A convolution and a dense layer, their scales set by the images; `thin` of the dense weights stay."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    kind = {"weight_quant": fixed_point.Int8WeightPerTensorFixedPoint, "bias_quant": Int32Bias}

    def relu() -> Any:
        return qnn.QuantReLU(act_quant=activation, return_quant_tensor=True)

    net = torch.nn.Sequential(
        qnn.QuantIdentity(act_quant=SIGNED, return_quant_tensor=True),
        qnn.QuantConv2d(1, 6, 5, padding=2, bias=True, return_quant_tensor=True, **kind),
        relu(),
        torch.nn.MaxPool2d(2),
        torch.nn.Flatten(),
        qnn.QuantLinear(6 * 14 * 14, 10, bias=True, output_quant=SIGNED, **kind),
    )
    with torch.no_grad():
        net[5].weight.mul_(torch.rand_like(net[5].weight) < thin)
        net.train()
        net(images)
    return net.eval()


def export(kind: str, activation: Any, data: Path, path: Path, *, thin: float = 0.05) -> Path:
    images = torch.from_numpy(load_dataset(data / "mnist_calibration128.npz").x)
    names = {"input_names": ["input"], "output_names": ["output"]}
    open_batch = {"dynamic_axes": {"input": {0: "n"}, "output": {0: "n"}}, "dynamo": False, "opset_version": 17}
    EXPORTS[kind](network(activation, images, thin=thin), images[:1], str(path), **names, **open_batch)
    return path


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", EXPORTS)
def test_signed_is_offloaded_as_it_is(re2na: Command, demo_data: Path, tmp_path: Path, kind: str) -> None:
    given = export(kind, SIGNED, demo_data, tmp_path / "net.onnx")
    before = given.read_bytes()
    rows = re2na("explain", given, "--json").json
    assert [row["offloaded"] for row in rows if row["op"] in ("conv2d", "dense")] == [True] * 2
    made = re2na("requantize", given, "--calibration", demo_data / "mnist_calibration128.npz", "--json")
    assert made.code == 0, made.stderr
    assert made.json["exact"] and not made.json["written"]
    compiled = re2na("compile", given, "--output", tmp_path / "net.re2na", "--json")
    assert compiled.json["offloaded_macs_share"] == 1.0
    found = re2na("compare", given, "--data", demo_data / "mnist_calibration128.npz", "--json").json
    assert found["bit_identical"] is True
    assert found["re2na"]["overflows"] == 0
    assert given.read_bytes() == before


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("kind", EXPORTS)
@pytest.mark.parametrize("why", ["unsigned", "overflows"])
def test_the_rest_is_requantized(re2na: Command, demo_data: Path, tmp_path: Path, kind: str, why: str) -> None:
    activation, thin = (UNSIGNED, 0.05) if why == "unsigned" else (SIGNED, 1.0)
    given, requantized = (
        export(kind, activation, demo_data, tmp_path / "net.onnx", thin=thin),
        tmp_path / "requantized.onnx",
    )
    calibration = demo_data / "mnist_calibration128.npz"
    rows = [row for row in re2na("explain", given, "--json").json if row["op"] in ("conv2d", "dense")]
    assert {row["rule"] for row in rows} == ({"int8_data"} if why == "unsigned" else {None})
    made = re2na("requantize", given, "--calibration", calibration, "--output", requantized, "--json")
    assert made.code == 0, made.stderr
    assert bool(made.json["overflowing"]) == (why == "overflows")
    assert made.json["cost"]["snr_db"] > 20
    found = re2na("compare", requantized, "--data", calibration, "--json")
    assert found.code == 0, found.stderr
    assert found.json["offloaded_macs_share"] == 1.0
    assert found.json["bit_identical"] is True
    assert found.json["re2na"]["overflows"] == 0
