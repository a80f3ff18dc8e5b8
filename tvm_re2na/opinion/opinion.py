"""The whole job on one page: cut the model, let TVM make its integers, let ONNX Runtime judge each section on them."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na import pipeline
from tvm_re2na.artefacts import for_cpu
from tvm_re2na.dataset import FloatArray
from tvm_re2na.model_error import ModelError
from tvm_re2na.model_file import ModelSource
from tvm_re2na.npz import DataError
from tvm_re2na.onnx_runtime import OnnxRuntimeSession, session
from tvm_re2na.opinion.sections import CutModel, Numbers
from tvm_re2na.opinion.verdict import OperatorOpinion, SecondOpinion, judge
from tvm_re2na.progress import Progress, silent

IMAGES = 4  # that a command looks at
Runner = Callable[[FloatArray], list[Numbers]]


def second_opinion(
    model: ModelSource, images: npt.ArrayLike | None = None, progress: Progress = silent
) -> SecondOpinion:
    """Hold TVM's integer execution of a QDQ model against ONNX Runtime's precise one, operator by operator.

    `images`: float32 (N, C, H, W), a few, as the network takes them; without them, noise over the whole range of its input. Every
    operator gets the integers that TVM computed for its operands, so that a difference stays where it arises.
    Raises ModelError for a model that is not quantised or holds QLinear operators, or that TVM or ONNX Runtime cannot run.
    """
    proto = model if isinstance(model, onnx.ModelProto) else pipeline.load_model(model)
    if not is_qdq(proto):
        raise ModelError(
            f"model '{proto.graph.name}': a second opinion is of QuantizeLinear and DequantizeLinear alone"
        )
    given = pipeline.model_input(proto)
    known = random_images(proto) if images is None else np.asarray(images, np.float32)
    if known.shape[1:] != given.image or not len(known):
        raise DataError(f"images of shape {known.shape}, the network takes (N, {', '.join(map(str, given.image))})")
    cut, batch = CutModel(proto), given.batch or 1
    runner = for_cpu(cut.exposed(), batch, progress).executor()
    return judge_all(cut, runner, known, batch, progress)


def opinion_if_any(model: onnx.ModelProto, images: FloatArray, progress: Progress = silent) -> SecondOpinion | None:
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


def random_images(model: onnx.ModelProto, count: int = IMAGES) -> FloatArray:
    """float32 (count, C, H, W), uniform over the range of the model's int8 input; over -1..1 where it has none."""
    rng = np.random.default_rng(0)
    scale = pipeline.border_scales(model).get("input_scale", 1 / 128)
    return rng.uniform(-128 * scale, 128 * scale, (count, *pipeline.model_input(model).image)).astype(np.float32)


def judge_all(cut: CutModel, tvm: Runner, images: FloatArray, batch: int, progress: Progress = silent) -> SecondOpinion:
    oracle = session(cut.apart().SerializeToString())
    total: list[OperatorOpinion] = []
    starts = range(0, len(images), batch)
    for done, start in enumerate(starts):
        progress("second opinion", done, len(starts))
        some = images[start : start + batch]
        filled = np.concatenate([some, np.repeat(some[-1:], batch - len(some), axis=0)])
        found = _judged(cut, oracle, filled, dict(zip(cut.shown, tvm(filled), strict=True)))
        total = [a + b for a, b in zip(total, found, strict=True)] if total else found
    progress("second opinion", len(starts), len(starts))
    return SecondOpinion(len(images), tuple(total))


def _judged(
    cut: CutModel, oracle: OnnxRuntimeSession, images: FloatArray, mine: dict[str, Numbers]
) -> list[OperatorOpinion]:
    reals = {section.tensor: section.quantiser.real for section in cut.sections if section.quantiser is not None}
    wanted = list(dict.fromkeys([*(section.written for section in cut.sections), *reals.values()]))
    given = {oracle.input_name: images, **{name: mine[name] for name in cut.integers}}
    theirs = dict(zip(wanted, oracle.run(wanted, given), strict=True))
    return [
        judge(section, mine[section.tensor], theirs[section.written], theirs.get(reals.get(section.tensor, "")))
        for section in cut.sections
    ]
