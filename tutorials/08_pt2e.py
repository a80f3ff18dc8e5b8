"""LeNet-5 with PyTorch's own quantisation (PT2E): export, calibrate, convert, import into TVM, run on Re²Na.

    python tutorials/08_pt2e.py [--limit 200]

It uses the weights and the images that come with the package. Needs TVM 0.27, PyTorch and torchao:
the extras [relax] and [pt2e]. Takes twenty seconds.
"""

# %% Options, a trained network, images
import argparse

from needs import need

parser = argparse.ArgumentParser(description="LeNet-5 from PyTorch's PT2E to Re²Na")
parser.add_argument("--limit", type=int, default=200)
options = parser.parse_args()
need("relax")
need("pt2e")

import torch
from lenet5_torch import demo_images, trained

import tvm_re2na

network = trained()
test, calibration = demo_images()
images, known = torch.tensor(test.x[: options.limit]), test.y[: options.limit]
print(f"{len(images)} test images, {len(calibration)} to calibrate with")

# %% 1. Export, and let PT2E put observers where Re2naQuantizer says: power-of-two scales, without which nothing is offloaded
from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e

from tvm_re2na.torch.pt2e import Re2naQuantizer

prepared = prepare_pt2e(torch.export.export(network, (images[:1],)).module(), Re2naQuantizer())

# %% 2. Calibrate and convert: between `quantize` and `dequantize`, the operators stay floating point in PyTorch
with torch.no_grad():
    for image in torch.tensor(calibration.x):
        prepared(image[None])
    quantized = torch.export.export(convert_pt2e(prepared), (images[:1],))

# %% 3. Import it into TVM
from tvm_re2na.relax.pt2e import from_exported_program

mod = from_exported_program(quantized, unwrap_unit_return_tuple=True)

# %% 4. What will run where?
for row in tvm_re2na.explain(mod):
    print(f"{row.op:<12} {'Re²Na' if row.offloaded else f'CPU: {row.reason}'}")

# %% 5. Partition, let Re²Na's code generator have its part, compile the rest
import tvm
from tvm import relax

partitioned = tvm_re2na.partition_for_re2na(mod)
library = tvm.compile(relax.transform.RunCodegen()(partitioned), target="re2na")

# %% 6. Run in TVM's virtual machine, and beside it the same network in TVM's integer code for the CPU
from tvm_re2na import pipeline
from tvm_re2na.runtime.library import bridge_reset, bridge_totals

machine = relax.VirtualMachine(library, tvm.cpu())
on_cpu = pipeline.build_for_cpu(mod, {}).executor()
bridge_reset()
hits = cpu_hits = same = 0
for image, label in zip(images.numpy(), known, strict=True):
    scores = machine["main"](tvm.runtime.tensor(image[None])).numpy()
    expected = on_cpu(image[None])[0]
    hits, cpu_hits = hits + int(scores.argmax() == label), cpu_hits + int(expected.argmax() == label)
    same += int((scores == expected).all())

# %% 7. The answer. PT2E's scales come from observed ranges alone: where sums overflow 17 bits, the CPU's 32 bits differ.
with torch.no_grad():
    float_top1 = float((network(images).argmax(1).numpy() == known).mean())
print(f"float {float_top1:.4f}, int8 CPU {cpu_hits / len(images):.4f}, Re²Na {hits / len(images):.4f}")
print(f"{bridge_totals()['overflows']} accumulator overflows")
print(f"bit-identical to the CPU: {same} of {len(images)} images")
