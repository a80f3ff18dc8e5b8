"""
A small network and its teacher
===============================

Three convolutions learn Fashion-MNIST twice, from the labels alone and from ResNet-18 as well; then both at 8 and at 4 bits.

Needs PyTorch, the extra ``torch``, matplotlib, the extra ``plot``, and either TVM. Takes two minutes on one core.

Without options it takes ResNet-18 and the images of the folder that ``RE2NA_DATA`` names. With your own::

    python 04_distillation.py --teacher classifier.onnx --data images.npz

The last 2,000 images (``--tested``) must be new to the teacher: they are tested. The student learns from the first ones.
"""

# %%
# Settings
# --------
#
# In the notebook change them here; the script takes each as an option, ``--steps 100``.
import os
import sys
from pathlib import Path

from tvm_re2na.tutorials.support import need, settings, show

options = settings(__doc__, teacher=None, data=None, images=4000, steps=400, tested=2000, seed=0)
need("torch")
need("plot")
need("relax", "relay")
folder = Path(os.environ.get("RE2NA_DATA", ""))
teacher_file = options.teacher or folder / "resnet18_fmnist64.onnx"
data_file = options.data or folder / "fmnist64_test.npz"
if not (teacher_file.is_file() and data_file.is_file()):
    sys.exit(f"{Path(sys.argv[0]).name}: needs --teacher FILE.onnx --data IMAGES.npz, or their folder in RE2NA_DATA")

import onnxruntime
import torch
from torch import nn

from tvm_re2na import load_dataset

data = load_dataset(data_file)
first, last = min(options.images, len(data) - options.tested), len(data) - options.tested
images, labels = torch.from_numpy(data.read(0, first)), torch.from_numpy(data.y[:first])
unseen, classes = torch.from_numpy(data.read(last, len(data))), torch.from_numpy(data.y[last:])


@torch.no_grad()
def top1(model) -> float:
    right = [
        (model(part).argmax(1) == known).sum()
        for part, known in zip(unseen.split(256), classes.split(256), strict=True)
    ]
    return float(sum(right)) / len(unseen)


# %%
# 1. The teacher, in ONNX Runtime
# -------------------------------
#
# ``distill`` takes any function from images to scores, or the scores themselves. **Expect** 0.9225.
runtime = onnxruntime.InferenceSession(teacher_file)
given = runtime.get_inputs()[0].name


def teacher(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(runtime.run(None, {given: x.numpy()})[0])


print(f"teacher: top-1 {top1(teacher):.4f} on {len(unseen):,} images that nobody trained with")
with torch.no_grad():  # once for all trainings: the images stay as they are
    answers = torch.cat([teacher(part) for part in images.split(256)])


# %%
# 2. The student: three convolutions and a dense layer
# ----------------------------------------------------
def student() -> nn.Sequential:
    torch.manual_seed(options.seed)
    layers: list[nn.Module] = []
    channels, height, width = data.shape
    for inputs, outputs in ((channels, 8), (8, 16), (16, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        height, width = (height + 1) // 2, (width + 1) // 2
    dense = nn.Linear(32 * (height // 2) * (width // 2), int(labels.max()) + 1)
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), dense)


# %%
# 3. Train it twice, with the same images from the same start
# -----------------------------------------------------------
#
# From the labels alone (weight 0), and from the teacher too.
from tvm_re2na.progress import progress_bar
from tvm_re2na.torch import distill

WAYS = {"labels alone": 0.0, "with the teacher": 0.9}
students, reports = {}, {}
for name, weight in WAYS.items():
    students[name] = student()
    with progress_bar() as progress:
        reports[name] = distill(
            answers,
            students[name],
            images,
            labels,
            weight=weight,
            steps=options.steps,
            rate=4e-3,
            seed=options.seed,
            progress=progress,
        )

# %%
# 4. What is left of it at 8 and at 4 bits
# ----------------------------------------
#
# Quantised as it is, and trained on at 4 bits, the way each was trained before. **Expect** one to two points more with the
# teacher, at each width.
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.torch import convert

known, columns = images[:128], ("float", "8 bits", "4 bits", "4 bits, trained on")
found: dict[str, list[float]] = {}
for name, weight in WAYS.items():
    model = students[name].eval()
    tuned = convert(model, known, arch=Architecture(data_bits=4), weights="float")
    distill(answers, tuned, images, labels, weight=weight, steps=options.steps // 4, rate=1e-3, seed=options.seed)
    quantized = [convert(model, known, arch=Architecture(data_bits=bits)) for bits in (8, 4)]
    found[name] = [top1(each) for each in (model, *quantized, tuned)]
    print(f"{name}: " + ", ".join(f"{column} {value:.4f}" for column, value in zip(columns, found[name], strict=True)))

# %%
# 5. How it went
# --------------
from tvm_re2na.plot import new_figure, style

figure = new_figure(9, 3.5, "a small network on Fashion-MNIST", "with and without a teacher")
left, right = figure.subplots(1, 2)
for name, color in zip(WAYS, (style.ORANGE, style.MACHINE), strict=True):
    left.plot(*zip(*reports[name].held_out, strict=True), "o-", color=color, label=name)
    right.plot([column.replace(", ", ",\n") for column in columns], found[name], "o", color=color, label=name)
style.describe(left, "float, on images it does not train with", "steps", "top-1")
style.describe(right, f"{len(unseen):,} test images", y="top-1")
for axes in (left, right):
    style.percentages(axes.yaxis)
left.legend(loc="lower right")
show(figure, "distillation.png")

# %%
# 6. Export it, and see what it costs on Re²Na
# --------------------------------------------
#
# **Expect** every bit as on the CPU.
import tvm_re2na
from tvm_re2na.torch import export

export(convert(students["with the teacher"], known), data.shape, "student.int8.onnx")
result = tvm_re2na.compare("student.int8.onnx", data_file, limit=50)
print(f"bit-identical to the CPU: {result.bit_identical}, overflows: {result.re2na.overflows}")
print(f"{result.re2na.cycles:,.0f} cycles an image")
