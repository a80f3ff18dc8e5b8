"""Stock `relay.build(target="re2na")` runs on the simulator: in memory, exported, in the VM, through tvmc."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import pytest
import tvm
from tvm import relay
from tvm.contrib import graph_executor
from tvm.runtime.vm import VirtualMachine

from tests.frontends.qdq import QdqBuilder, biases, lenet, small_weights
from tests.relay.harness import load, run_cpu
from tvm_re2na.codegen.program import Program, ProgramTensor
from tvm_re2na.frontends.relay.backend import carry
from tvm_re2na.relay import collect_programs, export_library, partition_for_re2na, prepare

RNG = np.random.default_rng(2)
FRESH = """
import sys, numpy, tvm
from tvm.contrib import graph_executor
executor = graph_executor.GraphModule(tvm.runtime.load_module(sys.argv[1])["default"](tvm.cpu()))
executor.run(input=numpy.load(sys.argv[2]))
numpy.save(sys.argv[3], executor.get_output(0).numpy())
"""


@pytest.fixture(scope="module")
def model() -> onnx.ModelProto:
    return lenet(np.random.default_rng(0), batch=2)


@pytest.fixture(scope="module")
def image() -> npt.NDArray[np.float32]:
    return RNG.normal(size=(2, 1, 12, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def expected(model: onnx.ModelProto, image: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
    return run_cpu(prepare(load(model)), [image])[0]


def test_in_memory_with_params(
    model: onnx.ModelProto, image: npt.NDArray[np.float32], expected: npt.NDArray[np.generic]
) -> None:
    module, params = relay.frontend.from_onnx(model, freeze_params=False)
    module = partition_for_re2na(module, params)
    with collect_programs() as programs, tvm.transform.PassContext(opt_level=3):
        library = relay.build(module, target="re2na", params=params)
    assert [symbol for symbol, _ in programs] == ["tvmgen_default_re2na_main_0"]
    assert programs[0][1].sources
    np.testing.assert_array_equal(_run(library, image), expected)


def test_exported_and_loaded_in_a_fresh_process(
    model: onnx.ModelProto, image: npt.NDArray[np.float32], expected: npt.NDArray[np.generic], tmp_path: Path
) -> None:
    library = relay.build(partition_for_re2na(load(model)), target="re2na")
    export_library(library, tmp_path / "net.so")
    np.testing.assert_array_equal(_run(tvm.runtime.load_module(str(tmp_path / "net.so")), image), expected)
    np.save(tmp_path / "x.npy", image)
    command = [sys.executable, "-c", FRESH, *(str(tmp_path / name) for name in ("net.so", "x.npy", "y.npy"))]
    subprocess.run(command, check=True, capture_output=True, timeout=120)
    np.testing.assert_array_equal(np.load(tmp_path / "y.npy"), expected)


def test_virtual_machine(
    model: onnx.ModelProto, image: npt.NDArray[np.float32], expected: npt.NDArray[np.generic]
) -> None:
    executable = relay.vm.compile(partition_for_re2na(load(model)), target="re2na")
    machine = VirtualMachine(executable, tvm.cpu())
    np.testing.assert_array_equal(machine.invoke("main", tvm.nd.array(image)).numpy(), expected)


def test_several_functions_and_outputs() -> None:
    b = QdqBuilder((1, 4, 8, 8), -6)
    b.conv(small_weights(RNG, 4, 4, 3, 3), biases(RNG, 4), exponent=-4)
    b.output()
    b.node("Sigmoid", b.current.shape, -6)
    x = b.current
    left = b.conv(small_weights(RNG, 4, 4, 3, 3), biases(RNG, 4), exponent=-4, pads=[1, 1, 1, 1], x=x)
    right = b.conv(small_weights(RNG, 4, 4, 1, 1), biases(RNG, 4), exponent=-5, x=x)
    b.add(left, right, -4)
    b.output()
    b.max_pool(2)
    b.output()
    module = load(b.build())
    image = RNG.normal(size=(1, 4, 8, 8)).astype(np.float32)
    executor = graph_executor.GraphModule(
        relay.build(partition_for_re2na(module), target="re2na")["default"](tvm.cpu())
    )
    executor.run(input=image)
    for index, value in enumerate(run_cpu(prepare(module), [image])):
        np.testing.assert_array_equal(executor.get_output(index).numpy(), value)


@dataclass(frozen=True)
class _Damaged:
    inputs: tuple[ProgramTensor, ...]
    outputs: tuple[ProgramTensor, ...]

    def packed(self) -> bytearray:
        return bytearray(b"RE2NAPRG" + bytes(100))


def test_a_damaged_program_is_an_error_with_a_message() -> None:
    tensors = (ProgramTensor("x", (1, 4), (1, 4, 1, 1), 0),)
    damaged: Program = _Damaged(tensors, tensors)  # type: ignore[assignment]
    function = carry(damaged, "broken")["broken"]
    with pytest.raises(tvm.TVMError, match="Re2Na: error"):
        function(tvm.nd.array(np.zeros((1, 4), np.int8)), tvm.nd.array(np.zeros((1, 4), np.int8)))


def test_tvmc_compiles_for_the_composite_target(model: onnx.ModelProto, tmp_path: Path) -> None:
    onnx.save(model, tmp_path / "net.onnx")
    options = ["compile", "--target", "re2na, llvm", "-o", str(tmp_path / "net.tar"), str(tmp_path / "net.onnx")]
    run = subprocess.run(
        [sys.executable, "-m", "tvm_re2na.relay.tvmc", *options], capture_output=True, text=True, timeout=120
    )
    assert run.returncode == 0, run.stderr
    run = subprocess.run(
        [
            sys.executable,
            "-m",
            "tvm_re2na.relay.tvmc",
            "run",
            str(tmp_path / "net.tar"),
            "-o",
            str(tmp_path / "out.npz"),
        ],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out.npz").exists()


def _run(library: tvm.runtime.Module, image: npt.NDArray[np.float32]) -> npt.NDArray[np.generic]:
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
    executor.run(input=image)
    return executor.get_output(0).numpy()
