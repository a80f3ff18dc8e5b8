"""Pruning: accuracy, cycles and DRAM traffic against sparsity, single weights and the blocks that the array works on.

    python tutorials/06_pruning.py [--steps 150] [--sparsities 0 0.5 0.7 0.9]

Needs PyTorch, matplotlib (the extras [torch] and [plot]) and either TVM. Takes a minute.

A step of the array multiplies one input with the weights of 64 output channels; the compiler drops it where all of them are 0.
"""

# %% Options
import argparse

from needs import need

parser = argparse.ArgumentParser(description="prune LeNet-5 and see what the machine makes of it")
parser.add_argument("--steps", type=int, default=150)
parser.add_argument("--sparsities", type=float, nargs="*", default=[0.0, 0.5, 0.7, 0.9])
options = parser.parse_args()
need("torch")
need("plot")
need("relax", "relay")

import torch
from lenet5_torch import demo_images, top1, trained
from rich.console import Console
from rich.table import Table

from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.runtime.report import compile_report

teacher = trained()
test, calibration = demo_images()
images = torch.tensor(calibration.x)

# %% 1. Prune a little more each time, and fine-tune in between: what was masked stays 0
from tvm_re2na.torch import Augment, convert, export, fine_tune, prune

augment, rows = Augment(fill=float(images.min())), []
for kind in ("magnitude", "block"):
    model = convert(teacher, images, weights="float")
    for sparsity in options.sparsities:
        layers = prune(model, sparsity, kind)
        dropped = sum(layer.steps_dropped * layer.weights for layer in layers) / sum(layer.weights for layer in layers)
        if sparsity:
            fine_tune(model, images, teacher, steps=options.steps, augment=augment)
        # %% 2. Compile the pruned model: how many cycles, how many bytes?
        exported = export(model, test.shape)
        built = pipeline.build_for_re2na(*pipeline.import_into_tvm(exported), Architecture())
        total = compile_report([program for _, program in built.programs])["total"]
        rows.append((kind, sparsity, dropped, top1(model, test), total["cycles"], total["dram_bytes"]))

# %% 3. The table: zeros strewn about save next to nothing, whole blocks save what they promise
table = Table(title="LeNet-5", title_justify="left")
for name in ("kind", "sparsity", "steps dropped", "top-1", "cycles", "DRAM bytes"):
    table.add_column(name, justify="right")
for kind, sparsity, dropped, accuracy, cycles, traffic in rows:
    table.add_row(kind, f"{sparsity:.2f}", f"{dropped:.2f}", f"{accuracy:.4f}", f"{cycles:,}", f"{traffic:,}")
Console().print(table)

# %% 4. And a figure
from tvm_re2na.plot import new_figure, write_figure

figure = new_figure(10, 4)
panels = figure.subplots(1, 3)
for axes, column, label in zip(panels, (3, 4, 5), ("top-1", "cycles", "DRAM bytes"), strict=True):
    for kind in ("magnitude", "block"):
        chosen = [row for row in rows if row[0] == kind]
        axes.plot([row[1] for row in chosen], [row[column] for row in chosen], "o-", label=kind)
    axes.set_xlabel("sparsity")
    axes.set_ylabel(label)
    axes.legend()
write_figure(figure, "pruning.png")
print("wrote pruning.png")
