"""
Pruning: single weights or whole blocks
=======================================

Accuracy, cycles and DRAM traffic of LeNet-5 against sparsity, single weights and the blocks that the array works on.

Needs PyTorch, the extra ``torch``, matplotlib, the extra ``plot``, and either TVM. Takes a minute.

A step of the array multiplies one input with the weights of 64 output channels; the compiler drops it where all of them are 0.
"""

# %%
# Settings
# --------
#
# In the notebook change them here; the script takes each as an option, ``--steps 300``.
from tvm_re2na.tutorials.support import need, settings, show

options = settings(__doc__, steps=150, sparsities=[0.0, 0.5, 0.7, 0.9])
need("torch")
need("plot")
need("relax", "relay")

import torch

from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.runtime.report import compile_report
from tvm_re2na.tutorials.lenet5_torch import demo_images, top1, trained

teacher = trained()
test, calibration = demo_images()
images = torch.tensor(calibration.x)

# %%
# Prune a little more each time, and fine-tune in between
# -------------------------------------------------------
#
# What was masked stays 0. Each pruned model is compiled: how many cycles, how many bytes? **Expect** that zeros strewn about
# save next to nothing, that whole blocks save what they promise, and that they cost more accuracy.
from tvm_re2na.torch import Augment, convert, export, fine_tune, prune

augment, rows = Augment(fill=float(images.min())), []
print("kind       sparsity  steps dropped   top-1  cycles  DRAM bytes")
for kind in ("magnitude", "block"):
    model = convert(teacher, images, weights="float")
    for sparsity in options.sparsities:
        layers = prune(model, sparsity, kind)
        dropped = sum(layer.steps_dropped * layer.weights for layer in layers) / sum(layer.weights for layer in layers)
        if sparsity:
            fine_tune(model, images, teacher, steps=options.steps, augment=augment)
        exported = export(model, test.shape)
        built = pipeline.build_for_re2na(*pipeline.import_into_tvm(exported), Architecture())
        total = compile_report([program for _, program in built.programs])["total"]
        rows.append((kind, sparsity, top1(model, test), total["cycles"], total["dram_bytes"]))
        print(
            f"{kind:<10} {sparsity:>8.0%}  {dropped:>13.0%}  {rows[-1][2]:.4f}  {rows[-1][3]:>6,}  {rows[-1][4]:>10,}"
        )

# %%
# A figure
# --------
from tvm_re2na.plot import new_figure, style

figure = new_figure(10, 3.8, "what pruning costs and saves", "LeNet-5")
panels = figure.subplots(1, 3)
titles = ("top-1: images with the right class", "cycles for one image", "DRAM bytes for one image")
for axes, column, title in zip(panels, (2, 3, 4), titles, strict=True):
    for (colour, mark), kind, label in zip(
        style.SIDES, ("magnitude", "block"), ("single weights", "blocks"), strict=False
    ):
        chosen = [row for row in rows if row[0] == kind]
        places, values = [row[1] for row in chosen], [row[column] for row in chosen]
        axes.plot(places, values, mark, linestyle="-", color=colour, label=label)
    style.describe(axes, title, "weights that are 0")
    style.percentages(axes.xaxis)
    (style.percentages if column == 2 else style.numbers)(axes.yaxis)
style.legend_below(figure, panels[0])
show(figure, "pruning.png")
