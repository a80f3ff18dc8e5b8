"""
AlexNet with Relax: a library to take away
==========================================

AlexNet is mostly dense layers, whose weights the DRAM brings. It is exported as one file, loaded again, and looked at in time.

Needs TVM 0.27, the extra ``relax``, and matplotlib, the extra ``plot``. Takes a minute with 100 images of 64x64.

Without options it takes the trained network and the images of the folder that ``RE2NA_DATA`` names. With your own::

    python 02_relax_alexnet.py --model alexnet.onnx --data test.npz --calibration calibration.npz
    python 02_relax_alexnet.py --model pretrained --data imagenet/val --limit 500
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
# The float model, the images, and the quantised model
# ----------------------------------------------------
#
# Quantising takes about twenty seconds, and what it makes is kept in the cache of the package: ``compare`` finds it below.
#
# A warning tells that on images which the search did not see the output has some decibels less than on the 96 that it saw. More
# images do not mend that for this network: with 512 of them it is 28.0 instead of 33.5 dB. Its accuracy hardly notices, as the
# comparison below shows.
import tvm_re2na
from tvm_re2na import pipeline
from tvm_re2na.progress import progress_bar
from tvm_re2na.tutorials.networks import network_and_images

model, test, calibration = network_and_images(options, "alexnet")
with progress_bar() as progress:
    quantized = pipeline.quantize(model, calibration, tvm_re2na.Architecture(), progress)

# %%
# Build for two machines
# ----------------------
#
# Re²Na's multiplier takes 5 cycles; the second machine's is pipelined and starts a multiplication every cycle. **Expect** far
# fewer than five times the cycles: the weights come no faster.
import tvm
from tvm.relax.frontend.onnx import from_onnx

from tvm_re2na.pipeline import model_input
from tvm_re2na.relax import collect_programs, name_operators
from tvm_re2na.runtime.report import compile_report

shape = {model_input(model).name: [1, *test.shape]}
mod = from_onnx(quantized.model, shape_dict=shape, keep_params_in_input=False)
mod = name_operators(mod, quantized.model)
machines = {
    "one MAC every 5 cycles": tvm_re2na.Architecture(),
    "pipelined PE": tvm_re2na.Architecture(mac_interval=1),
}
libraries, reports = {}, {}
for name, arch in machines.items():
    with collect_programs() as programs:
        libraries[name] = tvm.compile(mod, target=tvm_re2na.target(arch), relax_pipeline="re2na")
    reports[name] = compile_report([program for _, program in programs])
    total = reports[name]["total"]
    print(f"{name}: {total['cycles']:,} cycles, {total['dram_bytes']:,} bytes of DRAM traffic")

# %%
# Export, load, run
# -----------------
#
# What is exported loads wherever this package's runtime library is; with ``bundle=True`` it holds that as well. The simulator
# runs the accelerator's part, and counts. **Expect** about 90 % and no overflow.
from pathlib import Path

from tvm import relax

from tvm_re2na.relax import export_library
from tvm_re2na.runtime.library import bridge_reset, bridge_totals

export_library(libraries["one MAC every 5 cycles"], "alexnet_re2na.so")
print(f"alexnet_re2na.so: {Path('alexnet_re2na.so').stat().st_size:,} bytes")
machine = relax.VirtualMachine(tvm.runtime.load_module("alexnet_re2na.so"), tvm.cpu())
bridge_reset()
hits = 0
for index in range(len(test)):
    scores = machine["main"](tvm.runtime.tensor(test.read(index, index + 1))).numpy()
    hits += int(scores.argmax() == test.y[index])
totals = bridge_totals()
print(f"top-1 on Re²Na {hits / len(test):.4f}, {totals['overflows']} accumulator overflows")

# %%
# Where the pipelined machine waits
# ---------------------------------
#
# Marks are what no schedule can beat. The dense layers end at theirs, or before where their weights came while others computed:
# it is the DRAM that they wait for, nothing else.
from tvm_re2na.plot import report_figure

report_figure(reports["pipelined PE"], "alexnet_cycles.png", "AlexNet, pipelined PE")
show_file("alexnet_cycles.png")

# %%
# The same against the float model and TVM's CPU, in one call
# -----------------------------------------------------------
#
# **Expect** the accuracy of the float network to about a point, and every bit as on the CPU.
result = tvm_re2na.compare(model, test, calibration)
print(f"top-1: float {result.float32.top1:.4f}, int8 CPU {result.cpu_int8.top1:.4f}, Re²Na {result.re2na.top1:.4f}")
print(f"bit-identical to the CPU: {result.bit_identical}")
