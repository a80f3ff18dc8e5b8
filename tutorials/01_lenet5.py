"""LeNet-5 on MNIST: every step from a float ONNX file to the accelerator, with plain TVM calls.

    python tutorials/01_lenet5.py [--model lenet5.onnx --data test.npz --calibration calib.npz] [--limit 200]

Without options it uses the model and the images that come with the package.
Needs TVM 0.19, the extra [relay]; 07_relax.py is the same with today's TVM. Takes ten seconds.
"""

# %% Options
import argparse
from pathlib import Path

from needs import need

import tvm_re2na

DEMO = Path(tvm_re2na.__file__).parent / "demo"

parser = argparse.ArgumentParser(description="LeNet-5 from float ONNX to Re²Na")
parser.add_argument("--model", type=Path, default=DEMO / "lenet5_mnist.onnx")
parser.add_argument("--data", type=Path, default=DEMO / "mnist_test1000.npz")
parser.add_argument("--calibration", type=Path, default=DEMO / "mnist_calibration128.npz")
parser.add_argument("--limit", type=int, default=200)
options = parser.parse_args()
need("relay")

# %% 1. Load the float model and the images: (x / 255 - mean) / std, float32, (N, C, H, W)
from tvm_re2na import load_dataset, load_model

model = load_model(options.model)
test = load_dataset(options.data, options.limit)
calibration = load_dataset(options.calibration)
print(f"{len(test)} test images of {test.shape}, {len(calibration)} to calibrate with")

# %% 2. Quantise: power-of-two scales, chosen so that no 17-bit accumulator overflows. The result is a plain ONNX file.
from tvm_re2na.quantize import quantize

quantized = quantize(model, calibration.x)

# %% 3. Import it into TVM as any other ONNX model
import tvm
from tvm import relay

mod, params = relay.frontend.from_onnx(quantized.model, shape={"input": (1, *test.shape)}, freeze_params=True)

# %% 4. What will run where?
for row in tvm_re2na.explain(mod, params):
    print(f"{row.name:<12} {row.op:<12} {'Re²Na' if row.offloaded else f'CPU: {row.reason}'}")

# %% 5. Build: the operators that Re²Na supports become instruction streams, TVM compiles the rest for the CPU
partitioned = tvm_re2na.partition_for_re2na(mod, params)
with tvm.transform.PassContext(opt_level=3):
    library = relay.build(partitioned, target="re2na")

# %% 6. Run with TVM's own graph executor; the accelerator's part runs on the simulator
from tvm.contrib import graph_executor

from tvm_re2na.runtime.library import bridge_reset, bridge_totals

executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
bridge_reset()
hits = 0
for index in range(len(test)):
    executor.set_input("input", test.read(index, index + 1))
    executor.run()
    hits += int(executor.get_output(0).numpy().argmax() == test.y[index])

# %% 7. The answer
totals = bridge_totals()
print(f"top-1 on Re²Na {hits / len(test):.4f}")
print(f"{totals['cycles'] // len(test):,} cycles an image, {totals['overflows']} accumulator overflows")

# %% 8. The same against the float model and TVM's CPU, in one call
result = tvm_re2na.compare(model, test, calibration)
print(f"float {result.float32.top1:.4f}, int8 CPU {result.cpu_int8.top1:.4f}, Re²Na {result.re2na.top1:.4f}")
print(f"bit-identical to the CPU: {result.bit_identical}")
