"""Our way from ONNX to Relay makes the same expressions as TVM's, with the same names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import tvm
from onnx import helper, parser
from tvm import relay

from tests.frontends.qdq import QdqBuilder, biases, lenet, small_weights
from tests.frontends.qlinear import qlinear_network
from tests.frontends.test_generated import Chain
from tests.frontends.test_graphs import Branches
from tests.relay.test_integers import scales_by_channel
from tvm_re2na import pipeline
from tvm_re2na.frontends.relay.names import span_name
from tvm_re2na.relay import explain, prepare
from tvm_re2na.relay.importer import import_onnx


def check(model: onnx.ModelProto, shape: dict[str, tuple[int, ...]] | None = None) -> None:
    """Import both ways; `shape` stands for that of the model's input where it is open."""
    shape = shape or {}
    mine = import_onnx(model, shape)
    theirs, _ = relay.frontend.from_onnx(model, shape=shape, freeze_params=True)
    same(mine, theirs)
    same(prepare(mine), prepare(theirs))
    assert explain(mine) == explain(theirs)


def same(mine: tvm.IRModule, theirs: tvm.IRModule) -> None:
    tvm.ir.assert_structural_equal(mine, theirs)
    assert spans(mine) == spans(theirs)


def spans(module: tvm.IRModule) -> list[str | None]:
    found: list[str | None] = []

    def visit(expr: Any) -> None:
        if not isinstance(expr, tvm.ir.Op):
            found.append(span_name(expr))

    relay.analysis.post_order_visit(module["main"], visit)
    return found


@pytest.mark.parametrize("seed", range(8))
def test_generated_networks(seed: int) -> None:
    if seed % 2:
        check(Branches(np.random.default_rng(seed)).grow())
        return
    chain = Chain(QdqBuilder, np.random.default_rng(seed))
    chain.grow()
    check(chain.b.build())


@pytest.mark.parametrize("network", [lenet, qlinear_network])
def test_small_networks(network: Callable[[np.random.Generator], onnx.ModelProto]) -> None:
    check(network(np.random.default_rng(0)))


def test_the_demo(demo_data: Path) -> None:
    """A float model as PyTorch wrote it."""
    check(pipeline.load_model(demo_data / "lenet5_mnist.onnx"), {"input": (2, 1, 28, 28)})


def test_scales_by_channel_and_zero_points() -> None:
    check(scales_by_channel(np.random.default_rng(0)).build())


@pytest.mark.parametrize("op", ["Erf", "GlobalMaxPool", "Identity", "Dropout"])
def test_an_operator_that_gets_its_operand_whole(op: str) -> None:
    rng = np.random.default_rng(0)
    b = QdqBuilder((1, 4, 6, 6))
    b.conv(small_weights(rng, 4, 4, 3, 3), biases(rng, 4), exponent=-4)
    b.node(op, (1, 4, 1, 1) if op == "GlobalMaxPool" else (1, 4, 4, 4))
    b.conv(small_weights(rng, 4, 4, 1, 1), None, exponent=-4)
    b.node(op, b.current.shape, quantise=False)
    check(b.build())


def graph(body: str, inputs: str = "float[1,4,6,6] x", opset: int = 17) -> onnx.ModelProto:
    return parser.parse_model(
        f'<ir_version: 8, opset_import: ["" : {opset}]> g ({inputs}) => (float[N,M] y)\n'
        f"<float s = {{0.5}}, int8 z = {{0}}, int8[2,4,1,1] w = {{1,2,3,4,5,6,7,8}}, float[2,4] v = {{1,2,3,4,5,6,7,8}},"
        f" int64[4] start = {{0,0,1,1}}, int64[4] end = {{1,4,5,6}}, int64[2] halves = {{2,2}}, int64[4] back = {{1,-1,2,2}},"
        f" int64[1] first = {{0}}, int64[1] flat = {{-1}}, float[1] one = {{1}}>\n{{ {body} }}"
    )


