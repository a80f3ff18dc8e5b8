"""ResNet-18 (torchvision's topology): what is offloaded, how exact it is, and where the cycles go.

python tutorials/02_resnet18.py --weights pretrained --imagenet imagenet/val
python tutorials/02_resnet18.py --model resnet18.onnx --data test.npz --calibration calib.npz --limit 100

Needs TVM 0.19, the extra [relay]. Takes half a minute with 100 images of 64x64.
"""

# %% Options
from common import find_images, find_model, parse_options
from needs import need

options = parse_options("ResNet-18")
need("relay")

# %% 1. The float model and the images
from tvm_re2na.pipeline import model_input

model = find_model(options, "resnet18")
test, calibration = find_images(options, size=model_input(model).image[-1])

# %% 2. Quantise. BatchNormalization is folded into the convolutions; each residual addition gets one exponent for both
# operands and its result, so that it adds exactly
from tvm_re2na.quantize import quantize

quantized = quantize(model, calibration.x)

# %% 3. Import into TVM and cut out what Re²Na takes
import tvm
from tvm import relay

import tvm_re2na

shape = {model_input(model).name: (1, *test.shape)}
mod, params = relay.frontend.from_onnx(quantized.model, shape=shape, freeze_params=True)
rows = tvm_re2na.explain(mod, params)
print(f"{sum(row.offloaded for row in rows)} of {len(rows)} operators run on Re²Na")
for row in rows:
    if not row.offloaded:
        print(f"  CPU: {row.name} ({row.op}): {row.reason}")

# %% 4. Build, keeping the programs of the offloaded regions
from tvm_re2na.relay import collect_programs

partitioned = tvm_re2na.partition_for_re2na(mod, params)
with collect_programs() as programs, tvm.transform.PassContext(opt_level=3):
    library = relay.build(partitioned, target="re2na")
for symbol, program in programs:
    print(f"{symbol}: {len(program.instructions)} instructions, {len(program.constants):,} bytes of constants")

# %% 5. One image: all outputs against TVM's integer execution on the CPU
import numpy as np

from tvm_re2na import pipeline
from tvm_re2na.relay.session import open_library

image = test.read(0, 1)
on_cpu = pipeline.build_for_cpu(mod, params).executor()(image)
on_re2na = open_library(library)(image)
print("bit-identical:", all(np.array_equal(a, b) for a, b in zip(on_cpu, on_re2na, strict=True)))

# %% 6. All images
result = tvm_re2na.compare(quantized.model, test)
print(f"top-1: int8 CPU {result.cpu_int8.top1:.4f}, Re²Na {result.re2na.top1:.4f}")
print(
    f"{result.re2na.cycles:,.0f} cycles, {result.re2na.utilisation:.1%} of the array, {result.re2na.overflows} overflows"
)
