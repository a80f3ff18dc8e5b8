"""Fine-tuning a trained MobileNetV3-small (HardSwish, squeeze-and-excitation) at weights of few bits.

    RE2NA_DATA=folder python benchmarks/fine_tuning_newer.py [--weight-bits 2] [--steps 300] [--bound norm]

Needs torchvision for the architecture; the weights are those of mobilenet_v3_small_fmnist64.onnx. Calibrated and tuned on the 512
images of fmnist64_calib512.npz, without labels, measured on images 8,000 to 9,999 of fmnist64_test.npz. Each row: top-1, and how
many of the network's sums on these images overflowed the accumulator. About six minutes.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from tvm_re2na.data import load_dataset
from tvm_re2na.quantize import QuantizeOptions
from tvm_re2na.torch import convert, fine_tune
from tvm_re2na.torch.layers import QLinearLayer

UNSEEN = slice(8000, 10000)
BATCH = 100


def float_network(path: Path) -> nn.Module:
    """torchvision's MobileNetV3-small for 10 classes; what the file keeps once for equal tensors goes to each of them."""
    from torchvision.models import mobilenet_v3_small

    model = mobilenet_v3_small(num_classes=10)
    graph = onnx.load(path).graph
    arrays = {item.name: numpy_helper.to_array(item) for item in graph.initializer}
    arrays |= {node.output[0]: arrays[node.input[0]] for node in graph.node if node.op_type == "Identity"}
    state = model.state_dict()
    for name, value in state.items():
        if value.dtype.is_floating_point:
            state[name] = torch.from_numpy(np.array(arrays[name]))
    model.load_state_dict(state)
    return model.eval()


@torch.no_grad()
def measured(model: nn.Module, images: Tensor, labels: np.ndarray) -> str:
    layers = [module for module in model.modules() if isinstance(module, QLinearLayer)]
    for layer in layers:
        layer.count_overflows, layer.overflows = True, 0
    found = torch.cat([model(part).argmax(1) for part in images.split(BATCH)]).numpy()
    for layer in layers:
        layer.count_overflows = False
    overflows = f", {sum(layer.overflows for layer in layers)} overflows" if layers else ""
    return f"top-1 {(found == labels).mean():.4f}{overflows}"


def changed(images: Tensor) -> Tensor:
    """Mirrored, and moved by up to three pixels."""
    mirrored = torch.where(torch.rand(len(images), 1, 1, 1) < 0.5, images.flip(3), images)
    rows, columns = torch.randint(-3, 4, (2,)).tolist()
    return mirrored.roll((rows, columns), (2, 3))


def main() -> None:
    parser = argparse.ArgumentParser(description="fine-tune MobileNetV3-small at few bits")
    parser.add_argument("--weight-bits", type=int, default=2)
    parser.add_argument("--steps", type=int, default=300)
    parser.add_argument("--bound", choices=["norm", "centred", "none"], default="norm")
    options = parser.parse_args()
    if "RE2NA_DATA" not in os.environ:
        sys.exit("set RE2NA_DATA to the folder with the models and images")
    folder = Path(os.environ["RE2NA_DATA"])
    torch.set_num_threads(1)
    teacher = float_network(folder / "mobilenet_v3_small_fmnist64.onnx")
    test, known = load_dataset(folder / "fmnist64_test.npz"), load_dataset(folder / "fmnist64_calib512.npz")
    images, labels, tuning = torch.from_numpy(test.x[UNSEEN]), test.y[UNSEEN], torch.from_numpy(known.x)
    print(f"float: {measured(teacher, images, labels)}", flush=True)
    wanted = QuantizeOptions(weight_bits=options.weight_bits, search_images=32)
    quantised = convert(teacher, known.x, options=wanted)
    print(f"post-training, weights of {options.weight_bits} bits: {measured(quantised, images, labels)}", flush=True)
    student = convert(teacher, known.x, options=wanted, weights="float")
    started = time.perf_counter()
    report = fine_tune(
        student,
        tuning,
        teacher,
        steps=options.steps,
        batch=24,
        augment=changed,
        bound=None if options.bound == "none" else options.bound,
    )
    shares = ", ".join(f"{step}: {share:.3f}" for step, share in report.held_out[:: max(1, len(report.held_out) // 5)])
    print(f"{options.steps} steps in {time.perf_counter() - started:.0f} s; the teacher's answers given: {shares}")
    print(f"fine-tuned: {measured(student, images, labels)}")


if __name__ == "__main__":
    main()
