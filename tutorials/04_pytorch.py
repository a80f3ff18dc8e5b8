"""LeNet-5 in PyTorch: convert it, see the machine's bits, train with them, add a layer of your own, export.

    python tutorials/04_pytorch.py [--limit 1000]

It uses the weights and the images that come with the package. Needs PyTorch, the extra [torch], and either TVM.
Takes twenty seconds.
"""

# %% Options, a trained network, images
import argparse

from needs import need

parser = argparse.ArgumentParser(description="LeNet-5 from PyTorch to Re²Na")
parser.add_argument("--limit", type=int, default=1000)
options = parser.parse_args()
need("torch")
need("relax", "relay")

import torch
from lenet5_torch import demo_images, top1, trained
from torch import nn

import tvm_re2na
from tvm_re2na.codegen.arch import Architecture

network = trained()
test, calibration = demo_images()
images, known = torch.tensor(test.x[: options.limit]), torch.tensor(calibration.x)
print(f"float: {top1(network, test):.4f}")

# %% 1. Convert: every layer becomes one of Re²Na's, with the exponents that the quantiser finds
from tvm_re2na.torch import convert

quantized = convert(network, known)
print(quantized.code)
print(f"8 bits: {top1(quantized, test):.4f}")

# %% 2. Values are real numbers, multiples of a power of two: what the machine computes, to the bit
conv = quantized.get_submodule("conv1")
weight, bias = conv.integers()
print(f"conv1: steps of 2**{conv.exponent}, weights {int(weight.min())}..{int(weight.max())}, {conv.lsb} bits cut off")

# %% 3. How often does an accumulator of 17 bits overflow? And one of 14, with the same scales?
from dataclasses import replace

from tvm_re2na.torch.layers import QLinearLayer

layers = [module for module in quantized.modules() if isinstance(module, QLinearLayer)]
for acc_bits in (17, 14):
    for layer in layers:
        layer.arch, layer.count_overflows, layer.overflows = replace(layer.arch, acc_bits=acc_bits), True, 0
    print(
        f"{acc_bits}-bit accumulator: {top1(quantized, test):.4f}, {sum(layer.overflows for layer in layers):,} overflows"
    )

# %% 4. Train with the machine's arithmetic in the forward pass: 3 bits, a few steps, any optimiser
machine = Architecture(data_bits=3)
student = convert(network, known, arch=machine, weights="float")
print(f"3 bits, float weights rounded: {top1(student, test):.4f}")
optimiser = torch.optim.Adam(student.parameters(), 1e-3)
with torch.no_grad():
    answers = network(known).softmax(1)
for _ in range(60):
    loss = nn.functional.cross_entropy(student(known) / 2, answers)
    optimiser.zero_grad()
    loss.backward()  # roundings pass the gradient on, what saturates does not
    optimiser.step()
print(f"3 bits, after 60 steps on {len(known)} images: {top1(student, test):.4f} (05_fine_tuning.py does better)")

# %% 5. A layer of your own, in a few lines: an activation with a ceiling (docs/torch.md has one that Re²Na has not)
from tvm_re2na.torch import QReLU


class Ceiling(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(0, 4)


class QCeiling(QReLU):
    """The array clips as it cuts: any ReLU with a bound runs on it."""

    def __init__(self) -> None:
        super().__init__(max_value=4.0)


network.relu = Ceiling()
clipped = convert(network, known, layers={Ceiling: QCeiling})
print(f"with a ceiling of 4: float {top1(network, test):.4f}, 8 bits {top1(clipped, test):.4f}")

# %% 6. Export: plain ONNX QDQ, which TVM partitions like any other. The simulator gives the bits of the module.
from tvm_re2na import pipeline
from tvm_re2na.torch import export

model = export(clipped, (1, 28, 28), "lenet5_clipped.int8.onnx")
mod, params = pipeline.import_into_tvm(model, len(images))
built = pipeline.build_for_re2na(mod, params, Architecture())
with torch.no_grad():
    same = (built.executor()(images.numpy())[0] == clipped(images).numpy()).all()
print(f"offloaded: {built.offloaded_macs_share:.0%} of the MACs; bit-identical to the simulator: {same}")
print(tvm_re2na.compare("lenet5_clipped.int8.onnx", test, limit=options.limit, batch=10).re2na)
