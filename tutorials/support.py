"""What a tutorial asks of its surroundings: packages, settings, and how it shows progress and pictures."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# the extra of pip, the module that it brings, and what that is
EXTRAS = {
    "relay": ("tvm.relay", "TVM 0.19 with Relay, in an environment of its own"),
    "relax": ("tvm.relax", "TVM 0.27 with Relax, in an environment of its own"),
    "torch": ("torch", "PyTorch"),
    "pt2e": ("torchao", "PyTorch's torchao"),
    "torchvision": ("torchvision", "torchvision"),
    "plot": ("matplotlib", "matplotlib"),
}


# what the settings of tutorials are; one without a default takes its file from the folder that RE2NA_DATA names
MEANINGS = {
    "model": "an ONNX file; for ResNet-18 and AlexNet also `pretrained`, which is torchvision's with ImageNet weights",
    "data": "test images: an .npz, or a folder with a sub-folder per class",
    "calibration": "images to calibrate with, in the same form; where --data is given, some of those",
    "limit": "at most so many test images",
    "teacher": "an ONNX file of the network to learn from",
    "images": "the images to learn from",
    "tested": "the images to test on, the last ones",
    "steps": "steps of training",
    "seed": "of the random numbers",
    "bits": "width of weights and activations",
    "sparsities": "shares of the weights that are pruned away",
}
HOME = "from the folder that RE2NA_DATA names"


def need(*alternatives: str) -> None:
    """Ends the script unless one of these extras is installed."""
    for extra in alternatives:
        try:
            import_module(EXTRAS[extra][0])
        except ImportError:
            continue
        return
    what = " or ".join(EXTRAS[extra][1] for extra in alternatives)
    sys.exit(f"{Path(sys.argv[0]).name}: needs {what}: pip install 'tvm_re2na[{alternatives[0]}]'")


def settings(text: str | None, **defaults: Any) -> argparse.Namespace:
    """The settings of a tutorial: options of the script (`limit=200` is `--limit 200`), and just the defaults in a notebook.

    `text`: the script's docstring, whose first line says what `--help` is about. A default of None stands for a path.
    """
    parser = argparse.ArgumentParser(description=(text or "").strip().partition("\n")[0])
    for name, value in defaults.items():
        many = isinstance(value, list)
        kind = Path if value is None else type(value[0] if many else value)
        parser.add_argument(f"--{name}", type=kind, default=value, nargs="*" if many else None, help=_help(name, value))
    return parser.parse_args([] if "ipykernel" in sys.modules else None)


def _help(name: str, value: Any) -> str:
    """What a setting is, and its default."""
    default = HOME if value is None else " ".join(map(str, value)) if isinstance(value, list) else value
    return f"{MEANINGS[name]} ({default})"


def show(figure: Figure, name: str) -> None:
    """Writes the figure into the current folder, and shows it where there is a notebook."""
    from tvm_re2na.plot import write_figure

    write_figure(figure, name)
    show_file(name)


def show_file(name: str) -> None:
    """Says that a picture was written, and shows it where there is a notebook."""
    print(f"wrote {name}")
    if "ipykernel" in sys.modules:
        display: Any = import_module("IPython.display")
        display.display(display.Image(name))
