"""A library for classify.cc, and a picture to try it on: LeNet-5 and a test image of MNIST, unless others are named.

    python export_network.py [--model MODEL.onnx --data DATA.npz] [--calibration DATA.npz] [--image 0] [--bundle] [--output net.so]

Works with either TVM. DATA holds pixels as uint8, one channel or three; a float model is quantised first, with the calibration
images.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module, resources
from pathlib import Path

import numpy as np

from tvm_re2na import Architecture, frontends, pipeline
from tvm_re2na.codegen.errors import Re2naError


def demo_file(name: str) -> Path:
    return Path(str(resources.files("tvm_re2na") / "demo" / name))


def export(model: Path, calibration: Path, output: Path, bundle: bool) -> None:
    """Writes the library of a batch of one. `bundle`: with our runtime in it, for machines without this package."""
    loaded = pipeline.load_model(model)
    images = None if pipeline.is_quantized(loaded) else calibration
    quantized = pipeline.quantized_model(loaded, images, Architecture())
    built = pipeline.build_for_re2na(*pipeline.import_into_tvm(quantized), Architecture())
    import_module(f"tvm_re2na.{frontends.installed()}").export_library(built.library, output, bundle=bundle)
    print(f"wrote {output}: {built.offloaded_macs_share:.0%} of the MACs on Re²Na")


def write_picture(data: Path, index: int, folder: Path) -> None:
    """As PGM or PPM, and what classify needs to be told of the pixels."""
    with np.load(data) as fields:
        image, mean, std = fields["x"][index], float(fields["mean"][0]), float(fields["std"][0])
        label = int(fields["y"][index]) if "y" in fields else None
    channels, height, width = image.shape
    path = folder / ("picture.pgm" if channels == 1 else "picture.ppm")
    magic = "P5" if channels == 1 else "P6"
    path.write_bytes(f"{magic}\n{width} {height}\n255\n".encode() + image.transpose(1, 2, 0).tobytes())
    print(f"wrote {path}: class {label}, mean {mean:g}, std {std:g}")


def main() -> None:
    parser = argparse.ArgumentParser(description="export a network and a picture for the C++ example")
    parser.add_argument("--model", type=Path, default=demo_file("lenet5_mnist.onnx"))
    parser.add_argument(
        "--data", type=Path, default=demo_file("mnist_test1000.npz"), help="where the picture comes from"
    )
    parser.add_argument("--calibration", type=Path, default=demo_file("mnist_calibration128.npz"))
    parser.add_argument("--image", type=int, default=0, metavar="N", help="which picture, from 0 on (0)")
    parser.add_argument("--bundle", action="store_true", help="put the simulator into the library")
    parser.add_argument("--output", type=Path, default=Path("net.so"))
    options = parser.parse_args()
    try:
        export(options.model, options.calibration, options.output, options.bundle)
        write_picture(options.data, options.image, options.output.absolute().parent)
    except (Re2naError, OSError, KeyError, IndexError) as error:
        sys.exit(f"export_network.py: {error}")


if __name__ == "__main__":
    main()
