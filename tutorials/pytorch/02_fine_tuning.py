"""
Fine-tuning for few bits
========================

LeNet-5 at 3 bits, taught by its float self on a handful of images.

Needs PyTorch, the extra ``torch``, matplotlib, the extra ``plot``, and either TVM. Takes half a minute. It uses the 128
calibration images that come with the package; ``benchmarks/fine_tuning.py`` has 512.
"""

# %%
# Settings
# --------
#
# In the notebook change them here; the script takes each as an option, ``--bits 4``.
from tvm_re2na.tutorials.support import need, settings, show

options = settings(__doc__, bits=3, steps=300)
need("torch")
need("plot")
need("relax", "relay")

import torch

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.tutorials.lenet5_torch import demo_images, top1, trained

teacher = trained()
test, calibration = demo_images()
images = torch.tensor(calibration.x)
machine = Architecture(data_bits=options.bits)

# %%
# 1. What the quantiser reaches without training
# ----------------------------------------------
#
# Input, weights, activations and result have this width. **Expect** a loss of two to three points at 3 bits.
from tvm_re2na.torch import Augment, convert, export, fine_tune

float_top1 = top1(teacher, test)
untrained = top1(convert(teacher, images, arch=machine), test)
print(f"float {float_top1:.4f}, {options.bits} bits {untrained:.4f}")

# %%
# 2. Train from the float weights
# -------------------------------
#
# Every batch is changed anew, and the teacher says what it shows: no labels are needed. **Expect** part of the loss
# back; more images and more steps bring back more.
from tvm_re2na.progress import progress_bar

student = convert(teacher, images, arch=machine, weights="float")
augment = Augment(fill=float(images.min()))
with progress_bar() as progress:
    report = fine_tune(student, images, teacher, steps=options.steps, augment=augment, progress=progress)
for step, agreement in report.held_out[::4]:
    print(f"step {step:>4}: {agreement:.3f} of the teacher's answers on changed images that it does not train with")
tuned = top1(student, test)
print(f"{options.bits} bits, fine-tuned: {tuned:.4f}")

# %%
# 3. How it went
# --------------
from tvm_re2na.plot import new_figure, style

figure = new_figure(9, 3.5, f"fine-tuned at {options.bits} bits", "LeNet-5")
left, right = figure.subplots(1, 2, width_ratios=[3, 2])
left.plot(*zip(*report.held_out, strict=True), "o-", color=style.MACHINE)
style.describe(left, "the teacher's answers, on images it does not train with", "steps", "share")
style.percentages(left.yaxis)
style.numbers(left.xaxis)
names, values = ("float", "quantised", "fine-tuned"), (float_top1, untrained, tuned)
for place, value in enumerate(values):
    right.plot(place, value, "o", markersize=9, color=(style.FLOAT, style.ORANGE, style.MACHINE)[place])
    right.annotate(f"{value:.1%}", (place, value), (0, 9), textcoords="offset points", fontsize=8, ha="center")
right.set_xticks(range(len(names)), names)
right.margins(0.25)
style.describe(right, "top-1 on 1,000 test images", y="share", grid="y")
style.percentages(right.yaxis)
show(figure, "fine_tuning.png")

# %%
# 4. It is a model like any other
# -------------------------------
#
# Export it, compile it, compare it. **Expect** every bit as on the CPU.
import tvm_re2na

export(student, test.shape, "lenet5_tuned.int8.onnx")
result = tvm_re2na.compare("lenet5_tuned.int8.onnx", test, arch=machine, limit=200, batch=10)
print(f"bit-identical to the CPU: {result.bit_identical}, overflows: {result.re2na.overflows}")
