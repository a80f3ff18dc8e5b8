"""The core knows neither TVM: with `tvm` unimportable, models are quantised, programs compiled, listed and run."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

CODE = """
import sys
sys.modules.update({"tvm": None, "tvm_ffi": None})  # whoever imports them gets an ImportError
from pathlib import Path

import numpy as np
import onnx

from tests.codegen.networks import random_graph
from tvm_re2na import Architecture, Program, Simulator
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.isa.assembler import disassemble
from tvm_re2na.data import load_dataset
from tvm_re2na.quantize import quantize
from tvm_re2na.runtime import reference

demo, folder = Path(sys.argv[1]), Path(sys.argv[2])
compile_graph(random_graph(np.random.default_rng(3), layers=4), Architecture()).save(folder / "net.re2na")
program = Program.open(folder / "net.re2na")
listing = disassemble(program.instructions, [source.name for source in program.sources])
rng = np.random.default_rng(4)
inputs = [rng.integers(-128, 128, tensor.shape).astype(np.int8) for tensor in program.inputs]
fast, slow = Simulator(program).run(inputs), reference.run(program, inputs)
assert all(np.array_equal(a, b) for a, b in zip(fast.outputs, slow.outputs, strict=True))

images = load_dataset(demo / "mnist_calibration128.npz", 8)
quantized = quantize(onnx.load(demo / "lenet5_mnist.onnx"), images.x)
print(len(listing.splitlines()), len(fast.outputs), len(quantized.report.layers))
"""


def test_the_core_without_tvm(demo_data: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", CODE, str(demo_data), str(tmp_path)]
    found = subprocess.run(command, cwd=Path(__file__).parent.parent, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    lines, outputs, layers = map(int, found.stdout.split())
    assert lines > 3
    assert outputs > 0
    assert layers == 5
