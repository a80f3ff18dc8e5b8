"""The images that a command takes, and the options that say what is done to their pixels."""

from __future__ import annotations

import argparse
from pathlib import Path

import onnx

from tvm_re2na import pipeline
from tvm_re2na.cli.errors import UsageError
from tvm_re2na.dataset import Dataset
from tvm_re2na.preprocessing import Preprocessing
from tvm_re2na.preprocessing_options import OPTIONS


def preprocessing(options: argparse.Namespace) -> Preprocessing:
    """What the user said; a command without these options says nothing."""
    return Preprocessing(**{name: getattr(options, name, None) for name in OPTIONS})


def calibration(options: argparse.Namespace, model: onnx.ModelProto) -> Dataset | None:
    return pipeline.calibration_if_any(options.calibration, model, options.calibration_limit, preprocessing(options))


def needed_calibration(options: argparse.Namespace, model: onnx.ModelProto, who: str) -> Dataset:
    """Raises UsageError where there are none."""
    found = calibration(options, model)
    if found is None:
        raise UsageError(f"{options.model}: {who} needs calibration images (--calibration)")
    return found


def labelled_images(options: argparse.Namespace, data: Path, model: onnx.ModelProto, known: Dataset | None) -> Dataset:
    """Those of --data, which go through what the calibration images `known` did."""
    return pipeline.images_for(data, model, known, options.limit, preprocessing(options))
