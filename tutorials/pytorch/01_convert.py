"""
LeNet-5 in PyTorch, with the machine's bits
===========================================

Convert a trained network, see what the machine computes, train with it, add a layer of your own, export.

Needs PyTorch, the extra ``torch``, matplotlib, the extra ``plot``, and either TVM. Takes twenty seconds. It uses the weights
and the images that come with the package.
"""

# %%
# Settings, a trained network, images
# -----------------------------------
from tvm_re2na.tutorials.support import need, settings, show

options = settings(__doc__, limit=1000)
need("torch")
need("plot")
need("relax", "relay")

import torch
from torch import nn

import tvm_re2na
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.tutorials.lenet5_torch import demo_images, top1, trained

network = trained()
test, calibration = demo_images()
images, known = torch.tensor(test.x[: options.limit]), torch.tensor(calibration.x)
print(f"float: {top1(network, test):.4f}")

# %%
# 1. Convert
# ----------
#
# Every layer becomes one of Re²Na's, with the exponents that the quantiser finds. **Expect** the float network's accuracy.
from tvm_re2na.torch import convert

quantized = convert(network, known)
print(quantized.code)
print(f"8 bits: {top1(quantized, test):.4f}")

# %%
# 2. What a layer holds
# ---------------------
#
# Values are real numbers, multiples of a power of two: what the machine computes, to the bit.
conv = quantized.get_submodule("conv1")
weight, bias = conv.integers()
print(f"conv1: steps of 2**{conv.exponent}, weights {int(weight.min())}..{int(weight.max())}, {conv.lsb} bits cut off")

# %%
# 3. How often does an accumulator overflow?
# ------------------------------------------
#
# With the same scales, chosen for 17 bits, on narrower ones. **Expect** none at 17 bits, nor at 16, since there is headroom;
# points lost at 15, and a useless network at 14: a sum that overflows wraps to the other sign.
from dataclasses import replace

from tvm_re2na.plot import new_figure, style
from tvm_re2na.torch.layers import QLinearLayer

layers = [module for module in quantized.modules() if isinstance(module, QLinearLayer)]
widths = [17, 16, 15, 14]
overflows, accuracy = [], []
for acc_bits in widths:
    for layer in layers:
        layer.arch, layer.count_overflows, layer.overflows = replace(layer.arch, acc_bits=acc_bits), True, 0
    accuracy.append(top1(quantized, test))
    overflows.append(sum(layer.overflows for layer in layers))
    print(f"{acc_bits}-bit accumulator: {accuracy[-1]:.4f}, {overflows[-1]:,} overflows")

figure = new_figure(8, 3.5, "one set of scales on narrower accumulators", "LeNet-5")
left, right = figure.subplots(1, 2)
style.series(left, widths, {"Re²Na": accuracy})
style.series(right, widths, {"Re²Na": overflows})
style.describe(left, "top-1: images with the right class", "bits of the accumulator", "share")
style.describe(right, f"overflows, {len(test):,} images", "bits of the accumulator", "sums")
style.percentages(left.yaxis)
style.numbers(right.yaxis)
for axes in (left, right):
    style.every(axes.xaxis, widths)
show(figure, "accumulators.png")

# %%
# 4. Train with the machine's arithmetic in the forward pass
# ----------------------------------------------------------
#
# 3 bits, a few steps, any optimiser. **Expect** some points back; the next tutorial does better.
machine = Architecture(data_bits=3)
student = convert(network, known, arch=machine, weights="float")
print(f"3 bits, float weights rounded: {top1(student, test):.4f}")
optimiser = torch.optim.Adam(student.parameters(), 1e-3)
with torch.no_grad():
    answers = network(known).softmax(1)
for step in range(60):
    loss = nn.functional.cross_entropy(student(known) / 2, answers)
    optimiser.zero_grad()
    loss.backward()  # roundings pass the gradient on, what saturates does not
    optimiser.step()
    if step % 20 == 0:
        print(f"step {step}: loss {loss.item():.3f}")
print(f"3 bits, after 60 steps on {len(known)} images: {top1(student, test):.4f}")

# %%
# 5. A layer of your own, in a few lines
# --------------------------------------
#
# An activation with a ceiling: the array clips as it cuts, so any ReLU with a bound runs on it.
from tvm_re2na.torch import QReLU


class Ceiling(nn.Module):
    """What a user has in the network."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.clamp(0, 4)


class QCeiling(QReLU):
    """What it is on the machine."""

    def __init__(self) -> None:
        super().__init__(max_value=4.0)


network.relu = Ceiling()
clipped = convert(network, known, layers={Ceiling: QCeiling})
print(f"with a ceiling of 4: float {top1(network, test):.4f}, 8 bits {top1(clipped, test):.4f}")

# %%
# 6. Export
# ---------
#
# Plain ONNX QDQ, which TVM partitions like any other. **Expect** the simulator to give the bits of the module.
from tvm_re2na import pipeline
from tvm_re2na.torch import export

model = export(clipped, (1, 28, 28), "lenet5_clipped.int8.onnx")
mod, params = pipeline.import_into_tvm(model, len(images))
built = pipeline.build_for_re2na(mod, params, Architecture())
with torch.no_grad():
    same = (built.executor()(images.numpy())[0] == clipped(images).numpy()).all()
print(f"offloaded: {built.offloaded_macs_share:.0%} of the MACs; bit-identical to the simulator: {same}")
print(tvm_re2na.compare("lenet5_clipped.int8.onnx", test, limit=options.limit, batch=10).re2na)
