"""What stands in floating point between integers gives the bits of ONNX's own definition, on either TVM."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
from onnx import numpy_helper, parser

from tests.frontends.harness import FrontEnd
from tests.frontends.qdq import QdqBuilder
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture

RNG = np.random.default_rng(11)
# computed of x, all 256 values at 2**-5, or of s, one number for each of its channels at 2**-7, both on both sides of 0
FUNCTIONS = {
    "LeakyReLU": "r = LeakyRelu<alpha = 0.125>(x)",
    "PReLU": "r = PRelu(x, slopes)",
    "HardSigmoid": "r = HardSigmoid(x)",
    "HardSwish": "r = HardSwish(x)",
    "HardSwish of two": "h = HardSigmoid<alpha = 0.16666667>(x) r = Mul(x, h)",
    "Sigmoid": "r = Sigmoid(x)",
    "SiLU": "h = Sigmoid(x) r = Mul(x, h)",
    "Tanh": "r = Tanh(x)",
    "ELU": "r = Elu(x)",
    "Softplus": "r = Softplus(x)",
    "squeeze-and-excitation": "r = Mul(x, s)",
    "mean": "r = ReduceMean<axes = [2, 3]>(x)",
    "average": "r = AveragePool<kernel_shape = [2, 2], strides = [2, 2]>(x)",
    "global average": "r = GlobalAveragePool(x)",
    "linear resizing": 'n = Resize<mode = "linear">(x, , doubled) r = AveragePool<kernel_shape = [1, 2], strides = [1, 3]>(n)',
    "difference": "r = Sub(s, x)",
    "rescaling": "r = Identity(x)",
    "absolute": "r = Abs(x)",
}


def test_functions(front_end: FrontEnd) -> None:
    """Each result in steps of 2**-4, so that many lie in the middle between two."""
    model = _model()
    x = (np.arange(-128, 128, dtype=np.float32) / 32).reshape(1, 4, 8, 8)
    s = (RNG.permutation(np.arange(-128, 128))[:4].astype(np.float32) / 128).reshape(1, 4, 1, 1)
    image = np.concatenate([x.reshape(1, 4, 64), s.reshape(1, 4, 1)], axis=2).reshape(1, 4, 5, 13)
    expected = precisely(model, image)
    network = pipeline.import_into_tvm(model)
    for built in (pipeline.build_for_cpu(*network), pipeline.build_for_re2na(*network, Architecture())):
        for name, mine, theirs in zip(FUNCTIONS, built.executor()(image), expected, strict=True):
            np.testing.assert_array_equal(mine, theirs, err_msg=name)
            assert len(np.unique(mine)) > 3, name


def precisely(model: onnx.ModelProto, image: npt.NDArray[np.float32]) -> list[npt.NDArray[np.float32]]:
    """As ONNX Runtime computes QDQ, operator by operator in floating point."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    session = onnxruntime.InferenceSession(model.SerializeToString(), options)
    return list(session.run(None, {model.graph.input[0].name: image}))


def _model() -> onnx.ModelProto:
    """The image holds x, and of each channel one number more, s."""
    lines = [
        "p = QuantizeLinear(image, fine, zero) q = DequantizeLinear(p, fine, zero)",
        "flat = Reshape(q, lined) a, b = Split<axis = 2>(flat, lengths)",
        "xf = Reshape(a, square) xq = QuantizeLinear(xf, step, zero) x = DequantizeLinear(xq, step, zero)",
        "sf = Reshape(b, single) sq = QuantizeLinear(sf, fine, zero) s = DequantizeLinear(sq, fine, zero)",
    ]
    for index, function in enumerate(FUNCTIONS.values()):
        result = f"r{index}"
        body = function.replace("r = ", f"{result} = ").replace("h = ", f"h{index} = ").replace(", h)", f", h{index})")
        body = body.replace("n = ", f"n{index} = ").replace("(n)", f"(n{index})")
        lines.append(f"{body} q{index} = QuantizeLinear({result}, coarse, zero)")
        lines.append(f"y{index} = DequantizeLinear(q{index}, coarse, zero)")
    outputs = ", ".join(f"float[N,C,H,W] y{index}" for index in range(len(FUNCTIONS)))
    model = parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : 17]> g (float[1,4,5,13] image) => ({outputs})\n'
        "<float step = {0.03125}, float fine = {0.0078125}, float coarse = {0.0625}, int8 zero = {0}>\n"
        f"{{ {' '.join(lines)} }}"
    )
    constants = {
        "lined": np.array([1, 4, 65]),
        "lengths": np.array([64, 1]),
        "square": np.array([1, 4, 8, 8]),
        "single": np.array([1, 4, 1, 1]),
        "doubled": np.array([1, 1, 2, 2], np.float32),
        "slopes": np.array([0.25, -0.5, 0.0, 1.0], np.float32).reshape(4, 1, 1),
    }
    model.graph.initializer.extend(numpy_helper.from_array(value, key) for key, value in constants.items())
    return model


def test_bounds_between_two_steps(front_end: FrontEnd) -> None:
    """They become the step next to them, as QuantizeLinear rounds, also of a padding, and one of no 8 bits the last of 8."""
    x = (RNG.integers(-128, 128, (1, 3, 6, 6)) / 64).astype(np.float32)
    for finish in (_clips, _paddings):
        b = QdqBuilder((1, 3, 6, 6), -6)
        finish(b)
        model = b.build()
        built = pipeline.build_for_re2na(*pipeline.import_into_tvm(model), Architecture())
        for mine, theirs in zip(built.executor()(x), precisely(model, x), strict=True):
            np.testing.assert_array_equal(mine, theirs)
        assert built.offloaded_macs_share == 1.0


def _clips(b: QdqBuilder) -> None:
    """All sums are odd: there are no halves to round."""
    weight = RNG.integers(-3, 4, (4, 3, 3, 3)).astype(np.int8) * 2
    image = b.current
    for low, high in ((-0.7, 0.99), (0.0, 0.33), (-1e9, 1e9), (-(2.0**40), 0.7)):
        b.conv(weight, np.full(4, 1, np.int32), weight_exponent=-6, quantise=False, x=image)
        b.clip(low, high, -5)
        b.max_pool(2, strides=[1, 1], quantise=False)
        b.clip(low / 2, high / 2)
        b.output()


def _paddings(b: QdqBuilder) -> None:
    image = b.current
    for value in (-1.0, -0.99, -128.0, 1e9):
        b.current = image
        b.conv(RNG.integers(-3, 4, (4, 3, 3, 3)).astype(np.int8) * 2, np.full(4, 1, np.int32), exponent=-5)
        b.pad(1, 1, 1, 1, value)
        b.max_pool(2, strides=[2, 2])
        b.output()
