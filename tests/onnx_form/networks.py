"""A model before and after, and what both answer."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na.model_file import check_model
from tvm_re2na.onnx_form import normalise
from tvm_re2na.onnx_runtime import session

Images = npt.NDArray[np.float32]
RNG = np.random.default_rng(20)


def declared(model: onnx.ModelProto, *shapes: tuple[int | str, ...]) -> onnx.ModelProto:
    """The shapes of outputs that inference does not find."""
    for value, shape in zip(model.graph.output, shapes, strict=True):
        kind = value.type.tensor_type.elem_type
        value.CopyFrom(onnx.helper.make_tensor_value_info(value.name, kind, shape))
    return model


def images(model: onnx.ModelProto, count: int = 3) -> Images:
    """`count` of them where the batch is open."""
    sizes = [size.dim_value for size in model.graph.input[0].type.tensor_type.shape.dim]
    return RNG.normal(0, 1, [sizes[0] or count, *sizes[1:]]).astype(np.float32)


def answers(model: onnx.ModelProto, given: Images) -> list[npt.NDArray[np.generic]]:
    """What ONNX Runtime computes, every operator as it is written."""
    running = session(model.SerializeToString())
    found: list[npt.NDArray[np.generic]] = running.run(None, {running.input_names[0]: given})
    return found


def after(model: onnx.ModelProto, given: Images | None = None) -> onnx.ModelProto:
    """The model in form, which is checked: names and types of what it shows stay, and what it answers."""
    check_model(model)
    before = model.SerializeToString()
    made = normalise(model)
    assert model.SerializeToString() == before, "the caller's model was changed"
    onnx.checker.check_model(made, full_check=True)
    shown = {value.name for value in model.graph.input}
    for value, old in zip(made.graph.output, model.graph.output, strict=True):
        assert value.name == old.name or old.name in shown
    given = images(model) if given is None else given
    for old, new in zip(answers(model, given), answers(made, given), strict=True):
        assert old.shape == new.shape and old.dtype == new.dtype
        np.testing.assert_allclose(new, old, rtol=1e-5, atol=1e-5 * float(np.abs(old).max()))
    assert normalise(made).SerializeToString() == made.SerializeToString(), "twice is as good as once"
    return made


def operators(model: onnx.ModelProto) -> list[str]:
    return [node.op_type for node in model.graph.node]


def names(model: onnx.ModelProto) -> list[str]:
    return [node.name for node in model.graph.node]
