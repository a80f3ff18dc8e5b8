"""torchvision's networks at 3x224x224 with random weights: everything is offloaded, and every output bit is the CPU's."""

from __future__ import annotations

import os

import numpy as np
import pytest

from tests.models.topologies import TOPOLOGIES, quickly_quantized, synthetic_images
from tvm_re2na import frontends, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import reference
from tvm_re2na.runtime.library import Simulator, kernels

OFFLOADED = ("conv2d", "dense", "pool", "add")
# both front ends make one program of a model
NETWORK = "mobilenet_v2" if frontends.installed() == "relay" else "resnet18"
OTHERS = [name for name in ("resnet18", "mobilenet_v2", "alexnet", "vgg16") if name != NETWORK]
slow = pytest.mark.skipif(
    "RE2NA_SLOW" not in os.environ, reason="set RE2NA_SLOW=1; benchmarks/full_size.py runs it too"
)


@pytest.mark.parametrize("name", [NETWORK, *(pytest.param(name, marks=slow) for name in OTHERS)])
def test_full_size(name: str) -> None:
    x = synthetic_images(5, 3, 224, seed=1)
    arch = Architecture()
    model = quickly_quantized(TOPOLOGIES[name](), x[:4], arch)
    mod, params = pipeline.import_into_tvm(model)
    on_cpu = [row for row in pipeline.explain(mod, params, arch) if not row.offloaded]
    assert not [row for row in on_cpu if any(kind in row.op for kind in OFFLOADED)]
    re2na = pipeline.build_for_re2na(mod, params, arch)
    assert re2na.offloaded_macs_share == 1.0
    got, expected = re2na.executor()(x[4:]), pipeline.build_for_cpu(mod, params).executor()(x[4:])
    np.testing.assert_array_equal(got[0], expected[0])
    for _, program in re2na.programs:
        assert_same_everywhere(program)
    assert len(np.unique(got[0])) > 10, "the outputs must not be trivial"


def assert_same_everywhere(program: Program) -> None:
    """Every kernel, alone and with help, gives the reference's outputs and counters."""
    rng = np.random.default_rng(2)
    inputs = [rng.integers(-128, 128, tensor.shape).astype(np.int8) for tensor in program.inputs]
    expected = reference.run(program, inputs, check_hazards=False)
    for kernel in kernels()[1:]:
        for threads in (1, 2):
            result = Simulator(program, kernel=kernel, threads=threads).run(inputs)
            assert result.counters == expected.counters
            for output, wanted in zip(result.outputs, expected.outputs, strict=True):
                np.testing.assert_array_equal(output, wanted)


def test_topologies_are_seeded() -> None:
    first, second = (TOPOLOGIES["mobilenet_v2"](size=64, classes=10, seed=3) for _ in range(2))
    assert first.SerializeToString() == second.SerializeToString()
