"""What pixels go through before a network sees them: what is asked for, and what a model's calibration used."""

from __future__ import annotations

import dataclasses
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tvm_re2na.codegen.errors import Re2naError

if TYPE_CHECKING:
    import onnx

KEY = "re2na.preprocessing"  # in the metadata of an ONNX model
NOTE = "preprocessing"  # in the notes of a program
LAYOUTS = ("nchw", "nhwc")
LEAST_STD, LARGEST = 1e-45, float(np.finfo(np.float32).max)  # of float32
LARGEST_SIDE = 16384  # of an image that is resized or cropped
# of ImageNet's pixels; those of grey images are the means over the channels
ASSUMED = {1: ((0.449,), (0.226,)), 3: ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}


class PreprocessingError(Re2naError, ValueError):
    """A field of the preprocessing cannot be what it is; the message names it, its value and what was expected."""

    of_model = True  # or of a program: it stands in their notes


@dataclass(frozen=True)
class Preprocessing:
    """Pixels (0 to 255) become (pixel / 255 - mean) / std, after resizing and cropping. None: nothing is said about it.

    `mean`, `std`: one number, or one a channel, of pixels from 0 to 1. `resize`: (H,) the shorter side, or (H, W). `crop`: the
    centre, (H,) a square, or (H, W). `gray`: coloured images become grey. `layout`: axes of an .npz's x, nchw or nhwc.
    """

    mean: tuple[float, ...] | None = None
    std: tuple[float, ...] | None = None
    resize: tuple[int, ...] | None = None
    crop: tuple[int, ...] | None = None
    gray: bool | None = None
    layout: str | None = dataclasses.field(default=None, metadata={"of_file": True})  # says nothing of the network

    def __post_init__(self) -> None:
        for name in ("mean", "std"):
            object.__setattr__(self, name, _numbers(name, getattr(self, name)))
        for name in ("resize", "crop"):
            object.__setattr__(self, name, _size(name, getattr(self, name)))
        if self.gray is not None and not isinstance(self.gray, bool):
            raise PreprocessingError(f"gray = {self.gray!r:.80}, expected true or false")
        if self.layout is not None and self.layout not in LAYOUTS:
            raise PreprocessingError(f"layout = {self.layout!r:.80}, expected {' or '.join(LAYOUTS)}")

    def said(self) -> dict[str, Any]:
        """The fields that are not left out."""
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        return {name: value for name, value in values.items() if value is not None}

    def over(self, other: Preprocessing | None) -> Preprocessing:
        """The same, and what `other` says where this says nothing."""
        return self if other is None else dataclasses.replace(other, **self.said())

    def of_network(self) -> Preprocessing:
        """Without what is a file's own."""
        own = [field.name for field in dataclasses.fields(self) if field.metadata.get("of_file")]
        return dataclasses.replace(self, **dict.fromkeys(own))

    def differences(self, other: Preprocessing) -> Iterable[tuple[str, str, str]]:
        """(field, this, other) where both say something and it is not the same."""
        theirs = other.said()
        for name, value in self.said().items():
            if name in theirs and not _same(value, theirs[name]):
                yield name, show(value), show(theirs[name])

    def to_text(self) -> str:
        return json.dumps(self.of_network().said(), sort_keys=True)

    @classmethod
    def from_text(cls, text: object) -> Preprocessing:
        """What `to_text` has written. Raises PreprocessingError for anything else."""
        try:
            value = json.loads(text) if isinstance(text, str) else None
        except (ValueError, RecursionError) as error:
            raise PreprocessingError(f"preprocessing is {text!r:.80}: {error}") from error
        names = {field.name for field in dataclasses.fields(cls)}
        if not isinstance(value, dict) or not value.keys() <= names:
            raise PreprocessingError(f"preprocessing is {text!r:.80}, expected some of {', '.join(sorted(names))}")
        return cls(**value)

    @classmethod
    def read(cls, name: str, text: str) -> Any:
        """The value of one field from an option of the command. Raises PreprocessingError."""
        values: Any = text
        if name in ("mean", "std"):
            values = [_number(name, part) for part in text.split(",")]
        elif name in ("resize", "crop"):
            if not re.fullmatch(r"[0-9]{1,9}(x[0-9]{1,9})?", text):
                raise PreprocessingError(f"'{text}' is no size, like 224 or 224x320")
            values = [int(part) for part in text.split("x")]
        return getattr(cls(**{name: values}), name)


def show(value: Any) -> str:
    """A field's value as the command takes it."""
    if isinstance(value, tuple):
        return ("x" if isinstance(value[0], int) else ",").join(map(_shown, value))
    return str(value)


def store(model: onnx.ModelProto, preprocessing: Preprocessing | None) -> None:
    """Note in a model what its calibration images went through; nothing where that is not known."""
    kept = [item for item in model.metadata_props if item.key != KEY]
    del model.metadata_props[:]
    model.metadata_props.extend(kept)
    if preprocessing is not None and preprocessing.of_network().said():
        model.metadata_props.add(key=KEY, value=preprocessing.to_text())


def stored(model: onnx.ModelProto) -> Preprocessing | None:
    """What `store` has noted. Raises PreprocessingError where it is damaged."""
    texts = [item.value for item in model.metadata_props if item.key == KEY]
    return Preprocessing.from_text(texts[0]) if texts else None


def _number(name: str, text: str) -> float:
    try:
        return float(text)
    except ValueError as error:
        raise PreprocessingError(f"{name}: '{text}' is no number") from error


def _numbers(name: str, value: Any) -> tuple[float, ...] | None:
    if value is None:
        return None
    values = (value,) if isinstance(value, int | float) else tuple(value) if _is_list(value) else ()
    plain = tuple(float(item) for item in values if _is_number(item))
    above = " above 0" if name == "std" else ""
    good = all(math.isfinite(item) and (not above or item >= LEAST_STD) for item in plain)
    if not values or len(plain) < len(values) or not good:
        raise PreprocessingError(f"{name} = {value!r:.80}, expected finite numbers{above}, one or one a channel")
    return plain


def _size(name: str, value: Any) -> tuple[int, ...] | None:
    if value is None:
        return None
    values: tuple[Any, ...] = (value,) if isinstance(value, int) else tuple(value) if _is_list(value) else ()
    if len(values) not in (1, 2) or not all(type(item) is int and 1 <= item <= LARGEST_SIDE for item in values):
        raise PreprocessingError(f"{name} = {value!r:.80}, expected H or (H, W) from 1 to {LARGEST_SIDE}")
    return values


def _is_list(value: Any) -> bool:
    return isinstance(value, list | tuple | np.ndarray) and np.ndim(value) == 1


def _is_number(value: Any) -> bool:
    return (
        isinstance(value, int | float | np.integer | np.floating)
        and not isinstance(value, bool)
        and bool(-LARGEST <= value <= LARGEST)
    )


def _same(value: Any, other: Any) -> bool:
    """Numbers as float32, which is what they are used as; one stands for every channel."""
    if isinstance(value, tuple) and isinstance(value[0], float):
        size = max(len(value), len(other))
        one, two = (np.array(item * size if len(item) == 1 else item, np.float32) for item in (value, other))
        return np.array_equal(one, two)
    return bool(value == other)


def _shown(number: float) -> str:
    return str(number) if isinstance(number, int) else str(np.float32(number))
