"""The whole job on one page: load -> quantise -> import into TVM -> build -> run. The command and the tutorials use it.

Every step is a plain call that a user can make as well; nothing here is needed to use the plugin from TVM.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy.typing as npt
import onnx

from tvm_re2na import frontends
from tvm_re2na.batches import Sample, shape_text
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.data import DataSource, load_dataset
from tvm_re2na.dataset import Dataset
from tvm_re2na.frontends import MissingPackageError
from tvm_re2na.frontends.interface import Built, Compiled, Dump, Lowered, Module
from tvm_re2na.logs import timed
from tvm_re2na.model_error import ModelError
from tvm_re2na.model_file import ModelSource, checked, dimensions, read_model, scores_of
from tvm_re2na.onnx_form.inputs import Constants, InputShape, own_inputs
from tvm_re2na.preprocessing import NOTE, Preprocessing, PreprocessingError, store, stored
from tvm_re2na.program_inputs import INPUT_SHAPE, INPUTS
from tvm_re2na.progress import Progress, silent

if TYPE_CHECKING:
    from tvm_re2na.quantize import QuantizedModel, QuantizeOptions

Array: TypeAlias = npt.NDArray[Any]


# ---- load


@timed("load the model", __name__)
def load_model(
    path: str | os.PathLike[str], *, input_shape: InputShape | None = None, constants: Constants | None = None
) -> onnx.ModelProto:
    """Read and check an ONNX file; QONNX is brought to standard operators, exactly.

    `input_shape`: the input's sizes, (1, 3, 224, 224), where the file leaves some open; None for one leaves it as it is. Of several
    inputs by their names. `constants`: arrays for inputs, by their names, which are constants from then on.
    Raises ModelError if it is none, its inputs cannot be so, or it cannot be brought there, OSError if it cannot be read.
    """
    if is_tflite(path):
        raise ModelError(f"{path}: a TFLite model; `explain` and `compile` take it, everything else takes ONNX")
    model = read_model(path, input_shape, constants)
    if not any(node.domain for node in model.graph.node):
        return model  # QONNX's operators have a domain of their own
    from tvm_re2na.prequantized import PrequantizedError, to_qdq

    try:
        return to_qdq(model)
    except PrequantizedError as error:
        raise ModelError(f"{path}: {error}") from error


def opened(model: ModelSource, input_shape: InputShape | None = None) -> onnx.ModelProto:
    """A model that was loaded is taken as it is, but for its inputs' sizes where they are told; raises as `load_model`."""
    if not isinstance(model, onnx.ModelProto):
        return load_model(model, input_shape=input_shape)
    return model if input_shape is None else checked(model, input_shape)


@dataclass(frozen=True)
class ModelInput:
    """An input of a model; `batch` is None where the model leaves it open. `image`: the shape of one of the batch, (C, H, W),
    (C, L), (F,) or another."""

    name: str
    batch: int | None
    image: tuple[int, ...]


def model_inputs(model: onnx.ModelProto) -> tuple[ModelInput, ...]:
    """Raises ModelError unless there is one at least, and all have one batch and sizes behind it that are fixed."""
    values = own_inputs(model)
    if not values:
        raise ModelError(f"{_name(model)}: no inputs, expected one at least")
    found = []
    for value in values.values():
        sizes = dimensions(value)
        if len(sizes) < 2 or None in sizes[1:]:
            raise ModelError(f"{_name(model)}: input '{value.name}' is {shape_text(sizes)}, {_what_is_open(value)}")
        found.append(ModelInput(value.name, sizes[0], tuple(size or 0 for size in sizes[1:])))
    batches = {given.batch for given in found if given.batch is not None}
    if len(batches) > 1:
        told = ", ".join(f"'{given.name}' {given.batch or 'any'}" for given in found)
        raise ModelError(f"{_name(model)}: its inputs have different batches ({told})")
    batch = next(iter(batches), None)
    return tuple(replace(given, batch=batch) for given in found)


def _what_is_open(value: onnx.ValueInfoProto) -> str:
    """Which axis, and what fixes it."""
    sizes = dimensions(value)
    if len(sizes) < 2:
        return "expected a batch of something: two axes or more"
    names = {4: ("channels", "height", "width"), 3: ("channels", "length"), 2: ("features",)}.get(len(sizes))
    known = list(zip(names or tuple(f"size{axis}" for axis in range(1, len(sizes))), sizes[1:], strict=True))
    axes = [f"axis {axis} ({name})" for axis, (name, size) in enumerate(known, 1) if size is None]
    example = ",".join(["N", *(name.upper() if size is None else str(size) for name, size in known)])
    opened = f"its {' and '.join(axes)} {'is' if len(axes) == 1 else 'are'} open"
    return f"{opened}: --input-shape {value.name}={example} says what it is"


def model_input(model: onnx.ModelProto) -> ModelInput:
    """That of a model with one input. Raises ModelError for any other, and as `model_inputs`."""
    inputs = model_inputs(model)
    if len(inputs) != 1:
        raise ModelError(f"{_name(model)}: {len(inputs)} inputs, expected one")
    return inputs[0]


