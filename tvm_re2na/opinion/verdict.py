"""Where TVM's integers part from ONNX Runtime's by more than a rounding explains, counted operator by operator."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

import numpy as np

from tvm_re2na.model_error import ModelError
from tvm_re2na.opinion.sections import Numbers, Section

SLACK = 2.0**-20  # of the largest value in steps: ONNX Runtime adds in float32
SHOWN = 3  # names of nodes
FLOAT_SLACK = 1e-4  # of the largest value of an output that is no integer


@dataclass(frozen=True)
class OperatorOpinion:
    """One operator of the quantised network, with what is computed in one with it, such as an activation.

    `nodes`: their names in the ONNX file, in execution order; `tensor`: what they write. Of its `elements`, over all images,
    `differing` are not ONNX Runtime's, and `parting` are such that no tie and no rounding of a quantised Add explains them; `steps`
    is the largest difference of these in steps of the result, None where the result is no integer.
    """

    nodes: tuple[str, ...]
    op: str
    tensor: str
    elements: int
    differing: int
    parting: int
    steps: int | None

    @property
    def name(self) -> str:
        """Of its nodes; of long ones the first and the last."""
        shown = self.nodes if len(self.nodes) <= SHOWN else (self.nodes[0], "...", self.nodes[-1])
        return " + ".join(shown) or self.tensor

    @property
    def share(self) -> float:
        """Of the elements that part."""
        return self.parting / self.elements if self.elements else 0.0

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return {**dataclasses.asdict(self), "nodes": list(self.nodes)}

    def __add__(self, other: OperatorOpinion) -> OperatorOpinion:
        """Of the images of both."""
        counts = {name: getattr(self, name) + getattr(other, name) for name in ("elements", "differing", "parting")}
        steps = None if self.steps is None or other.steps is None else max(self.steps, other.steps)
        return dataclasses.replace(self, **counts, steps=steps)


@dataclass(frozen=True)
class SecondOpinion:
    """Of `images` images, all `operators` in execution order."""

    images: int
    operators: tuple[OperatorOpinion, ...]

    @property
    def parting(self) -> tuple[OperatorOpinion, ...]:
        return tuple(operator for operator in self.operators if operator.parting)

    @property
    def agrees(self) -> bool:
        """Whether ties and the rounding of a quantised Add explain every difference."""
        return not self.parting

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        parting = [operator.to_json() for operator in self.parting]
        return {"images": self.images, "operators": len(self.operators), "agrees": self.agrees, "parting": parting}


def judge(section: Section, tvm: Numbers, onnx_runtime: Numbers, real: Numbers | None) -> OperatorOpinion:
    """What TVM and ONNX Runtime made of the same operands; `real`: what ONNX Runtime had before it quantised, where that is known.

    Raises ModelError where the two have another shape.
    """
    if tvm.shape != onnx_runtime.shape:
        raise ModelError(f"'{section.tensor}' is of shape {tvm.shape} in TVM, {onnx_runtime.shape} in ONNX Runtime")
    differing = tvm != onnx_runtime
    parting, steps = differing, None
    if section.integer:
        if real is not None and section.quantiser is not None:
            parting = differing & ~_as_near_as_can_be(
                tvm, section.quantiser.steps(real.astype(np.float64)), section.rounding
            )
        steps = int(np.abs(tvm.astype(np.int64) - onnx_runtime.astype(np.int64))[parting].max(initial=0))
    elif tvm.dtype.kind == "f":
        parting = differing & ~_as_good_as(tvm, onnx_runtime)
    nodes = tuple(node.name for node in section.nodes)
    op = next((node.op_type for node in section.nodes), "QuantizeLinear")
    return OperatorOpinion(nodes, op, section.tensor, tvm.size, int(differing.sum()), int(parting.sum()), steps)


def _as_near_as_can_be(tvm: Numbers, exact: Numbers, rounding: float) -> Any:
    """Integers that TVM's own roundings explain; NaN is no integer, so that any of them stands for it."""
    slack = SLACK * np.abs(exact[np.isfinite(exact)]).max(initial=1.0)
    return (np.abs(tvm - exact) <= rounding + slack) | np.isnan(exact)


def _as_good_as(tvm: Numbers, onnx_runtime: Numbers) -> Any:
    """Floats that are equal but for the order of additions."""
    finite = np.abs(onnx_runtime[np.isfinite(onnx_runtime)]).max(initial=0.0)
    with np.errstate(invalid="ignore"):
        near = np.abs(tvm - onnx_runtime) <= FLOAT_SLACK * finite
    return near | (np.isnan(tvm) & np.isnan(onnx_runtime))
