"""What the PyTorch tutorials share: LeNet-5 as a user writes it, with the demo's trained weights, and the demo's images."""

from __future__ import annotations

from importlib import resources
from pathlib import Path

import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn

from tvm_re2na import Dataset, load_dataset


class LeNet5(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv1, self.conv2 = nn.Conv2d(1, 6, 5, padding=2), nn.Conv2d(6, 16, 5)
        self.fc1, self.fc2, self.fc3 = nn.Linear(400, 120), nn.Linear(120, 84), nn.Linear(84, 10)
        self.pool, self.relu = nn.MaxPool2d(2), nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(self.relu(self.conv1(x)))
        x = self.pool(self.relu(self.conv2(x)))
        x = self.relu(self.fc1(x.flatten(1)))
        return self.fc3(self.relu(self.fc2(x)))


def trained(path: Path | None = None) -> LeNet5:
    """With the weights of an ONNX LeNet-5: the demo's, or those of `path`."""
    model = onnx.load(path or demo_file("lenet5_mnist.onnx"))
    weights = {item.name: torch.tensor(numpy_helper.to_array(item).copy()) for item in model.graph.initializer}
    network = LeNet5()
    network.load_state_dict({name: weights[name] for name in network.state_dict()})
    return network.eval()


def demo_images() -> tuple[Dataset, Dataset]:
    """1,000 test images and 128 to calibrate with."""
    return load_dataset(demo_file("mnist_test1000.npz")), load_dataset(demo_file("mnist_calibration128.npz"))


def demo_file(name: str) -> Path:
    return Path(str(resources.files("tvm_re2na") / "demo" / name))


@torch.no_grad()
def top1(model: nn.Module, images: Dataset) -> float:
    classes = model(torch.from_numpy(images.x)).argmax(1).numpy()
    return float((classes == images.y).mean())
