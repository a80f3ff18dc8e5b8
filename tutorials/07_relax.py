"""LeNet-5 with today's TVM: the steps of 01_lenet5.py, in Relax. docs/relax.md puts both side by side.

    python tutorials/07_relax.py [--model lenet5.onnx --data test.npz --calibration calib.npz] [--limit 200]

Without options it uses the model and the images that come with the package. Needs TVM 0.27, the extra [relax]. Takes ten seconds.
"""

# %% Options
import argparse
from pathlib import Path

from needs import need

import tvm_re2na

DEMO = Path(tvm_re2na.__file__).parent / "demo"

parser = argparse.ArgumentParser(description="LeNet-5 from float ONNX to Re²Na, in Relax")
parser.add_argument("--model", type=Path, default=DEMO / "lenet5_mnist.onnx")
parser.add_argument("--data", type=Path, default=DEMO / "mnist_test1000.npz")
parser.add_argument("--calibration", type=Path, default=DEMO / "mnist_calibration128.npz")
parser.add_argument("--limit", type=int, default=200)
options = parser.parse_args()
need("relax")

# %% 1. Load and quantise: this part knows no TVM
from tvm_re2na import load_dataset, load_model
from tvm_re2na.quantize import quantize

model = load_model(options.model)
test = load_dataset(options.data, options.limit)
quantized = quantize(model, load_dataset(options.calibration).x)

# %% 2. Import it into TVM as any other ONNX model. Relax keeps no names; `name_operators` brings back those of the file.
from tvm.relax.frontend.onnx import from_onnx

from tvm_re2na.relax import name_operators

mod = from_onnx(quantized.model, shape_dict={"input": [1, *test.shape]}, keep_params_in_input=False)
mod = name_operators(mod, quantized.model)

# %% 3. What will run where?
for row in tvm_re2na.explain(mod):
    print(f"{row.name:<16} {row.op:<12} {'Re²Na' if row.offloaded else f'CPU: {row.reason}'}")

# %% 4. Partition, let Re²Na's code generator have its part, compile the rest
import tvm
from tvm import relax

partitioned = tvm_re2na.partition_for_re2na(mod)
library = tvm.compile(relax.transform.RunCodegen()(partitioned), target="re2na")

# %% 5. Export. What is exported loads wherever this package's runtime library is, without Python if need be.
from tvm_re2na.relax import export_library

export_library(library, "lenet5_re2na.so")  # in this folder

# %% 6. Run in TVM's virtual machine; the accelerator's part runs on the simulator
from tvm_re2na.runtime.library import bridge_reset, bridge_totals

machine = relax.VirtualMachine(tvm.runtime.load_module("lenet5_re2na.so"), tvm.cpu())
bridge_reset()
hits = 0
for index in range(len(test)):
    scores = machine["main"](tvm.runtime.tensor(test.read(index, index + 1))).numpy()
    hits += int(scores.argmax() == test.y[index])

# %% 7. The answer
totals = bridge_totals()
print(f"top-1 on Re²Na {hits / len(test):.4f}")
print(f"{totals['cycles'] // len(test):,} cycles an image, {totals['overflows']} accumulator overflows")

# %% 8. The same against the float model and TVM's CPU, in one call
result = tvm_re2na.compare(model, test, load_dataset(options.calibration))
print(f"float {result.float32.top1:.4f}, int8 CPU {result.cpu_int8.top1:.4f}, Re²Na {result.re2na.top1:.4f}")
print(f"bit-identical to the CPU: {result.bit_identical}")
