"""
LeNet-5 with Relay, step by step
================================

Every step from a float ONNX file to the accelerator, with plain TVM calls.

Needs TVM 0.19, the extra ``relay``, and matplotlib, the extra ``plot``; ``relax/03_relax_lenet5.py`` is the same with today's TVM.
Takes ten seconds. Without options it uses the model and the images that come with the package.
"""

# %%
# Settings
# --------
#
# In the notebook change them here; the script takes each as an option, ``--limit 20``.
from pathlib import Path

import tvm_re2na
from tvm_re2na.tutorials.support import need, settings, show_file

DEMO = Path(tvm_re2na.__file__).parent / "demo"
options = settings(
    __doc__,
    model=DEMO / "lenet5_mnist.onnx",
    data=DEMO / "mnist_test1000.npz",
    calibration=DEMO / "mnist_calibration128.npz",
    limit=200,
)
need("relay")
need("plot")

# %%
# 1. Load the float model and the images
# --------------------------------------
#
# Pixels become ``(x / 255 - mean) / std``, float32, (N, C, H, W).
from tvm_re2na import load_dataset, load_model

model = load_model(options.model)
test = load_dataset(options.data, options.limit)
calibration = load_dataset(options.calibration)
print(f"{len(test)} test images of {test.shape}, {len(calibration)} to calibrate with")

# %%
# 2. Quantise
# -----------
#
# Power-of-two scales, chosen so that no 17-bit accumulator overflows. The result is a plain ONNX file. **Expect** every layer
# above 30 dB, and headroom of 1.25 at least: the accumulator's limit over the largest sum seen.
from tvm_re2na.quantize import quantize

quantized = quantize(model, calibration.x)
for layer in quantized.report.layers:
    print(f"{layer.name:<12} {layer.snr_db:5.1f} dB, headroom {layer.headroom:.2f}")

# %%
# 3. Import it into TVM as any other ONNX model
# ---------------------------------------------
import tvm
from tvm import relay

mod, params = relay.frontend.from_onnx(quantized.model, shape={"input": (1, *test.shape)}, freeze_params=True)

# %%
# 4. What will run where?
# -----------------------
#
# **Expect** convolutions, poolings and dense layers on Re²Na; only the conversion of floats to integers and back stays on the
# CPU.
for row in tvm_re2na.explain(mod, params):
    print(f"{row.name:<12} {row.op:<12} {'Re²Na' if row.offloaded else f'CPU: {row.reason}'}")

# %%
# 5. Build
# --------
#
# The operators that Re²Na supports become instruction streams, TVM compiles the rest for the CPU.
from tvm_re2na.relay import collect_programs

partitioned = tvm_re2na.partition_for_re2na(mod, params)
with collect_programs() as programs, tvm.transform.PassContext(opt_level=3):
    library = relay.build(partitioned, target="re2na")

# %%
# 6. Run with TVM's own graph executor
# ------------------------------------
#
# The accelerator's part runs on the simulator, which counts cycles and overflows.
from tvm.contrib import graph_executor

from tvm_re2na.runtime.library import bridge_reset, bridge_totals

executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
bridge_reset()
hits = 0
for index in range(len(test)):
    executor.set_input("input", test.read(index, index + 1))
    executor.run()
    hits += int(executor.get_output(0).numpy().argmax() == test.y[index])

# %%
# 7. The answer
# -------------
#
# **Expect** about 99 %, 6,527 cycles an image, and no overflow.
totals = bridge_totals()
print(f"top-1 on Re²Na {hits / len(test):.4f}")
print(f"{totals['cycles'] // len(test):,} cycles an image, {totals['overflows']} accumulator overflows")

# %%
# 8. The same against the float model and TVM's CPU, in one call
# --------------------------------------------------------------
result = tvm_re2na.compare(model, test, calibration)
print(f"float {result.float32.top1:.4f}, int8 CPU {result.cpu_int8.top1:.4f}, Re²Na {result.re2na.top1:.4f}")
print(f"bit-identical to the CPU: {result.bit_identical}")

# %%
# 9. Where the cycles go
# ----------------------
#
# Nearly all are multiplications. Of the rest the first layer waits for the image, the last one for its scores to be stored.
from tvm_re2na.plot import report_figure
from tvm_re2na.runtime.report import compile_report

report_figure(compile_report([program for _, program in programs]), "lenet5_cycles.png", "LeNet-5")
show_file("lenet5_cycles.png")