def sample_of(model: onnx.ModelProto) -> Sample:
    """The shape of one of a batch; of several inputs by their names. Raises as `model_inputs`."""
    inputs = model_inputs(model)
    return inputs[0].image if len(inputs) == 1 else {given.name: given.image for given in inputs}


def batch_of(model: onnx.ModelProto) -> int | None:
    """The model's batch, None where it is open."""
    return model_inputs(model)[0].batch


def classes(model: onnx.ModelProto) -> int | None:
    """How many scores the model has for an image; None where their shape is not told."""
    sizes = dimensions(model.graph.output[scores_of(model)])[1:] if model.graph.output else ()
    known = [size for size in sizes if size is not None]
    return math.prod(known) if sizes and len(known) == len(sizes) else None


def scores_name(model: onnx.ModelProto) -> str:
    """The name of the output that tells the classes apart (`scores_of`)."""
    return str(model.graph.output[scores_of(model)].name)


def preprocessing_of(model: onnx.ModelProto) -> Preprocessing | None:
    """What the calibration images of a quantised model went through. Raises ModelError where that note is damaged."""
    try:
        return stored(model)
    except PreprocessingError as error:
        raise ModelError(f"{_name(model)}: {error}") from error


def images_for(
    source: DataSource,
    model: onnx.ModelProto,
    calibration: Dataset | None,
    limit: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Dataset:
    """Images for a model, like those that it was calibrated with, or is going to be. Raises DataError where they do not suit it."""
    known = preprocessing_of(model) or (calibration.preprocessing if calibration is not None else None)
    shape = sample_of(model)
    images = load_dataset(source, limit, shape, preprocessing, calibrated=known)
    images.expect_shape(shape)
    images.expect_labels(classes(model))
    return images


def calibration_images(
    source: DataSource,
    model: onnx.ModelProto,
    limit: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Dataset:
    """Images for quantising a model; their labels do not matter."""
    return load_dataset(source, limit, sample_of(model), preprocessing, calibrated=preprocessing_of(model))


def calibration_if_any(
    source: DataSource | None,
    model: onnx.ModelProto,
    limit: int | None = None,
    preprocessing: Preprocessing | None = None,
) -> Dataset | None:
    """The same where there may be none."""
    return None if source is None else calibration_images(source, model, limit, preprocessing)


def is_quantized(model: onnx.ModelProto) -> bool:
    """Whether the model holds quantised operators already."""
    return any(node.op_type.startswith(("QLinear", "QuantizeLinear", "DequantizeLinear")) for node in model.graph.node)


# ---- quantise


def quantized_model(
    model: onnx.ModelProto, calibration: DataSource | None, arch: Architecture, progress: Progress = silent
) -> onnx.ModelProto:
    """The int8 model: as it is if it is quantised already, by tvm_re2na's quantiser otherwise; raises as `quantize` does."""
    return model if is_quantized(model) else quantize(model, calibration, arch, progress).model


@timed("quantise", __name__)
def quantize(
    model: onnx.ModelProto,
    calibration: DataSource | None,
    arch: Architecture,
    progress: Progress = silent,
    options: QuantizeOptions | None = None,
) -> QuantizedModel:
    """The int8 model and the report on its layers; from the cache where the same was asked for before (`tvm_re2na.cache`).

    What the images went through is noted in the model, for those that are going to be tested.
    Raises ModelError for a float model without calibration images, DataError for ones of the wrong shape, QuantizeError.
    """
    if calibration is None:
        raise ModelError(f"{_name(model)}: a float model needs calibration images (--calibration)")
    images = calibration_images(calibration, model)
    images.expect_shape(sample_of(model))
    from tvm_re2na.cache import models

    made = models.quantize(model, images.x, arch, options, progress)
    store(made.model, images.preprocessing)
    return made


# ---- import into TVM, build


@timed("import into TVM", __name__)
def import_into_tvm(model: onnx.ModelProto, batch: int = 1) -> tuple[Module, dict[str, Any]]:
    """ONNX -> the IR of the installed TVM, at a fixed batch.

    Raises ModelError where the model's own batch is another, or TVM cannot read it.
    """
    inputs = model_inputs(model)
    if inputs[0].batch not in (None, batch):
        raise ModelError(f"{_name(model)}: its batch is fixed to {inputs[0].batch}, {batch} was asked for")
    session = frontends.session()
    try:
        mod, params = session.import_onnx(model, {given.name: (batch, *given.image) for given in inputs})
    except Exception as error:  # what the importer does not foresee fails in any way: ValueError, AttributeError, ...
        advice = "; `re2na requantize` makes QDQ of it" if "QLinear" in str(error) else ""
        raise ModelError(f"{_name(model)}: TVM cannot import it ({_last_line(error)}){advice}") from error
    return mod, params


def is_tflite(path: str | os.PathLike[str]) -> bool:
    """By its name."""
    return Path(path).suffix == ".tflite"


@timed("import TFLite into TVM", __name__)
def import_tflite(path: str | os.PathLike[str]) -> tuple[Module, dict[str, Any]]:
    """TFLite -> TVM in NCHW, with the model's own batch. Raises ModelError, MissingPackageError, or OSError."""
    content = Path(path).read_bytes()
    session = frontends.session()
    try:
        mod, params = session.import_tflite(content)
    except ImportError as error:
        raise MissingPackageError("tflite is not installed: pip install 'tvm_re2na[tflite]'") from error
    except Exception as error:  # a file that is none, or an operator that TVM does not know, fails in any way
        raise ModelError(f"{path}: TVM cannot import it ({_last_line(error)})") from error
    return mod, params


@contextmanager
def _tvm_errors(what: str) -> Iterator[None]:
    """What TVM's passes have against a module is a ModelError; our own errors come through TVM as they are."""
    try:
        yield
    except Exception as error:
        if not type(error).__module__.startswith(("tvm.", "tvm_ffi.")):
            raise
        raise ModelError(f"TVM cannot {what} the model ({_last_line(error)})") from error


@timed("build for the CPU", __name__)
def build_for_cpu(mod: Module, params: dict[str, Any]) -> Built:
    """TVM's own integer execution on this processor's vector units; exact (docs/quantisation.md), for this process only."""
    with _tvm_errors("build"):
        return frontends.session().build_for_cpu(mod, params)


@timed("build for Re²Na", __name__)
def build_for_re2na(mod: Module, params: dict[str, Any], arch: Architecture, dump: Dump | None = None) -> Built:
    """The same network with every supported operator on Re²Na. Raises CompileError where the machine is too small.

    `dump(stage, text)` is handed what each stage of the compiler makes of each offloaded region.
    """
    with _tvm_errors("build"):
        return frontends.session().build_for_re2na(mod, params, arch, dump)


@timed("compile for Re²Na", __name__)
def compile_for_re2na(mod: Module, params: dict[str, Any], arch: Architecture, dump: Dump | None = None) -> Compiled:
    """The programs that `build_for_re2na` makes, alone: nothing is built for the CPU. Raises as that does."""
    with _tvm_errors("compile"):
        return frontends.session().compile_for_re2na(mod, params, arch, dump)


@timed("find what each machine takes", __name__)
def lower_for_each(mod: Module, params: dict[str, Any], archs: Sequence[Architecture]) -> list[Lowered]:
    """What each machine takes of the network, as graphs for the compiler, which needs no TVM."""
    with _tvm_errors("analyse"):
        return frontends.session().lower_for_each(mod, params, archs)


@timed("explain the operators", __name__)
def explain(mod: Module, params: dict[str, Any], arch: Architecture) -> list[Explanation]:
    """Every operator in execution order, with where it runs and why."""
    with _tvm_errors("analyse"):
        return frontends.session().explain(mod, params, arch)


def border_notes(model: onnx.ModelProto, feeds: Sequence[int] = (0,)) -> dict[str, Any]:
    """What a program has to know of a QDQ model to take images: scales, shapes, what calibration's went through. `feeds`: which
    of the model's inputs are the program's, in the program's order."""
    known, inputs, scales = preprocessing_of(model), model_inputs(model), border_scales(model)
    notes: dict[str, Any] = {} if known is None else {NOTE: known.to_text()}
    if model.graph.output[0].name in scales:
        notes["output_scale"] = scales[model.graph.output[0].name]
    given = [inputs[index] for index in feeds]
    if len(given) > 1:
        told = [{"name": item.name, "scale": scales.get(item.name), "shape": list(item.image)} for item in given]
        return notes | {INPUTS: told}
    if given[0].name in scales:
        notes["input_scale"] = scales[given[0].name]
    return notes | {INPUT_SHAPE: list(given[0].image)}


def border_scales(model: onnx.ModelProto) -> dict[str, float]:
    """What one step of the tensors that a QDQ model quantises is worth, inputs and outputs among them."""
    numbers = {tensor.name: onnx.numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    scales = {}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear") and node.input[1] in numbers:
            tensor = node.input[0] if node.op_type == "QuantizeLinear" else node.output[0]
            scales[tensor] = float(numbers[node.input[1]].reshape(-1)[0])
    return scales


# ---- helpers


def model_stem(path: str | os.PathLike[str]) -> str:
    """`folder/lenet5.int8.onnx` -> `lenet5`: what output files are called by default."""
    return Path(path).name.removesuffix(".onnx").removesuffix(".int8")


def _name(model: onnx.ModelProto) -> str:
    return f"model '{model.graph.name}'"


def _last_line(error: BaseException) -> str:
    """TVM's messages start with a backtrace; what went wrong stands at their end."""
    return next((line.strip() for line in reversed(str(error).splitlines()) if line.strip()), type(error).__name__)
