"""Functions of single numbers: tables on a machine that has them, the same tables on the CPU, and the bits of ONNX Runtime."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
from onnx import numpy_helper, parser

from tests.frontends.harness import FrontEnd, share_of_this_front_end
from tests.frontends.test_floats_between import precisely
from tests.models.topologies import quickly_quantized
from tests.quantize.networks import FloatNet, run
from tests.quantize.test_pools import snr
from tvm_re2na import frontends, load_dataset, load_model, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.ops import Lookup
from tvm_re2na.quantize import quantize

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
TABLES = Architecture(activation_table=1)

# of x, all 256 values; the last node is called `last`
FUNCTIONS = {
    "LeakyReLU": "r = LeakyRelu<alpha = 0.1>(x)",
    "PReLU": "r = PRelu(x, slope)",
    "PReLU of images": "r = PRelu(x, slope_of_images)",
    "ReLU of another scale": "r = Relu(x)",
    "ReLU6 of another scale": "r = Clip(x, nothing, six)",
    "ThresholdedReLU": "r = ThresholdedRelu<alpha = 0.5>(x)",
    "Sigmoid": "r = Sigmoid(x)",
    "HardSigmoid": "r = HardSigmoid(x)",
    "Tanh": "r = Tanh(x)",
    "SiLU": "a = Sigmoid(x) r = Mul(x, a)",
    "HardSwish": "r = HardSwish(x)",
    "HardSwish of two": "a = HardSigmoid<alpha = 0.16666667>(x) r = Mul(x, a)",
    "HardSwish of four": "a = Add(x, three) b = Clip(a, nothing, six) c = Mul(x, b) r = Div(c, six)",
    "GELU": "a = Div(x, root) b = Erf(a) c = Add(b, one) d = Mul(x, c) r = Mul(d, half)",
    "GELU of tanh": "a = Pow(x, three) b = Mul(a, small) c = Add(x, b) d = Mul(c, large) e = Tanh(d) f = Add(e, one) g = Mul(x, f)"
    " r = Mul(g, half)",
    "ELU": "r = Elu(x)",
    "SELU": "r = Selu(x)",
    "Softplus": "r = Softplus(x)",
    "Softsign": "r = Softsign(x)",
    "Mish": "a = Softplus(x) b = Tanh(a) r = Mul(x, b)",
    "Mish of one": "r = Mish(x)",
    "Exp": "r = Exp(x)",
    "Log, which has no value below 0": "r = Log(x)",
    "Sqrt, which has no value below 0": "r = Sqrt(x)",
    "Reciprocal": "r = Reciprocal(x)",
    "Sin": "r = Sin(x)",
    "Cos": "r = Cos(x)",
    "Atan": "r = Atan(x)",
    "Abs": "r = Abs(x)",
    "Neg": "r = Neg(x)",
    "Sign": "r = Sign(x)",
    "Floor": "r = Floor(x)",
    "Ceil": "r = Ceil(x)",
    "Round": "r = Round(x)",
    "cube": "a = Mul(x, x) r = Mul(a, x)",
    "difference": "r = Sub(one, x)",
    "choice": "a = Greater(x, nothing) b = Mul(x, half) r = Where(a, x, b)",
}
NUMBERS = {
    "slope": [0.25],
    "slope_of_images": [[[-0.3]]],
    "nothing": 0,
    "half": 0.5,
    "one": 1,
    "three": 3,
    "six": 6,
    "root": 2**0.5,
    "small": 0.044715,
    "large": (2 / np.pi) ** 0.5,
}
# exponents of x and of the results, at which many of them lie in the middle between two
EXPONENTS = [(-5, -4), (-6, -5), (-3, -5), (-4, -6), (-2, -3)]


def model(functions: dict[str, str], e_x: int, e_y: int, numbers: dict[str, object] = NUMBERS) -> onnx.ModelProto:
    """Each function is an output, of the result of a convolution that changes nothing."""
    lines = [
        "p = QuantizeLinear(image, step, zero) q = DequantizeLinear(p, step, zero)",
        "weight = DequantizeLinear(ones, unit, zero) raw = Conv(q, weight)",
        "xq = QuantizeLinear(raw, step, zero) x = DequantizeLinear(xq, step, zero)",
    ]
    names = []
    for index, function in enumerate(functions.values()):
        body = function
        for name in "abcdefgr":
            body = body.replace(f" {name} = ", f" {name}{index} = ").replace(f"({name},", f"({name}{index},")
            body = body.replace(f", {name})", f", {name}{index})").replace(f"({name})", f"({name}{index})")
            body = body.replace(f", {name},", f", {name}{index},")
            body = f"{name}{index}{body[1:]}" if body.startswith(f"{name} = ") else body
        lines.append(f"{body} q{index} = QuantizeLinear(r{index}, coarse, zero)")
        lines.append(f"y{index} = DequantizeLinear(q{index}, coarse, zero)")
        names.append(f"float[N,C,H,W] y{index}")
    found = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 18]> g (float[1,4,8,8] image) => ({", ".join(names)})\n'
        f"<float step = {{{2.0**e_x}}}, float coarse = {{{2.0**e_y}}}, float unit = {{1}}, int8 zero = {{0}}>\n"
        f"{{ {' '.join(lines)} }}"
    )
    used = {name for node in found.graph.node for name in node.input}
    arrays = {name: np.array(value, np.float32) for name, value in numbers.items() if name in used}
    arrays["ones"] = np.eye(4, dtype=np.int8).reshape(4, 4, 1, 1)
    found.graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in arrays.items())
    return found


def every_byte(e_x: int) -> npt.NDArray[np.float32]:
    return (np.arange(-128, 128, dtype=np.float32) * 2.0**e_x).reshape(1, 4, 8, 8).astype(np.float32)


@pytest.mark.parametrize(("e_x", "e_y"), EXPONENTS)
def test_every_entry_of_every_table(front_end: FrontEnd, e_x: int, e_y: int) -> None:
    network = model(FUNCTIONS, e_x, e_y)
    (region,) = front_end.regions(front_end.partition(front_end.load(network), TABLES), TABLES)
    tables = {op.output: op.table for op in region.graph.ops if isinstance(op, Lookup)}
    assert len(tables) == len(FUNCTIONS)
    expected = precisely(network, every_byte(e_x))
    for name, output, theirs in zip(FUNCTIONS, region.graph.outputs, expected, strict=True):
        mine = tables[output][np.arange(-128, 128)] * 2.0**e_y
        np.testing.assert_array_equal(mine, theirs.reshape(-1), err_msg=name)


def test_every_byte_on_the_machine_and_on_the_cpu(capfd: pytest.CaptureFixture[str]) -> None:
    """One region, and the same bits without it; TVM has nothing to warn of."""
    names = [list(FUNCTIONS)[index] for index in share_of_this_front_end(range(len(FUNCTIONS)))]
    network, x = model({name: FUNCTIONS[name] for name in names}, -5, -4), every_byte(-5)
    imported = pipeline.import_into_tvm(network)
    machine, cpu = pipeline.build_for_re2na(*imported, TABLES), pipeline.build_for_cpu(*imported)
    ((_, program),) = machine.programs
    assert [source.op for source in program.sources].count("lookup") == len(names)
    for built in (machine, cpu):
        for name, mine, theirs in zip(names, built.executor()(x), precisely(network, x), strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
    assert "Warning" not in capfd.readouterr().err


def test_operators_have_the_names_of_their_last_nodes(front_end: FrontEnd) -> None:
    few = {name: FUNCTIONS[name] for name in ("SiLU", "HardSwish", "PReLU", "Mish")}
    network = model(few, -5, -4)
    last = {node.input[0] for node in network.graph.node if node.op_type == "QuantizeLinear"}
    for index, node in enumerate(network.graph.node):
        node.name = f"node_{index}"
    wanted = [node.name for node in network.graph.node if node.output[0] in last and node.op_type != "Conv"]
    rows = [row for row in pipeline.explain(*pipeline.import_into_tvm(network), TABLES) if row.op == "lookup"]
    assert sorted(row.name for row in rows) == sorted(wanted)
    assert all(row.offloaded for row in rows)
    rows = front_end.explain(front_end.load(network))
    assert [row.rule for row in rows if row.op == "lookup"] == ["activation_table"] * len(few)


OTHERS = {
    "a slope for each channel": "r = PRelu(x, slopes)",
    "numbers of their channel": "r = Mul(x, scales)",
    "a mean": "a = ReduceMean<axes = [2, 3]>(x) r = Mul(x, a)",
    "neighbours": "a = AveragePool<kernel_shape = [3, 3], pads = [1, 1, 1, 1]>(x) r = Sigmoid(a)",
    "two tensors": "a = Sigmoid(q) r = Mul(x, a)",
}


def test_what_depends_on_more_than_one_byte_is_no_function_of_it(front_end: FrontEnd) -> None:
    numbers = {
        "slopes": np.full((4, 1, 1), [[[0.1]], [[0.2]], [[0.3]], [[0.4]]]),
        "scales": [[[1.0]], [[2]], [[3]], [[4]]],
    }
    network, x = model(OTHERS, -5, -4, numbers), every_byte(-5)
    network.opset_import[0].version = 17  # whose ReduceMean has axes
    assert not [row for row in front_end.explain(front_end.load(network), arch=TABLES) if row.op == "lookup"]
    built = pipeline.build_for_re2na(*pipeline.import_into_tvm(network), TABLES)
    for name, mine, theirs in zip(OTHERS, built.executor()(x), precisely(network, x), strict=True):
        np.testing.assert_array_equal(mine, theirs, err_msg=name)


def activated(net: FloatNet) -> onnx.ModelProto:
    """A small network as those of today are: HardSwish, SiLU as exporters write it, LeakyReLU before an addition and a pooling."""
    x = net.add("HardSwish", net.conv("input", 3, 8, pads=[1, 1, 1, 1]))
    y = net.conv(x, 8, 8, pads=[1, 1, 1, 1])
    x = net.add("Add", x, net.add("Mul", y, net.add("Sigmoid", y)))
    x = net.add("LeakyRelu", net.conv(x, 8, 16, pads=[1, 1, 1, 1], strides=[2, 2]), alpha=0.1)
    x = net.add("MaxPool", x, kernel_shape=[2, 2], strides=[2, 2])
    return net.build(net.conv(x, 16, 4, kernel=1))


def test_a_float_network_is_quantised_on_both_sides_of_its_functions(front_end: FrontEnd) -> None:
    """One QDQ model for both machines: one region where there are tables, the same bits where there are none."""
    del front_end
    net = FloatNet(size=16, seed=4)
    float_model, samples = activated(net), net.images(16)
    network = quantize(float_model, samples).model
    imported = pipeline.import_into_tvm(network, 1)
    looking, plain = (pipeline.build_for_re2na(*imported, arch) for arch in (TABLES, Architecture()))
    assert len(looking.programs) == 1 and looking.offloaded_macs_share == 1
    assert len(plain.programs) > 1 and plain.offloaded_macs_share == 1
    runs = [built.executor() for built in (looking, plain, pipeline.build_for_cpu(*imported))]
    for image in samples[:2, None]:
        found = [np.asarray(execute(image)[0]) for execute in runs]
        np.testing.assert_array_equal(found[0], found[1])
        np.testing.assert_array_equal(found[0], found[2])
        assert snr(found[0], run(float_model, image)) > 24


def test_a_trained_network_is_one_region(real_data: Path) -> None:
    """MobileNetV3-small: HardSwish, HardSigmoid, squeeze-and-excitation."""
    calibration = load_dataset(real_data / "fmnist64_calib512.npz", 16).x
    network = quickly_quantized(load_model(real_data / "mobilenet_v3_small_fmnist64.onnx"), calibration, TABLES)
    compiled = pipeline.compile_for_re2na(*pipeline.import_into_tvm(network, 1), TABLES)
    assert len(compiled.programs) == 1 and compiled.offloaded_macs_share == 1
