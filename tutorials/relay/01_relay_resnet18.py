"""
ResNet-18 with Relay
====================

A float ResNet-18 becomes a program for Re²Na: what is offloaded, whether the bits are right, and where the cycles go.

Needs TVM 0.19, the extra ``relay``, and matplotlib, the extra ``plot``. Takes a minute with 100 images of 64x64.

Without options it takes the trained network and the images of the folder that ``RE2NA_DATA`` names. With your own::

    python 01_relay_resnet18.py --model resnet18.onnx --data test.npz --calibration calibration.npz
    python 01_relay_resnet18.py --model pretrained --data imagenet/val --limit 500
"""

# %%
# Settings
# --------
#
# In the notebook change them here; the script takes each as an option, ``--limit 20``.
from tvm_re2na.tutorials.support import need, settings, show_file

options = settings(__doc__, model=None, data=None, calibration=None, limit=100)
need("relay")
need("plot")

# %%
# The float model and the images
# ------------------------------
#
# Images come as float32 (N, C, H, W), normalised as the network was trained. 128 are plenty to calibrate with.
from tvm_re2na.tutorials.networks import network_and_images

model, test, calibration = network_and_images(options, "resnet18")
print(f"{len(test)} test images of {test.shape}, {len(calibration)} to calibrate with")

# %%
# Quantise
# --------
#
# BatchNormalization is folded into the convolutions; each residual addition gets one exponent for both operands and its
# result, so that it adds exactly. Scales are powers of two, so coarse that no 17-bit accumulator overflows. This is the
# longest step: about twenty seconds. **Expect** an output 25 to 35 dB above the noise, on images that the search did not see.
from tvm_re2na.progress import progress_bar
from tvm_re2na.quantize import quantize

with progress_bar() as progress:
    quantized = quantize(model, calibration.x, progress=progress)
for output in quantized.report.outputs:
    print(f"{output.name}: {output.snr_db:.1f} dB above the noise")

# %%
# Import into TVM, and ask what will run where
# --------------------------------------------
#
# The quantised model is plain ONNX, and TVM's own importer reads it. **Expect** every operator on Re²Na, but for the two at
# the border: the float image is quantised on the CPU, and the scores become floats there.
import tvm
from tvm import relay

import tvm_re2na
from tvm_re2na.pipeline import model_input

shape = {model_input(model).name: (1, *test.shape)}
mod, params = relay.frontend.from_onnx(quantized.model, shape=shape, freeze_params=True)
rows = tvm_re2na.explain(mod, params)
print(f"{sum(row.offloaded for row in rows)} of {len(rows)} operators run on Re²Na")
for row in rows:
    if not row.offloaded:
        print(f"  CPU: {row.name} ({row.op}): {row.reason}")

# %%
# Build
# -----
#
# ``relay.build`` is TVM's; what was cut out for Re²Na goes to this package's code generator. The programs are kept to look
# at.
from tvm_re2na.relay import collect_programs

partitioned = tvm_re2na.partition_for_re2na(mod, params)
with collect_programs() as programs, tvm.transform.PassContext(opt_level=3):
    library = relay.build(partitioned, target="re2na")
for symbol, program in programs:
    print(f"{symbol}: {len(program.instructions)} instructions, {len(program.constants):,} bytes of constants")

# %%
# One image: all outputs against TVM's integers on the CPU
# --------------------------------------------------------
#
# **Expect** ``True``, always: an operator that cannot give the same bits is not offloaded.
import numpy as np

from tvm_re2na import pipeline
from tvm_re2na.relay.session import open_library

image = test.read(0, 1)
on_cpu = pipeline.build_for_cpu(mod, params).executor()(image)
on_re2na = open_library(library)(image)
print("bit-identical:", all(np.array_equal(a, b) for a, b in zip(on_cpu, on_re2na, strict=True)))

# %%
# All images
# ----------
#
# **Expect** the same accuracy on both sides, and no overflow.
result = tvm_re2na.compare(quantized.model, test)
print(f"top-1: int8 CPU {result.cpu_int8.top1:.4f}, Re²Na {result.re2na.top1:.4f}")
print(
    f"{result.re2na.cycles:,.0f} cycles, {result.re2na.utilisation:.1%} of the array, {result.re2na.overflows} overflows"
)

# %%
# Where the cycles go
# -------------------
#
# Left every layer's cycles with a mark at what no schedule can beat. Nearly all are multiplications, so the few beyond the
# marks have a scale of their own, on the right.
from tvm_re2na.plot import report_figure
from tvm_re2na.runtime.report import compile_report

report_figure(compile_report([program for _, program in programs]), "resnet18_cycles.png", "ResNet-18")
show_file("resnet18_cycles.png")
