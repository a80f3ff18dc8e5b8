"""
PyTorch's own quantisation (PT2E) with Relax
============================================

LeNet-5: export, calibrate and convert with PyTorch's tools, import into TVM, run on Re²Na.

Needs TVM 0.27, PyTorch and torchao, the extras ``relax`` and ``pt2e``, and matplotlib, the extra ``plot``. Takes twenty
seconds. It uses the weights and the images that come with the package.
"""

# %%
# Settings, a trained network, images
# -----------------------------------
from tvm_re2na.tutorials.support import need, settings, show

options = settings(__doc__, limit=200)
need("relax")
need("pt2e")
need("plot")

import torch

import tvm_re2na
from tvm_re2na.tutorials.lenet5_torch import demo_images, trained

network = trained()
test, calibration = demo_images()
images, known = torch.tensor(test.x[: options.limit]), test.y[: options.limit]
print(f"{len(images)} test images, {len(calibration)} to calibrate with")

# %%
# 1. Export
# ---------
#
# PT2E puts observers where ``Re2naQuantizer`` says: power-of-two scales, without which nothing is offloaded.
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from tvm_re2na.torch.pt2e import Re2naQuantizer

prepared = prepare_pt2e(torch.export.export(network, (images[:1],)).module(), Re2naQuantizer())

# %%
# 2. Calibrate and convert
# ------------------------
#
# Between ``quantize`` and ``dequantize`` the operators stay floating point in PyTorch.
with torch.no_grad():
    for image in torch.tensor(calibration.x):
        prepared(image[None])
    quantized = torch.export.export(convert_pt2e(prepared), (images[:1],))

# %%
# 3. Import it into TVM
# ---------------------
from tvm_re2na.relax.pt2e import from_exported_program

mod = from_exported_program(quantized, unwrap_unit_return_tuple=True)

# %%
# 4. What will run where?
# -----------------------
#
# **Expect** all but the first ``quantize`` and the last ``dequantize`` on Re²Na.
for row in tvm_re2na.explain(mod):
    print(f"{row.op:<12} {'Re²Na' if row.offloaded else f'CPU: {row.reason}'}")

# %%
# 5. Partition, let Re²Na's code generator have its part, compile the rest
# ------------------------------------------------------------------------
import tvm
from tvm import relax

partitioned = tvm_re2na.partition_for_re2na(mod)
library = tvm.compile(relax.transform.RunCodegen()(partitioned), target="re2na")

# %%
# 6. Run in TVM's virtual machine
# -------------------------------
#
# Beside it the same network in TVM's integer code for the CPU.
from tvm_re2na import pipeline
from tvm_re2na.runtime.library import bridge_reset, bridge_totals

machine = relax.VirtualMachine(library, tvm.cpu())
on_cpu = pipeline.build_for_cpu(mod, {}).executor()
bridge_reset()
hits = cpu_hits = same = 0
differences = []
for image, label in zip(images, known, strict=True):
    scores = machine["main"](tvm.runtime.tensor(image[None].numpy())).numpy()
    expected = on_cpu(image[None].numpy())[0]
    hits, cpu_hits = hits + int(scores.argmax() == label), cpu_hits + int(expected.argmax() == label)
    same += int((scores == expected).all())
    with torch.no_grad():
        differences += (torch.tensor(scores) - network(image[None])).flatten().tolist()

# %%
# 7. The answer
# -------------
#
# PT2E's scales come from observed ranges alone: where sums overflow 17 bits, the CPU's 32 bits differ. **Expect** a handful
# of overflows at most, and the float network's accuracy.
with torch.no_grad():
    float_top1 = float((network(images).argmax(1).numpy() == known).mean())
print(f"float {float_top1:.4f}, int8 CPU {cpu_hits / len(images):.4f}, Re²Na {hits / len(images):.4f}")
print(f"{bridge_totals()['overflows']} accumulator overflows")
print(f"bit-identical to the CPU: {same} of {len(images)} images")

# %%
# 8. How far from float is each score?
# ------------------------------------
from tvm_re2na.plot import new_figure, style

figure = new_figure(7, 3.5, "scores on Re²Na less those of the float network", "LeNet-5")
axes = figure.add_subplot()
axes.hist(differences, bins=40, color=style.MACHINE)
style.describe(axes, f"{len(differences):,} scores of {len(images)} images", "difference", "scores")
style.numbers(axes.yaxis)
show(figure, "pt2e_differences.png")
