"""
ResNet-18 with Relax
====================

A float ResNet-18 becomes a program for Re²Na with today's TVM: what is offloaded, whether the bits are right, and where the
cycles go.

Needs TVM 0.27, the extra ``relax``, and matplotlib, the extra ``plot``. Takes a minute with 100 images of 64x64.

Without options it takes the trained network and the images of the folder that ``RE2NA_DATA`` names. With your own::

    python 01_relax_resnet18.py --model resnet18.onnx --data test.npz --calibration calibration.npz
    python 01_relax_resnet18.py --model pretrained --data imagenet/val --limit 500
"""

# %%
# Settings
# --------
#
# In the notebook change them here; the script takes each as an option, ``--limit 20``.
from tvm_re2na.tutorials.support import need, settings, show_file

options = settings(__doc__, model=None, data=None, calibration=None, limit=100)
need("relax")
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
# This part knows no TVM, and the file is the same for either. About twenty seconds. **Expect** an output 25 to 35 dB above
# the noise, on images that the search did not see.
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
# Relax keeps no names of operators; ``name_operators`` brings back those of the file. **Expect** every operator on Re²Na, but
# for the two at the border: the float image is quantised on the CPU, and the scores become floats there.
from tvm.relax.frontend.onnx import from_onnx

import tvm_re2na
from tvm_re2na.pipeline import model_input
from tvm_re2na.relax import name_operators

shape = {model_input(model).name: [1, *test.shape]}
mod = from_onnx(quantized.model, shape_dict=shape, keep_params_in_input=False)
mod = name_operators(mod, quantized.model)
rows = tvm_re2na.explain(mod)
print(f"{sum(row.offloaded for row in rows)} of {len(rows)} operators run on Re²Na")
for row in rows:
    if not row.offloaded:
        print(f"  CPU: {row.name} ({row.op}): {row.reason}")

# %%
# Build
# -----
#
# ``relax_pipeline="re2na"`` cuts out what Re²Na takes and hands it to this package's code generator; TVM compiles the rest.
# The programs are kept to look at.
import tvm

from tvm_re2na.relax import collect_programs

with collect_programs() as programs:
    library = tvm.compile(mod, target="re2na", relax_pipeline="re2na")
for symbol, program in programs:
    print(f"{symbol}: {len(program.instructions)} instructions, {len(program.constants):,} bytes of constants")

# %%
# One image: all outputs against TVM's integers on the CPU
# --------------------------------------------------------
#
# **Expect** ``True``, always: an operator that cannot give the same bits is not offloaded.
import numpy as np
from tvm import relax

from tvm_re2na import pipeline

image = test.read(0, 1)
scores = relax.VirtualMachine(library, tvm.cpu())["main"](tvm.runtime.tensor(image)).numpy()
print("bit-identical:", np.array_equal(pipeline.build_for_cpu(mod, {}).executor()(image)[0], scores))

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
# marks have a scale of their own, on the right. The program is the one that TVM 0.19 gives, to the byte.
from tvm_re2na.plot import report_figure
from tvm_re2na.runtime.report import compile_report

report_figure(compile_report([program for _, program in programs]), "resnet18_cycles.png", "ResNet-18")
show_file("resnet18_cycles.png")
