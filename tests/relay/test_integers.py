"""Our integers for QDQ forms, against those of TVM's own pass, which is right about these."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relay

from tests.frontends.harness import Arrays
from tests.frontends.qdq import QdqBuilder, biases, lenet, small_weights
from tests.frontends.test_generated import Chain
from tests.frontends.test_graphs import Branches
from tests.relay import harness
from tvm_re2na.relay import prepare


def scales_by_channel(rng: np.random.Generator) -> QdqBuilder:
    b = QdqBuilder((1, 4, 6, 6), dtype="uint8", zero_point=3)
    b.conv(small_weights(rng, 4, 4, 3, 3), biases(rng, 4), weight_scale=[0.25, 0.03, 0.5, 1.0], quantise=False)
    b.relu(-3)
    b.flatten()
    b.dense(small_weights(rng, 4, 64), weight_scale=[0.25, 0.01, 0.5, 1.0], exponent=2)
    b.matmul(small_weights(rng, 4, 5), exponent=4)
    return b


def test_the_bits_of_tvms_pass() -> None:
    models = [lenet(np.random.default_rng(0)), scales_by_channel(np.random.default_rng(0)).build()]
    for seed in range(6):
        rng = np.random.default_rng(seed)
        chain = Chain(QdqBuilder, rng)
        chain.grow()
        models += [Branches(rng, functions=False).grow(), chain.b.build()]
    modules = [harness.load(model) for model in models]
    sides = [_own(prepare(module)) for module in modules] + [_own(_theirs(module)) for module in modules]
    for side in sides[: len(modules)]:
        assert not {"nn.conv2d", "nn.dense"} & {
            str(op) for op in relay.analysis.list_op_freqs(tvm.IRModule.from_expr(side))
        }
    found = harness.run_plain(sides, [_inputs(side, seed % len(modules)) for seed, side in enumerate(sides)])
    varied = 0
    for mine, theirs in zip(found[: len(modules)], found[len(modules) :], strict=True):
        for one, other in zip(mine, theirs, strict=True):
            np.testing.assert_array_equal(one, other)
            varied += len(np.unique(one)) > 1
    assert varied >= len(models)


def _theirs(module: tvm.IRModule) -> tvm.IRModule:
    passes = relay.transform
    typed = [passes.InferType(), passes.FoldConstant(), passes.InferType()]
    with relay.qnn.op.requantize_config(rounding="UPWARD"):
        return tvm.transform.Sequential([*typed, passes.FakeQuantizationToInteger(), passes.InferType()])(module)


def _own(module: tvm.IRModule) -> relay.Function:
    """`main` with parameters of its own."""
    main = module["main"]
    fresh = [relay.var("x", parameter.checked_type) for parameter in main.params]
    function = relay.Function(fresh, relay.bind(main.body, dict(zip(main.params, fresh, strict=True))))
    return relay.transform.InferType()(tvm.IRModule.from_expr(function))["main"]


def _inputs(function: relay.Function, seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    shapes = [[int(size) for size in parameter.checked_type.shape] for parameter in function.params]
    return [(rng.integers(-128, 128, shape) / 64).astype(np.float32) for shape in shapes]
