"""What the tutorials on torchvision's networks share: their options, and how the model and the images are found."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import onnx
from needs import need

from tvm_re2na import Dataset, load_dataset, load_model


def parse_options(network: str) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=f"{network} from float ONNX to Re²Na")
    model = parser.add_mutually_exclusive_group(required=True)
    model.add_argument(
        "--weights", choices=["pretrained"], help="download torchvision's ImageNet weights (needs torch)"
    )
    model.add_argument("--model", type=Path, help="a local ONNX file")
    images = parser.add_mutually_exclusive_group(required=True)
    images.add_argument("--imagenet", type=Path, help="a folder of validation images, one sub-folder per class")
    images.add_argument("--data", type=Path, help="an .npz file with x, y, mean and std")
    parser.add_argument("--calibration", type=Path, help="calibration images (default: 128 of the test images)")
    parser.add_argument("--output", type=Path, help="where to keep the int8 model")
    parser.add_argument("--limit", type=int, default=100, help="how many images to test (100)")
    return parser.parse_args()


def find_model(options: argparse.Namespace, network: str) -> onnx.ModelProto:
    """The user's ONNX file, or torchvision's network with ImageNet weights."""
    return load_model(options.model or export_pretrained(network))


def export_pretrained(network: str) -> Path:
    """Download torchvision's weights once and export them to ONNX, in the current folder."""
    path = Path(f"{network}_imagenet.onnx")
    if not path.exists():
        need("torchvision")
        import torch
        import torchvision

        module: Any = getattr(torchvision.models, network)(weights="DEFAULT").eval()
        names = {"input_names": ["input"], "output_names": ["output"]}
        torch.onnx.export(module, (torch.zeros(1, 3, 224, 224),), path, opset_version=17, dynamo=False, **names)
    return path


def find_images(options: argparse.Namespace, size: int) -> tuple[Dataset, Dataset]:
    """Test images, and images to calibrate with (128 are plenty). Calibrate with training images if you have them."""
    source = options.imagenet or options.data
    return load_dataset(source, options.limit, size), load_dataset(options.calibration or source, 128, size)