GRAPHS = {
    "several results": "a, b = Split<axis=1>(x, halves) c = Relu(a) d = Concat<axis=1>(b, c, a) y = Flatten(d)",
    "results that are operands as well": "a, b, c, d, e = BatchNormalization(x, one4, one4, one4, one4) y = Flatten(a)",
    "constants behind nodes": "t = Transpose<perm=[1,0,2,3]>(w) r = Transpose<perm=[1,0,2,3]>(t) f = DequantizeLinear(r, s, z)"
    " q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) c = Conv(d, f) y = Flatten<axis=2>(c)",
    "shapes computed": "h = Shape(x) n = Gather(h, first) m = Concat<axis=0>(n, flat) i = Identity(x) y = Reshape(i, m)",
    "slices and pads": "a = Slice(x, start, end) p = Pad(a, start2) r = Reshape(p, back) q = QuantizeLinear(r, s, z)"
    " d = DequantizeLinear(q, s, z) y = Flatten<axis=-2>(d)",
    "resizings, one by a computed size": "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) a = Resize(d, , twice)"
    " h = Shape(x) b = Resize(a, , , h) c = Relu(b) y = Flatten(c)",
    "products of higher rank": "t = Transpose<perm=[0,1,3,2]>(x) m = MatMul(x, t) y = Flatten(m)",
}


@pytest.mark.parametrize("name", GRAPHS)
def test_graphs(name: str) -> None:
    model = graph(GRAPHS[name])
    extra = {"one4": np.ones(4, np.float32), "start2": np.array([0, 0, 1, 1, 0, 0, 2, 0], np.int64)}
    extra["twice"] = np.array([1, 1, 2, 2], np.float32)
    model.graph.initializer.extend(onnx.numpy_helper.from_array(value, key) for key, value in extra.items())
    check(model)


def test_an_open_batch() -> None:
    """Closed by the caller; and left open."""
    body = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) f = DequantizeLinear(w, s, z) c = Conv(d, f) y = Flatten(c)"
    model = graph(body, "float[B,4,6,6] x")
    check(model, {"x": (3, 4, 6, 6)})
    same(import_onnx(model, {}), relay.frontend.from_onnx(model)[0])


def test_a_deep_network() -> None:
    """No deeper a recursion than a node's, also where an operand is needed whole."""
    names = [f"t{index}" for index in range(400)]
    body = " ".join(f"{after} = Relu({before})" for before, after in zip(["x", *names], names, strict=False))
    ops = relay.analysis.list_op_freqs(import_onnx(graph(f"{body} e = Erf({names[-1]}) f = Erf(e) y = Flatten(f)"), {}))
    assert {str(name): int(count) for name, count in ops.items()} == {"nn.relu": 400, "erf": 2, "nn.batch_flatten": 1}


@pytest.mark.parametrize("opset", [11, 19])
def test_other_opsets(opset: int) -> None:
    body = "q = QuantizeLinear(x, s, z) d = DequantizeLinear(q, s, z) r = Relu(d) y = Flatten(r)"
    check(graph(body, opset=opset))


def test_graphs_in_nodes() -> None:
    """They read tensors of the graph around them."""
    branch = [helper.make_graph([helper.make_node(op, ["r"], ["e"])], op, [], [value("e")]) for op in ("Neg", "Abs")]
    nodes = [
        helper.make_node("Relu", ["x"], ["r"]),
        helper.make_node("If", ["c"], ["y"], then_branch=branch[0], else_branch=branch[1]),
    ]
    condition = onnx.numpy_helper.from_array(np.array(True), "c")
    outer = helper.make_graph(nodes, "g", [value("x")], [value("y")], [condition])
    model = helper.make_model(outer, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    same(import_onnx(model, {}), relay.frontend.from_onnx(model)[0])


def value(name: str) -> onnx.ValueInfoProto:
    return helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 4])


def test_what_tvm_does_not_know_fails_as_it_does_there() -> None:
    with pytest.raises(tvm.error.OpNotImplemented, match="NoSuchOperator"):
        import_onnx(graph("a = NoSuchOperator(x) y = Flatten(a)"), {})
