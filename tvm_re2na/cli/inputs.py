"""The model that a command takes, and the options that say what its inputs are."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from pathlib import Path

import onnx

from tvm_re2na import pipeline
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.npz import DataError, read_npz
from tvm_re2na.onnx_form.inputs import Constants, InputShape, Sizes


def load_model(options: argparse.Namespace) -> onnx.ModelProto:
    """The options' model, its inputs as they say."""
    shape, constants = _shape(options.input_shape), _constants(options.input)
    return pipeline.load_model(options.model, input_shape=shape, constants=constants)


def refuse_for_tflite(options: argparse.Namespace) -> None:
    """Raise UsageError where something is said of the inputs of a file that has everything in it."""
    for name, value in (("--input-shape", options.input_shape), ("--input", options.input)):
        if value:
            raise UsageError(f"{options.model}: {name} is for ONNX; a TFLite model's inputs are as the file says")


def _shape(given: Sequence[tuple[str, Sizes]] | None) -> InputShape | None:
    if not given:
        return None
    names = [name for name, _ in given]
    if names == [""]:
        return given[0][1]
    for name in names:
        if not name:
            raise UsageError("--input-shape: given more than once, each needs the input's name, like NAME=1,3,224,224")
        _once("--input-shape", name, names)
    return dict(given)


def _constants(given: Sequence[tuple[str, Path]] | None) -> Constants | None:
    if not given:
        return None
    names = [name for name, _ in given]
    found = {}
    for name, path in given:
        _once("--input", name, names)
        fields = read_npz(path, ("x",))
        if "x" not in fields:
            raise DataError(f"{path}: no field 'x'; --input takes an .npy file")
        found[name] = fields["x"]
    return found


def _once(option: str, name: str, names: Sequence[str]) -> None:
    if names.count(name) > 1:
        raise UsageError(f"{option}: '{name}' is given {names.count(name)} times, expected once")
