"""Cascaded, pruned and batched programs of whole networks give the bits of TVM's CPU, and do what they are for."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import onnx
import pytest

from tests.codegen.test_bounds import dram_bytes
from tests.models.pruning import prune_convolutions
from tests.models.topologies import TOPOLOGIES, quickly_quantized, synthetic_images
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import duration_parts
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import hazards


@dataclass(frozen=True)
class Case:
    model: onnx.ModelProto
    size: int
    arch: Architecture
    batch: int = 1


def compiled(case: Case, *, exact: bool = True) -> Program:
    """Quantised and built; the program must be free of hazards and, if `exact`, the outputs those of TVM's CPU."""
    x = synthetic_images(case.batch, 3, case.size, seed=2)
    quantized = quickly_quantized(case.model, synthetic_images(4, 3, case.size, seed=1), case.arch)
    if case.batch > 1:
        for value in (quantized.graph.input[0], quantized.graph.output[0]):
            value.type.tensor_type.shape.dim[0].Clear()
    mod, params = pipeline.import_into_tvm(quantized, case.batch)
    built = pipeline.build_for_re2na(mod, params, case.arch)
    assert built.offloaded_macs_share == 1.0
    if exact:
        got, expected = built.executor()(x), pipeline.build_for_cpu(mod, params).executor()(x)
        np.testing.assert_array_equal(got[0], expected[0])
        assert len(np.unique(got[0])) > 5, "the outputs must not be trivial"
    ((_, program),) = built.programs
    hazards.check(program)
    return program


def mac_cycles(program: Program) -> int:
    convolutions = [at for at in program.instructions if at.name == "CONV"]
    return sum(duration_parts(program.arch, at.name, at.values)["mac"] for at in convolutions)


@pytest.mark.parametrize("name", ["vgg16_features", "resnet18"])
def test_cascades_in_a_small_memory(name: str) -> None:
    size, sram = {"vgg16_features": (96, 512 * 1024), "resnet18": (192, 500 * 1024)}[name]
    program = compiled(Case(TOPOLOGIES[name](size), size, Architecture(sram_bytes=sram)))
    layers = [at.source for at in program.instructions if at.name in ("CONV", "POOL")]
    assert sum(before > after for before, after in pairwise(layers)) >= 2, "layers take turns"
    compulsory = program.meta["total"]["dram_bytes_compulsory"]
    assert dram_bytes(program) <= 1.03 * compulsory


def test_pruned_steps_are_dropped() -> None:
    model, arch = TOPOLOGIES["vgg16_features"](32), Architecture()
    whole = compiled(Case(model, 32, arch), exact=False)  # its bits are looked at above, at 96x96
    pruned = compiled(Case(prune_convolutions(model, 0.7), 32, arch))
    assert mac_cycles(pruned) <= 0.35 * mac_cycles(whole)
    assert dram_bytes(pruned) <= 0.35 * dram_bytes(whole)


def test_a_batch_reuses_the_weights() -> None:
    model, arch = TOPOLOGIES["mobilenet_v2"](64, 10), Architecture()
    one, four = (compiled(Case(model, 64, arch, batch), exact=False) for batch in (1, 4))  # bits: test_batches.py
    border = 3 * 64 * 64 + 10
    assert dram_bytes(four) - dram_bytes(one) == 3 * border
