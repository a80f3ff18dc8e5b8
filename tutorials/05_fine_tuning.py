"""Fine-tuning: LeNet-5 at few bits, taught by its float self on a handful of images.

    python tutorials/05_fine_tuning.py [--bits 3] [--steps 300]

It uses the 128 calibration images that come with the package; benchmarks/fine_tuning.py has 512. Needs PyTorch, the extra [torch],
and either TVM. Takes half a minute.
"""

# %% Options
import argparse

from needs import need

parser = argparse.ArgumentParser(description="fine-tune LeNet-5 for a machine of few bits")
parser.add_argument("--bits", type=int, default=3)
parser.add_argument("--steps", type=int, default=300)
options = parser.parse_args()
need("torch")
need("relax", "relay")

import torch
from lenet5_torch import demo_images, top1, trained

from tvm_re2na.codegen.arch import Architecture

teacher = trained()
test, calibration = demo_images()
images = torch.tensor(calibration.x)
machine = Architecture(data_bits=options.bits)

# %% 1. What the quantiser reaches without training: input, weights, activations and result have this width
from tvm_re2na.torch import Augment, convert, export, fine_tune

print(f"float {top1(teacher, test):.4f}, {options.bits} bits {top1(convert(teacher, images, arch=machine), test):.4f}")

# %% 2. Train from the float weights. Every batch is changed anew, and the teacher says what it shows: no labels are needed.
student = convert(teacher, images, arch=machine, weights="float")
report = fine_tune(student, images, teacher, steps=options.steps, augment=Augment(fill=float(images.min())))
for step, agreement in report.held_out[::4]:
    print(f"step {step:>4}: {agreement:.3f} of the teacher's answers on changed images that it does not train with")
print(f"{options.bits} bits, fine-tuned: {top1(student, test):.4f}")

# %% 3. It is a model like any other: export it, compile it, compare it
import tvm_re2na

export(student, test.shape, "lenet5_tuned.int8.onnx")
result = tvm_re2na.compare("lenet5_tuned.int8.onnx", test, arch=machine, limit=200, batch=10)
print(f"bit-identical to the CPU: {result.bit_identical}, overflows: {result.re2na.overflows}")
