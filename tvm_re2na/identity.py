"""What a run's results follow from, for the file that a later run resumes from."""

from __future__ import annotations

import dataclasses
from typing import Any

from tvm_re2na import frontends
from tvm_re2na.dataset import Dataset
from tvm_re2na.packages import PACKAGES, installed_versions
from tvm_re2na.parallel.journal import digest

PIECE = 64  # images


def identity(command: str, **parts: Any) -> dict[str, object]:
    """Each part by its name: models, data and bytes as digests, machines, numbers and texts as they are; and the versions."""
    return {"command": command, **{name: _known(value) for name, value in parts.items()}, "versions": versions()}


def versions() -> str:
    """Of everything that has a say in the results."""
    found = installed_versions(tuple(package for package in PACKAGES if package.in_results))
    return f"{', '.join(found)}, front end {frontends.installed()}"


def _known(value: Any) -> object:
    if hasattr(value, "SerializeToString"):  # an ONNX model; whoever runs a program has no need of ONNX
        return digest(value.SerializeToString(deterministic=True))
    if isinstance(value, Dataset):
        return _data(value)
    if dataclasses.is_dataclass(value):
        fields = {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
        return ", ".join(f"{name} = {_known(fields[name])}" for name in fields)
    if isinstance(value, frozenset):
        return sorted(value)
    return digest(value) if isinstance(value, bytes) else value


def _data(data: Dataset) -> str:
    """Of what the network gets, and the labels: where the images come from does not matter."""
    pieces = [data.read(start, min(start + PIECE, len(data))).tobytes() for start in range(0, len(data), PIECE)]
    return digest(str((len(data), data.shape)), b"" if data.y is None else data.y.tobytes(), *pieces)
