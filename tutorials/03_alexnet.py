"""AlexNet (torchvision's topology): what is offloaded, how exact it is, and where the cycles go.

python tutorials/03_alexnet.py --weights pretrained --imagenet imagenet/val
python tutorials/03_alexnet.py --model alexnet.onnx --data test.npz --calibration calib.npz --limit 100

Needs TVM 0.19, the extra [relay]. Takes half a minute with 100 images of 64x64.
"""

# %% Options
from common import find_images, find_model, parse_options
from needs import need

options = parse_options("AlexNet")
need("relay")

# %% 1. The float model and the images
from tvm_re2na.pipeline import model_input

model = find_model(options, "alexnet")
test, calibration = find_images(options, size=model_input(model).image[-1])

# %% 2. Quantise once, keep the file: ONNX Runtime, Netron and any TVM can read it
import onnx

from tvm_re2na.quantize import quantize

quantized = quantize(model, calibration.x)
onnx.save(quantized.model, options.output or "alexnet.int8.onnx")

# %% 3. Import into TVM, build for a machine of your own: here one whose PEs start a multiplication every cycle
import tvm
from tvm import relay

import tvm_re2na

machines = {
    "one MAC every 5 cycles": tvm_re2na.Architecture(),
    "pipelined PE": tvm_re2na.Architecture(mac_interval=1),
}
shape = {model_input(model).name: (1, *test.shape)}
mod, params = relay.frontend.from_onnx(quantized.model, shape=shape, freeze_params=True)

# %% 4. The same image on each: the same bits, other cycles
from tvm.contrib import graph_executor

from tvm_re2na.runtime.library import bridge_reset, bridge_totals

for name, arch in machines.items():
    partitioned = tvm_re2na.partition_for_re2na(mod, params, arch=arch)
    with tvm.transform.PassContext(opt_level=3):
        library = relay.build(partitioned, target="re2na")
    executor = graph_executor.GraphModule(library["default"](tvm.cpu()))
    executor.set_input(0, test.read(0, 1))
    bridge_reset()
    executor.run()
    totals = bridge_totals()
    best = executor.get_output(0).numpy().argmax()
    print(f"{name}: {totals['cycles']:,} cycles, {totals['dram_bytes']:,} bytes of DRAM traffic, class {best}")

# %% 5. All images, against float and CPU
result = tvm_re2na.compare(model, test, calibration)
print(f"top-1: float {result.float32.top1:.4f}, int8 CPU {result.cpu_int8.top1:.4f}, Re²Na {result.re2na.top1:.4f}")
print(f"bit-identical to the CPU: {result.bit_identical}; {result.re2na.overflows} accumulator overflows")
