"""Where the tutorials on ResNet-18 and AlexNet find the network and images."""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path
from typing import Any

import onnx

from tvm_re2na import Dataset, load_dataset, load_model
from tvm_re2na.pipeline import sample_of
from tvm_re2na.tutorials.support import need

VARIABLE = "RE2NA_DATA"
PRETRAINED = "pretrained"
CALIBRATION_IMAGES = 128


def network_and_images(options: argparse.Namespace, name: str) -> tuple[onnx.ModelProto, Dataset, Dataset]:
    """The float model, test images and images to calibrate with.

    `options` has `model` (an ONNX file, or `pretrained` for torchvision's with ImageNet weights), `data`, `calibration` (an `.npz`
    or a folder with a sub-folder per class) and `limit`. Left out, they are those of the folder that RE2NA_DATA names: `name`
    trained on Fashion-MNIST at 64x64. Calibration images that are not named are some of the test images.
    """
    model, data, calibration = paths(options, name)
    loaded = load_model(model)
    size = sample_of(loaded)
    return loaded, load_dataset(data, options.limit, size), load_dataset(calibration, CALIBRATION_IMAGES, size)


def paths(options: argparse.Namespace, name: str) -> tuple[Path, Path, Path]:
    """The files of the model, the test images and those to calibrate with, as `network_and_images` finds them."""
    known = os.environ.get(VARIABLE)
    if options.model is None and known:
        folder = Path(known)
        model, data, calibration = (f"{name}_fmnist64.onnx", "fmnist64_test.npz", "fmnist64_calib512.npz")
        return folder / model, options.data or folder / data, options.calibration or folder / calibration
    if options.model is None or options.data is None:
        sys.exit(
            f"{Path(sys.argv[0]).name}: needs a network and images: --model FILE.onnx --data IMAGES (an .npz or a folder), "
            f"--model {PRETRAINED} --data IMAGES for torchvision's weights, or the folder of CONTRIBUTING.md in {VARIABLE}"
        )
    model_path = exported(name) if str(options.model) == PRETRAINED else options.model
    return model_path, options.data, options.calibration or options.data


def exported(name: str) -> Path:
    """torchvision's network with ImageNet weights, downloaded once and exported to ONNX in the current folder."""
    path = Path(f"{name}_imagenet.onnx")
    if not path.exists():
        need("torchvision")
        import torch
        import torchvision

        module: Any = getattr(torchvision.models, name)(weights="DEFAULT").eval()
        names = {"input_names": ["input"], "output_names": ["output"]}
        torch.onnx.export(module, (torch.zeros(1, 3, 224, 224),), path, opset_version=17, dynamo=False, **names)
    return path
