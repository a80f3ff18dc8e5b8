"""The whole job on one page: cut the model, let TVM make its integers, let ONNX Runtime judge each section on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na import pipeline
from tvm_re2na.artefacts import for_cpu
from tvm_re2na.batches import Batch, by_name, join_inputs
from tvm_re2na.data import in_memory
from tvm_re2na.model_error import ModelError
from tvm_re2na.model_file import ModelSource
from tvm_re2na.npz import DataError
from tvm_re2na.onnx_runtime import OnnxRuntimeSession, session
from tvm_re2na.opinion.sections import CutModel, Numbers
from tvm_re2na.opinion.verdict import OperatorOpinion, SecondOpinion, judge
from tvm_re2na.progress import Progress, silent

IMAGES = 4  # that a command looks at
Runner = Callable[[Batch], list[Numbers]]


def second_opinion(
    model: ModelSource,
    images: npt.ArrayLike | Mapping[str, npt.ArrayLike] | None = None,
    progress: Progress = silent,
) -> SecondOpinion:
    """Hold TVM's integer execution of a QDQ model against ONNX Runtime's precise one, operator by operator.

    `images`: float32 (N, C, H, W), a few, as the network takes them, or an array for each of several inputs by its name; without
    them, noise over the whole range of its inputs. Every operator gets the integers that TVM computed for its operands, so that a
    difference stays where it arises.
    Raises ModelError for a model that is not quantised or holds QLinear operators, or that TVM or ONNX Runtime cannot run.
    """
    proto = model if isinstance(model, onnx.ModelProto) else pipeline.load_model(model)
    if not is_qdq(proto):
        raise ModelError(
            f"model '{proto.graph.name}': a second opinion is of QuantizeLinear and DequantizeLinear alone"
        )
    known = random_images(proto) if images is None else _batch(images)
    in_memory("images", known, None).expect_shape(pipeline.sample_of(proto))
    if not len(known):
        raise DataError("images: there are none")
    cut, batch = CutModel(proto), pipeline.batch_of(proto) or 1
    runner = for_cpu(cut.exposed(), batch, progress).executor()
    return judge_all(cut, runner, known, batch, progress)


def _batch(images: Any) -> Batch:
    if isinstance(images, Mapping):
        return join_inputs({name: np.asarray(array, np.float32) for name, array in images.items()})
    records = isinstance(images, np.ndarray) and images.dtype.names is not None
    return images if records else np.asarray(images, np.float32)


def opinion_if_any(model: onnx.ModelProto, images: Batch, progress: Progress = silent) -> SecondOpinion | None:
    """`second_opinion`; None where there are no images, or where it cannot be had, which a warning says."""
    if not len(images):
        return None
    try:
        return second_opinion(model, images, progress)
    except ModelError as error:
        warnings.warn(f"no second opinion: {error}", stacklevel=2)
        return None


def is_qdq(model: onnx.ModelProto) -> bool:
    """Whether all that is quantised in a model are tensors between QuantizeLinear and DequantizeLinear."""
    kinds = {node.op_type for node in model.graph.node}
    others = any(kind.startswith(("QLinear", "QGemm", "Dynamic")) or kind.endswith("Integer") for kind in kinds)
    return "DequantizeLinear" in kinds and not others


def random_images(model: onnx.ModelProto, count: int = IMAGES) -> Batch:
    """float32 (count, C, H, W), or another batch, uniform over the range of each int8 input; over -1..1 where it has none."""
    rng, scales = np.random.default_rng(0), pipeline.border_scales(model)
    inputs = {}
    for given in pipeline.model_inputs(model):
        most = 128 * scales.get(given.name, 1 / 128)
        inputs[given.name] = rng.uniform(-most, most, (count, *given.image)).astype(np.float32)
    return join_inputs(inputs) if len(inputs) > 1 else next(iter(inputs.values()))


def judge_all(cut: CutModel, tvm: Runner, images: Batch, batch: int, progress: Progress = silent) -> SecondOpinion:
    oracle = session(cut.apart().SerializeToString())
    total: list[OperatorOpinion] = []
    done = 0
    for count, filled in in_memory("images", images, None).batches(batch):
        progress("second opinion", done, len(images))
        found = _judged(cut, oracle, filled, dict(zip(cut.shown, tvm(filled), strict=True)))
        total = [a + b for a, b in zip(total, found, strict=True)] if total else found
        done += count
    progress("second opinion", done, len(images))
    return SecondOpinion(len(images), tuple(total))


def _judged(
    cut: CutModel, oracle: OnnxRuntimeSession, images: Batch, mine: dict[str, Numbers]
) -> list[OperatorOpinion]:
    reals = {section.tensor: section.quantiser.real for section in cut.sections if section.quantiser is not None}
    wanted = list(dict.fromkeys([*(section.written for section in cut.sections), *reals.values()]))
    given = {**by_name(images, oracle.input_names), **{name: mine[name] for name in cut.integers}}
    theirs = dict(zip(wanted, oracle.run(wanted, given), strict=True))
    return [
        judge(section, mine[section.tensor], theirs[section.written], theirs.get(reals.get(section.tensor, "")))
        for section in cut.sections
    ]
