"""What a result depends on, as the key of its entry: content, options, versions, and the processor that code is chosen for."""

from __future__ import annotations

import dataclasses
import enum
import hashlib
import json
import os
import platform
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

import tvm_re2na
from tvm_re2na import frontends
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.frontends.common.regions import offload
from tvm_re2na.packages import PACKAGES, Package, installed_versions, version_of
from tvm_re2na.processor import instruction_set
from tvm_re2na.runtime import abi

OWN_MODULES = ("tvm_re2na", "tvm_re2na.codegen", "tvm_re2na.runtime")  # three folders in an editable installation
DIGEST = 32  # bytes
PROCESSOR = ("model name", "flags", "Features", "CPU implementer", "CPU part")  # lines of /proc/cpuinfo


def quantized_key(
    model: onnx.ModelProto, calibration: npt.NDArray[np.float32], arch: Architecture, options: Any
) -> dict[str, str]:
    """Of a model that the quantiser makes; `options` are `QuantizeOptions`."""
    runtime = {package.module: _version(package) for package in PACKAGES if package.quantises}
    content = {"model": model_digest(model), "calibration": array_digest(calibration)}
    return {"kind": "quantized", **content, "arch": text(arch), "options": text(options), **runtime, **environment()}


def _version(package: Package) -> str:
    return str(version_of(package.name) if package.slow else import_module(package.module).__version__)


def built_key(model: onnx.ModelProto, batch: int, arch: Architecture | None) -> dict[str, str]:
    """Of a library that TVM builds for Re²Na, or for the CPU (`arch` None); it is linked to our own library where that is now."""
    machine = {"kind": "cpu" if arch is None else "re2na", "arch": text(arch), "library": str(abi.library_path())}
    given = {"model": model_digest(model), "batch": str(batch), "offload": "" if arch is None else offload()}
    return {
        **machine,
        **given,
        "instruction_set": instruction_set(),
        "tvm": tvm_version(),
        "numpy": np.__version__,
        "onnx": onnx.__version__,
        **environment(),
    }


def model_digest(model: onnx.ModelProto) -> str:
    return hashlib.sha256(model.SerializeToString(deterministic=True)).hexdigest()


def array_digest(array: npt.NDArray[Any]) -> str:
    """Of its type, shape and elements."""
    found = hashlib.sha256(f"{array.dtype.descr} {array.shape}\n".encode())
    found.update(np.ascontiguousarray(array).reshape(-1).view(np.uint8).data)
    return found.hexdigest()


def text(value: Any) -> str:
    """Options as text that is the same in every process."""
    return json.dumps(value, default=_plain, sort_keys=True)


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    if isinstance(value, enum.Enum):
        return value.value
    if isinstance(value, frozenset):
        return sorted(value)
    raise TypeError(f"{type(value).__name__} {value!r} has no text for a key")


@cache
def environment() -> dict[str, str]:
    """This package, to the byte, and this processor."""
    return {"tvm_re2na": tvm_re2na.__version__, "sources": sources_digest(), "processor": processor()}


def tvm_version() -> str:
    """Of TVM and what it brings; LLVM is part of the one or the other package."""
    found = installed_versions(tuple(package for package in PACKAGES if package.part_of_tvm))
    if found:
        return ", ".join(found)
    return f"{frontends.installed()} {getattr(import_module('tvm'), '__version__', '?')}"


def sources_digest() -> str:
    """Of every Python file of this package and of its native libraries: a developer's change makes all entries stale.

    Where one has changed since this process began to load them, nobody knows what runs: the digest is one that nobody else has.
    """
    files = {path.name: path for path in abi.library_path().parent.glob("libre2na*")}
    for module in OWN_MODULES:
        # its own folder, which its __path__ need not be: an editable installation adds the whole checkout to that
        root = Path(str(import_module(module).__file__)).parent
        files |= {f"{module}/{path.relative_to(root)}": path for path in root.rglob("*.py")}
    found = hashlib.sha256()
    for name, path in sorted(files.items()):
        found.update(f"{name}\n".encode() + hashlib.sha256(path.read_bytes()).digest())
        if path.stat().st_mtime > tvm_re2na.LOADED_AT:
            found.update(os.urandom(DIGEST))
    return found.hexdigest()


def processor() -> str:
    """A digest of what decides which instructions LLVM and ONNX Runtime choose."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    told = sorted({line for line in lines if line.startswith(PROCESSOR)}) or [platform.processor()]
    return f"{platform.machine()} {hashlib.sha256(chr(10).join(told).encode()).hexdigest()[:16]}"
