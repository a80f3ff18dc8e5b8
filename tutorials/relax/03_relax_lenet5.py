"""
LeNet-5 with Relax, step by step
================================

Every step from a float ONNX file to the accelerator, with today's TVM; the page "From Relay to Relax" puts both TVMs side by
side.

Needs TVM 0.27, the extra ``relax``, and matplotlib, the extra ``plot``; ``relay/03_relay_lenet5.py`` is the same with TVM
0.19. Takes ten seconds. Without options it uses the model and the images that come with the package.
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
need("relax")
need("plot")

# %%
# 1. Load and quantise
# --------------------
#
# This part knows no TVM. **Expect** every layer above 30 dB, and headroom of 1.25 at least: the accumulator's limit over the
# largest sum seen.
from tvm_re2na import load_dataset, load_model
from tvm_re2na.quantize import quantize

model = load_model(options.model)
test = load_dataset(options.data, options.limit)
quantized = quantize(model, load_dataset(options.calibration).x)
for layer in quantized.report.layers:
    print(f"{layer.name:<12} {layer.snr_db:5.1f} dB, headroom {layer.headroom:.2f}")

# %%
# 2. Import it into TVM as any other ONNX model
# ---------------------------------------------
#
# Relax keeps no names; ``name_operators`` brings back those of the file.
from tvm.relax.frontend.onnx import from_onnx

from tvm_re2na.relax import name_operators

mod = from_onnx(quantized.model, shape_dict={"input": [1, *test.shape]}, keep_params_in_input=False)
mod = name_operators(mod, quantized.model)

# %%
# 3. What will run where?
# -----------------------
#
# **Expect** convolutions, poolings and dense layers on Re²Na; only the conversion of floats to integers and back stays on the
# CPU.
for row in tvm_re2na.explain(mod):
    print(f"{row.name:<16} {row.op:<12} {'Re²Na' if row.offloaded else f'CPU: {row.reason}'}")

# %%
# 4. Partition, let Re²Na's code generator have its part, compile the rest
# ------------------------------------------------------------------------
import tvm
from tvm import relax

from tvm_re2na.relax import collect_programs

partitioned = tvm_re2na.partition_for_re2na(mod)
with collect_programs() as programs:
    library = tvm.compile(relax.transform.RunCodegen()(partitioned), target="re2na")

# %%
# 5. Export
# ---------
#
# What is exported loads wherever this package's runtime library is, without Python if need be.
from tvm_re2na.relax import export_library

export_library(library, "lenet5_re2na.so")  # in this folder

# %%
# 6. Run in TVM's virtual machine
# -------------------------------
#
# The accelerator's part runs on the simulator, which counts cycles and overflows.
from tvm_re2na.runtime.library import bridge_reset, bridge_totals

machine = relax.VirtualMachine(tvm.runtime.load_module("lenet5_re2na.so"), tvm.cpu())
bridge_reset()
hits = 0
for index in range(len(test)):
    scores = machine["main"](tvm.runtime.tensor(test.read(index, index + 1))).numpy()
    hits += int(scores.argmax() == test.y[index])

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
result = tvm_re2na.compare(model, test, load_dataset(options.calibration))
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
