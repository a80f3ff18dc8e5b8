"""Distillation: a small network on Fashion-MNIST, with and without ResNet-18 as its teacher, in float, at 8 and at 4 bits.

    python tutorials/09_distillation.py --teacher resnet18_fmnist64.onnx --data fmnist64_test.npz [--images 4000] [--steps 400]

The teacher is any ONNX classifier; its data an .npz with x, y, mean and std (docs/cli.md#images). It must not have been trained
with the last 2,000 of the images: those are tested. The student learns from the first ones (--images), of which it has the labels.

Needs PyTorch, the extra [torch], and either TVM. Takes two minutes.
"""

# %% Options
import argparse
from pathlib import Path

from needs import need

parser = argparse.ArgumentParser(description="a small network, with and without a large one as its teacher")
parser.add_argument("--teacher", type=Path, required=True, help="an ONNX file: images -> scores")
parser.add_argument("--data", type=Path, required=True, help="an .npz file with x, y, mean and std")
parser.add_argument("--images", type=int, default=4000, help="how many of the first images to train with (4,000)")
parser.add_argument("--steps", type=int, default=400, help="of training (400)")
parser.add_argument("--tested", type=int, default=2000, help="how many of the last images to test with (2,000)")
parser.add_argument("--seed", type=int, default=0)
options = parser.parse_args()
need("torch")
need("relax", "relay")

import onnxruntime
import torch
from torch import nn

from tvm_re2na import load_dataset

data = load_dataset(options.data)
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


# %% 1. The teacher, in ONNX Runtime. `distill` takes any function from images to scores, or the scores themselves.
runtime = onnxruntime.InferenceSession(options.teacher)
given = runtime.get_inputs()[0].name


def teacher(x: torch.Tensor) -> torch.Tensor:
    return torch.from_numpy(runtime.run(None, {given: x.numpy()})[0])


print(f"teacher: top-1 {top1(teacher):.4f} on {len(unseen):,} images that nobody trained with")
with torch.no_grad():
    answers = torch.cat(
        [teacher(part) for part in images.split(256)]
    )  # once for all trainings: the images stay as they are


# %% 2. The student: three convolutions and a dense layer
def student() -> nn.Sequential:
    torch.manual_seed(options.seed)
    layers: list[nn.Module] = []
    channels, height, width = data.shape
    for inputs, outputs in ((channels, 8), (8, 16), (16, 32)):
        layers += [nn.Conv2d(inputs, outputs, 3, 2, 1), nn.BatchNorm2d(outputs), nn.ReLU()]
        height, width = (height + 1) // 2, (width + 1) // 2
    dense = nn.Linear(32 * (height // 2) * (width // 2), int(labels.max()) + 1)
    return nn.Sequential(*layers, nn.MaxPool2d(2), nn.Flatten(), dense)


# %% 3. Train it twice, with the same images from the same start: from the labels alone (weight 0), and from the teacher too
from tvm_re2na.torch import distill

students = {}
for name, weight in (("labels alone", 0.0), ("with the teacher", 0.9)):
    students[name] = student()
    report = distill(
        answers, students[name], images, labels, weight=weight, steps=options.steps, rate=4e-3, seed=options.seed
    )
    print(f"{name}: {report.held_out[-1][1]:.4f} of {round(0.1 * first)} images that it did not train with")

# %% 4. What is left of it at 8 and at 4 bits: quantised as it is, and trained on at 4 bits, the way each was trained before
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.torch import convert

known = images[:128]
print(f"{'top-1':<20}{'float':>10}{'8 bits':>10}{'4 bits':>10}{'trained on':>12}")
for name, weight in (("labels alone", 0.0), ("with the teacher", 0.9)):
    model = students[name].eval()
    found = [top1(model), *(top1(convert(model, known, arch=Architecture(data_bits=bits))) for bits in (8, 4))]
    tuned = convert(model, known, arch=Architecture(data_bits=4), weights="float")
    distill(answers, tuned, images, labels, weight=weight, steps=options.steps // 4, rate=1e-3, seed=options.seed)
    found.append(top1(tuned))
    print(f"{name:<20}" + "".join(f"{value:>10.4f}" for value in found[:3]) + f"{found[3]:>12.4f}")

# %% 5. Export it, and see what it costs on Re²Na
import tvm_re2na
from tvm_re2na.torch import export

export(convert(students["with the teacher"], known), data.shape, "student.int8.onnx")
result = tvm_re2na.compare("student.int8.onnx", options.data, limit=50)
print(
    f"bit-identical to the CPU: {result.bit_identical}, overflows: {result.re2na.overflows}, cycles: {result.re2na.cycles:,.0f}"
)
