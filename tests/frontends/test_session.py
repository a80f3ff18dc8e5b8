"""What the pipeline gets of either TVM."""

from __future__ import annotations

import dataclasses
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tests.counting import counted
from tests.frontends.harness import FrontEnd
from tests.frontends.qdq import QdqBuilder, biases, lenet, small_weights
from tvm_re2na import explain, frontends, partition_for_re2na, pipeline
from tvm_re2na.codegen import compiler
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.codegen.graph.ops import GraphError
from tvm_re2na.codegen.offload import rules
from tvm_re2na.frontends.common import jobs

RNG = np.random.default_rng(5)


@pytest.fixture
def network() -> tuple[Any, dict[str, Any]]:
    return pipeline.import_into_tvm(lenet(np.random.default_rng(0), batch=2), batch=2)


def test_cpu_and_re2na_agree(front_end: FrontEnd, network: tuple[Any, dict[str, Any]]) -> None:
    built = pipeline.build_for_re2na(*network, Architecture())
    image = RNG.normal(size=(2, 1, 12, 12)).astype(np.float32)
    (expected,), (found,) = (side.executor()(image) for side in (pipeline.build_for_cpu(*network), built))
    np.testing.assert_array_equal(found, expected)
    assert len(np.unique(found)) > 3
    assert [symbol for symbol, _ in built.programs] == ["tvmgen_default_re2na_main_0"]
    assert built.offloaded_macs_share == 1.0


def test_saved_libraries(front_end: FrontEnd, network: tuple[Any, dict[str, Any]], tmp_path: Path) -> None:
    image = RNG.normal(size=(2, 1, 12, 12)).astype(np.float32)
    for built in (pipeline.build_for_cpu(*network), pipeline.build_for_re2na(*network, Architecture())):
        frontends.session().save_library(built.library, tmp_path / "library.so")
        (found,) = frontends.session().load_library(tmp_path / "library.so")(image)
        np.testing.assert_array_equal(found, *built.executor()(image))
        (tmp_path / "library.so").unlink()


def test_several_regions_and_outputs(front_end: FrontEnd) -> None:
    """A network that goes to and fro: Sigmoid runs on the CPU, and so does an addition that the machine does not take."""
    b = QdqBuilder((1, 4, 8, 8), -6)
    b.conv(small_weights(RNG, 4, 4, 3, 3), biases(RNG, 4), exponent=-4)
    b.output()
    b.node("Sigmoid", b.current.shape, -6)
    x = b.current
    left = b.conv(small_weights(RNG, 4, 4, 3, 3), biases(RNG, 4), exponent=-4, pads=[1, 1, 1, 1], x=x)
    right = b.conv(small_weights(RNG, 4, 4, 1, 1), biases(RNG, 4), exponent=-5, x=x)
    b.add(left, right, -6)  # finer than its operands: the machine does not shift left
    b.output()
    b.max_pool(2)
    b.conv(small_weights(RNG, 4, 4, 3, 3), biases(RNG, 4), exponent=-4)
    b.conv(small_weights(RNG, 4, 4, 1, 1), biases(RNG, 4), weight_scale=0.013, exponent=-4)
    b.output()
    mod, params = pipeline.import_into_tvm(_with_shapes(b.build()))
    built = pipeline.build_for_re2na(mod, params, Architecture())
    assert len(built.programs) == 3  # the two convolutions that are added do not depend on each other
    assert 0 < built.offloaded_macs_share < 1
    compiled = pipeline.compile_for_re2na(mod, params, Architecture())
    assert [symbol for symbol, _ in compiled.programs] == [f"tvmgen_default_re2na_main_{index}" for index in range(3)]
    assert {name: p.to_bytes() for name, p in compiled.programs} == {name: p.to_bytes() for name, p in built.programs}
    assert compiled.offloaded_macs_share == built.offloaded_macs_share
    image = RNG.normal(size=(1, 4, 8, 8)).astype(np.float32)
    sides = [side.executor()(image) for side in (pipeline.build_for_cpu(mod, params), built)]
    for expected, found in zip(*sides, strict=True):
        np.testing.assert_array_equal(found, expected)
    rows = {row.name: row for row in pipeline.explain(mod, params, Architecture()) if row.rule != "host_boundary"}
    assert [row.rule for row in rows.values() if row.rule] == ["activation_table", "shift_range", "power_of_two_scales"]
    partitioned = partition_for_re2na(mod, params)
    assert [dataclasses.replace(row, name="") for row in explain(partitioned) if row.offloaded] == [
        dataclasses.replace(row, name="") for row in rows.values() if row.offloaded
    ]


def test_errors_of_the_compiler_keep_their_type(
    front_end: FrontEnd, network: tuple[Any, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    def too_small(*_: Any, **__: Any) -> None:
        raise CompileError("the machine is too small")

    monkeypatch.setattr(jobs, "compile_graph", too_small)
    with pytest.raises(CompileError, match="too small"):
        pipeline.build_for_re2na(*network, Architecture())


def test_dumps_of_the_stages(
    front_end: FrontEnd, network: tuple[Any, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = counted(monkeypatch, compiler, "_plan")
    seen: list[str] = []
    pipeline.build_for_re2na(*network, Architecture(), lambda stage, text: seen.append(stage))
    assert "units" in seen
    assert len(plans) == 1, "compiled for the dump, and again for the program"
    compiled: list[str] = []
    pipeline.compile_for_re2na(*network, Architecture(), lambda stage, text: compiled.append(stage))
    assert compiled == seen


@pytest.mark.parametrize("job", ["compile_for_re2na", "lower_for_each"])
def test_operators_are_described_and_judged_once(
    front_end: FrontEnd, network: tuple[Any, dict[str, Any]], monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    described = counted(monkeypatch, import_module(f"tvm_re2na.frontends.{front_end.name}.partition"), "describe")
    judged = counted(monkeypatch, rules, "check")
    arch: Any = Architecture() if job == "compile_for_re2na" else [Architecture()]
    getattr(frontends.session(), job)(*network, arch)
    assert len(described) == len(judged) == 7


def test_what_a_module_of_the_users_holds_is_judged_when_it_is_lowered(
    front_end: FrontEnd, network: tuple[Any, dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may have been made for another machine, or by other passes."""
    partitioned = partition_for_re2na(network[0])
    judged = counted(monkeypatch, rules, "check")
    compiled = frontends.session().compile_for_re2na(partitioned, {}, Architecture())
    assert len(judged) == 7
    assert len(compiled.programs) == 1
    with pytest.raises(GraphError, match=r"Found .*, limit"):
        front_end.regions(partitioned, Architecture(acc_bits=8))


def _with_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    return onnx.shape_inference.infer_shapes(model)
