"""
AlexNet with Relay, on several machines
=======================================

AlexNet is mostly dense layers: its weights come from the DRAM, each is used once, and the array waits. What would another
machine do?

Needs TVM 0.19, the extra ``relay``, and matplotlib, the extra ``plot``. Takes a minute with 100 images of 64x64.

Without options it takes the trained network and the images of the folder that ``RE2NA_DATA`` names. With your own::

    python 02_relay_alexnet.py --model alexnet.onnx --data test.npz --calibration calibration.npz
    python 02_relay_alexnet.py --model pretrained --data imagenet/val --limit 500
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
from tvm_re2na.tutorials.networks import network_and_images

model, test, calibration = network_and_images(options, "alexnet")
print(f"{len(test)} test images of {test.shape}, {len(calibration)} to calibrate with")

# %%
# Quantise once, keep the file
# ----------------------------
#
# ONNX Runtime, Netron and any TVM can read it. Takes about twenty seconds, and what it makes is kept in the cache of the package:
# ``compare`` finds it below.
#
# A warning tells that on images which the search did not see the output has some decibels less than on the 96 that it saw. More
# images do not mend that for this network: with 512 of them it is 28.0 instead of 33.5 dB. Its accuracy hardly notices, as the
# comparison below shows.
import onnx

import tvm_re2na
from tvm_re2na import pipeline
from tvm_re2na.progress import progress_bar

with progress_bar() as progress:
    quantized = pipeline.quantize(model, calibration, tvm_re2na.Architecture(), progress)
onnx.save(quantized.model, "alexnet.int8.onnx")

# %%
# The same image on two machines
# ------------------------------
#
# Re²Na's multiplier takes 5 cycles; the second machine's is pipelined and starts a multiplication every cycle. **Expect** the
# same class, the same traffic, and far fewer than five times the cycles: the weights come no faster.
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from tvm_re2na.pipeline import model_input
from tvm_re2na.runtime.library import bridge_reset, bridge_totals

machines = {
    "one MAC every 5 cycles": tvm_re2na.Architecture(),
    "pipelined PE": tvm_re2na.Architecture(mac_interval=1),
}
shape = {model_input(model).name: (1, *test.shape)}
mod, params = relay.frontend.from_onnx(quantized.model, shape=shape, freeze_params=True)
for name, arch in machines.items():
    partitioned = tvm_re2na.partition_for_re2na(mod, params, arch=arch)
    with tvm.transform.PassContext(opt_level=3):
        library = relay.build(partitioned, target="re2na")
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
    executor.set_input(0, test.read(0, 1))
    bridge_reset()
    executor.run()
    totals = bridge_totals()
    best = executor.get_output(0).numpy().argmax()
    print(f"{name}: {totals['cycles']:,} cycles, {totals['dram_bytes']:,} bytes of DRAM traffic, class {best}")

# %%
# A grid of machines
# ------------------
#
# ``explore`` compiles the network for each and marks those that no other beats in cycles, DRAM traffic and area. **Expect**
# the width of the DRAM's bus to decide; the area is a proxy, to rank machines with.
from tvm_re2na.plot import exploration_figure

sweep = {"dram_bytes_per_cycle": [8, 24, 48, 96], "mac_interval": [1, 5]}
with progress_bar() as progress:
    found = tvm_re2na.explore(quantized.model, sweep, jobs=1, progress=progress)
exploration_figure(found.rows, found.fields, "alexnet_machines.png", "AlexNet")
show_file("alexnet_machines.png")

# %%
# All images
# ----------
#
# **Expect** the accuracy of the float network to about a point, every bit as on the CPU, and no overflow.
result = tvm_re2na.compare(model, test, calibration)
print(f"top-1: float {result.float32.top1:.4f}, int8 CPU {result.cpu_int8.top1:.4f}, Re²Na {result.re2na.top1:.4f}")
print(f"bit-identical to the CPU: {result.bit_identical}; {result.re2na.overflows} accumulator overflows")
