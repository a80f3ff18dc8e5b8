"""The networks of benchmarks/zoo.py, each made or taken when it is its turn, and the images that it sees.

What is trained is taken as it is: LeNet-5 of the package, and the models of RE2NA_DATA. Everything else has seeded random weights.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from tests.models.topologies import synthetic_images
from tvm_re2na import pipeline
from tvm_re2na.data import load_dataset
from tvm_re2na.model_error import ModelError

FloatArray = npt.NDArray[np.float32]
ROOT = Path(__file__).parent.parent
DEMO = ROOT / "tvm_re2na" / "demo"
CALIBRATION, UNSEEN = 48, 16  # images
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # ImageNet's
# torchvision's names, and the sides of their images where these are not 224
TORCHVISION = {
    **dict.fromkeys(("alexnet", "squeezenet1_1", "mobilenet_v2", "mnasnet0_5", "shufflenet_v2_x1_0"), 224),
    **dict.fromkeys(("mobilenet_v3_small", "mobilenet_v3_large", "efficientnet_b0", "regnet_y_400mf"), 224),
    **dict.fromkeys(("regnet_x_400mf", "resnet18", "googlenet", "densenet121", "resnet50", "inception_v3"), 224),
    **dict.fromkeys(("resnext50_32x4d", "efficientnet_v2_s", "vgg11_bn", "convnext_tiny", "vit_b_16"), 224),
    **dict.fromkeys(("segmentation.fcn_resnet50", "segmentation.lraspp_mobilenet_v3_large"), 128),
}
KEPT: list[Any] = []  # names of operators, which go with what has made them
QUICK = ("lenet5_mnist", "tiny_ds_cnn", "tiny_resnet8", "tiny_autoencoder", "audio_conv1d", "mtcnn_o_net")
QUICK += ("form_u_net", "form_channel_shuffle")


@dataclass(frozen=True)
class ZooNetwork:
    """`make(path)` gives the model's file, written to `path` or where it lies; `images(file)` those that it is calibrated with, and
    others that it is judged on.

    `sizes`: of inputs that the file leaves open, or of its input.
    """

    name: str
    family: str
    make: Callable[[Path], Path]
    images: Callable[[Path], tuple[FloatArray, FloatArray]]
    sizes: Mapping[str, tuple[int, ...]] = field(default_factory=dict)


def networks(folder: Path | None = None) -> dict[str, ZooNetwork]:
    """By their names, in the order of the page; what lies in `folder` (.onnx) comes last."""
    found = [*_trained(), *_families(), *_torchvision(), *_light(), *_forms()]
    found += [] if folder is None else [_file(path, "files") for path in sorted(folder.glob("*.onnx"))]
    return {network.name: network for network in found}


# ---- images


def photographs(shape: tuple[int, ...]) -> tuple[FloatArray, FloatArray]:
    """Crops of photographs as a network takes them, or waves where RE2NA_DATA is not set or that is no shape of images.

    Each fourth crop is unseen: of the same pictures as those that calibration has, since there are only seven.
    """
    folder = os.environ.get("RE2NA_DATA")
    if folder is None or len(shape) != 3 or shape[0] not in (1, 3) or max(shape[1:]) > 224:
        return _parted(synthetic_waves(shape, CALIBRATION + UNSEEN))
    with np.load(Path(folder) / "photos224.npz") as photos:
        return _parted(_fitted(photos["x"][: CALIBRATION + UNSEEN], shape))


def _parted(images: FloatArray) -> tuple[FloatArray, FloatArray]:
    unseen = np.arange(len(images)) % (len(images) // UNSEEN) == 0
    return images[~unseen], images[unseen]


def _fitted(pixels: npt.NDArray[np.uint8], shape: tuple[int, ...]) -> FloatArray:
    """Squares of pixels averaged as far as the sides allow, and the rest cut off."""
    channels, height, width = shape
    factor = pixels.shape[-1] // max(height, width)
    values = (pixels / 255 - np.reshape(MEAN, (3, 1, 1))) / np.reshape(DEVIATION, (3, 1, 1))
    cut = values[:, :, : factor * height, : factor * width]
    small = cut.reshape(len(cut), 3, height, factor, width, factor).mean((3, 5))
    return (small if channels == 3 else small.mean(1, keepdims=True)).astype(np.float32)


def synthetic_waves(shape: tuple[int, ...], count: int) -> FloatArray:
    """Of any shape: smooth along the longest axis, with some noise."""
    if len(shape) == 3 and shape[1] == shape[2]:
        return synthetic_images(count, shape[0], shape[1], seed=7)
    rng, longest = np.random.default_rng(7), int(np.argmax(shape))
    places = np.linspace(0, 1, shape[longest])
    values = rng.normal(0, 0.2, (count, *shape))
    for _ in range(12):
        frequency, phase = rng.uniform(1, 60, count), rng.uniform(0, 2 * np.pi, count)
        wave = np.sin(2 * np.pi * frequency[:, None] * places + phase[:, None]) * rng.normal(0, 0.4, (count, 1))
        values += np.moveaxis(
            np.broadcast_to(wave, (*np.delete(shape, longest), *wave.shape)), (-2, -1), (0, longest + 1)
        )
    return values.astype(np.float32)


def pages_of_text(shape: tuple[int, int, int], count: int) -> FloatArray:
    """Lines of letters, dark on light or light on dark, every other page upside down, for networks that find or read text."""
    from PIL import Image, ImageDraw, ImageFont

    rng, (_, height, width) = np.random.default_rng(7), shape
    letters = np.array(list("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789   "))
    pages = np.empty((count, *shape), np.float32)
    for number, page in enumerate(pages):
        paper, ink = (int(shade) for shade in rng.permutation([rng.integers(0, 90), rng.integers(150, 256)]))
        image = Image.new("RGB", (width, height), (paper, paper, paper))
        draw, top = ImageDraw.Draw(image), int(rng.integers(0, 8))
        while top + 12 < height:
            size = int(rng.integers(12, min(40, height - top) + 1))
            words = "".join(rng.choice(letters, max(2, width // size)))
            draw.text((rng.integers(0, width // 6), top), words, (ink, ink, ink), ImageFont.load_default(size))
            top += size + int(rng.integers(4, 24))
        pixels = np.asarray(image.rotate(180 * (number % 2)), np.float32) + rng.normal(0, 6, (height, width, 3))
        page[:] = ((pixels / 255 - MEAN) / DEVIATION).transpose(2, 0, 1)
    return pages


def _of_file(path: Path, sizes: Mapping[str, tuple[int, ...]]) -> tuple[FloatArray, FloatArray]:
    shape = pipeline.sample_of(pipeline.load_model(path, input_shape=dict(sizes) or None))
    if isinstance(shape, dict):
        raise ModelError(f"{path}: {len(shape)} inputs, the zoo takes networks of one")
    return photographs(shape)


# ---- trained networks and files


def _trained() -> list[ZooNetwork]:
    digits = "mnist_calibration128.npz", "mnist_test1000.npz"
    found = [_taken(DEMO / "lenet5_mnist.onnx", *(DEMO / name for name in digits))]
    if "RE2NA_DATA" not in os.environ:
        return found
    data = Path(os.environ["RE2NA_DATA"])
    clothes = data / "fmnist64_calib512.npz", data / "fmnist64_test.npz"
    names = ("resnet18", "alexnet", "mobilenet_v3_small", "shufflenet_v2_x1_0")
    paths = [data / f"{name}_fmnist64.onnx" for name in names]
    found += [_taken(path, *clothes) for path in paths if path.exists()]
    found.append(_file(data / "efficientnet_lite0_imagenet.onnx", "trained"))
    real = data / "real"
    for name, shape in (("ppocr_cls", (3, 48, 192)), ("ppocr_det", (3, 224, 224))):
        images = partial(_pages, shape)
        found.append(ZooNetwork(name, "trained", lambda _, n=name: real / f"{n}.onnx", images, {"x": (1, *shape)}))  # type: ignore[misc]
    return [*found, _file(real / "basic_pitch.onnx", "trained", {"serving_default_input_2:0": (1, 43844, 1)})]


def _pages(shape: tuple[int, int, int], _: Path) -> tuple[FloatArray, FloatArray]:
    return _parted(pages_of_text(shape, CALIBRATION + UNSEEN))


def _taken(model: Path, calibration: Path, test: Path) -> ZooNetwork:
    """A trained network with images of its own; the last ones, which none of these networks was trained on."""

    def images(_: Path) -> tuple[FloatArray, FloatArray]:
        known, new = load_dataset(calibration), load_dataset(test)
        return np.asarray(known.read(0, 64)), np.asarray(new.read(len(new) - UNSEEN, len(new)))

    return ZooNetwork(model.stem, "trained", lambda _: model, images)


def _file(path: Path, family: str, sizes: Mapping[str, tuple[int, ...]] | None = None) -> ZooNetwork:
    known = sizes or {}
    return ZooNetwork(path.stem, family, lambda _: path, lambda made: _of_file(made, known), sizes=known)


def _light() -> list[ZooNetwork]:
    import onnx.backend.test

    def images(_: Path) -> tuple[FloatArray, FloatArray]:
        """Their weights are equal numbers, and their values grow with every layer: small images keep most of them in range."""
        return _parted(0.01 * synthetic_waves((3, 224, 224), CALIBRATION // 2 + UNSEEN))

    folder = Path(onnx.backend.test.__file__).parent / "data" / "light"
    return [
        ZooNetwork(path.stem, "ONNX's wheel", lambda _, path=path: path, images)  # type: ignore[misc]
        for path in sorted(folder.glob("*.onnx"))
    ]


# ---- made by PyTorch


def _families() -> list[ZooNetwork]:
    try:
        from tests.torch.topologies import FAMILIES
    except ImportError:  # no PyTorch here
        return []
    return [_exported(name, "families", make, shape) for name, (make, shape) in FAMILIES.items()]


def _forms() -> list[ZooNetwork]:
    """Small networks, each with one form that people write."""
    try:
        from tests.torch.exported import IMAGE, NETWORKS
    except ImportError:
        return []
    return [_exported(f"form_{name}", "one form each", make, IMAGE) for name, make in NETWORKS.items()]


def _torchvision() -> list[ZooNetwork]:
    if find_spec("torchvision") is None or find_spec("torch") is None:
        return []
    return [
        _exported(name.rpartition(".")[2], "torchvision", partial(_model, name), (3, size, size))
        for name, size in TORCHVISION.items()
    ]


def torchvision_models() -> Any:
    """The module. Its native operators may be for another PyTorch; its models only need that they have names."""
    import torch

    spec = find_spec("torchvision")
    try:
        for path in Path((spec and spec.origin) or "").parent.glob("_C*.so"):
            torch.ops.load_library(path)
    except OSError:
        KEPT.append(torch.library.Library("torchvision", "DEF"))
        for name in ("nms", "qnms"):
            KEPT[-1].define(f"{name}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
    import torchvision.models

    return torchvision.models


def _model(name: str) -> Any:
    from torch import nn

    from tests.torch.exported import Net

    models = torchvision_models()
    folder, _, called = name.rpartition(".")
    known = {"weights": None} | ({"init_weights": False} if called in ("googlenet", "inception_v3") else {})
    known |= {"weights_backbone": None} if folder else {}
    model = getattr(getattr(models, folder) if folder else models, called)(**known)
    if called.startswith("vgg"):  # with dense layers of 123 million weights it is a network of these
        model.avgpool, model.classifier = nn.AdaptiveAvgPool2d(1), nn.Linear(512, 1000)
    if hasattr(model, "aux_logits"):
        model.aux_logits, model.aux1, model.aux2, model.AuxLogits = False, None, None, None
    return Net(lambda m, x: m.whole(x)["out"], whole=model) if folder else model


def _exported(name: str, family: str, make: Callable[[], Any], shape: tuple[int, ...]) -> ZooNetwork:
    """With random weights that suit the images, exported by PyTorch's TorchScript exporter at batch 1."""

    def write(path: Path) -> Path:
        import torch

        from tests.torch.exported import export
        from tests.torch.topologies import settled

        torch.manual_seed(0)
        images = torch.from_numpy(photographs(shape)[0])
        unfinished = path.with_suffix(".part")
        export(settled(make(), images), images, unfinished, dynamo=False, open_batch=False)
        unfinished.replace(path)
        return path

    return ZooNetwork(name, family, write, lambda _: photographs(shape))
