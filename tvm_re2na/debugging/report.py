"""What `debug` has found: an operator a row, the first at which two sides part, where to look first, the worst images."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from tvm_re2na.debugging.measures import SideFigures

SUSPECTS = 3


@dataclass(frozen=True)
class Parting:
    """How many of the elements of two sides differ in bits, and by how many steps at most; `beyond_ties`: of ONNX Runtime and TVM,
    those that no tie and no rounding of a quantised Add explains, given the same operands."""

    differing: int
    steps: int | None
    beyond_ties: int | None = None


@dataclass(frozen=True)
class OperatorFigures:
    """One operator of the quantised network, with what is computed in one with it.

    `number`: in execution order. `place`: Re²Na, Re²Na/1 (region 1), within another operator's unit, or CPU. `step`: what a step of
    the result is worth, None where channels differ or it has none. The sides (`onnx_runtime`, `tvm`, `re2na`) are accumulated:
    each has computed all operators before. `alone`: this operator alone is quantised, its operands are the reference's;
    `output_db`: what that leaves of the network's outputs. `saturated`, `overflowed`: shares of the elements, and of the sums on
    Re²Na. `values`: how many of TVM's integers lie in each sixteenth of their range; `errors`: how many are -8 or less, -7, ...,
    8 or more steps from the reference.
    """

    number: int
    name: str
    nodes: tuple[str, ...]
    op: str
    tensor: str
    shape: tuple[int, ...]
    place: str
    step: float | None
    onnx_runtime: SideFigures | None
    tvm: SideFigures | None
    re2na: SideFigures | None
    alone: SideFigures | None
    output_db: float | None
    saturated: float | None
    overflowed: float | None
    onnx_runtime_tvm: Parting | None
    tvm_re2na: Parting | None
    values: tuple[int, ...]
    errors: tuple[int, ...]

    @property
    def parts(self) -> bool:
        """Whether two sides differ by more than ties."""
        wrong = self.onnx_runtime_tvm is not None and bool(self.onnx_runtime_tvm.beyond_ties)
        return wrong or (self.tvm_re2na is not None and self.tvm_re2na.differing > 0)

    @property
    def alone_db(self) -> float:
        """Infinite where there is no noise, or nobody knows."""
        found = None if self.alone is None else self.alone.snr_db
        return math.inf if found is None else found


@dataclass(frozen=True)
class WorstImage:
    """An image by its number in the data: signal over noise of the scores, the class of either side, its label if there is one, and
    the operator whose result is worst."""

    image: int
    snr_db: float | None
    label: int | None
    reference_class: int | None
    int8_class: int | None
    operator: str
    operator_db: float | None


@dataclass(frozen=True)
class Debugging:
    """`reference`: what the sides are held against, in words. `sides`: those that were run. `outputs`: by name and side the signal
    over noise of the network's outputs."""

    images: int
    reference: str
    sides: tuple[str, ...]
    operators: tuple[OperatorFigures, ...]
    outputs: dict[str, dict[str, float | None]]
    worst: tuple[WorstImage, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def first_parting(self) -> dict[str, str | None]:
        """The first operator at which two sides differ in bits: ONNX Runtime and TVM at all, and beyond ties; TVM and Re²Na."""
        rows = self.operators
        return {
            "onnx_runtime_tvm": _first(
                row.name for row in rows if row.onnx_runtime_tvm and row.onnx_runtime_tvm.differing
            ),
            "onnx_runtime_tvm_beyond_ties": _first(
                row.name for row in rows if row.onnx_runtime_tvm and row.onnx_runtime_tvm.beyond_ties
            ),
            "tvm_re2na": _first(row.name for row in rows if row.tvm_re2na and row.tvm_re2na.differing),
        }

    @property
    def suspects(self) -> tuple[OperatorFigures, ...]:
        """Where to look first: operators at which two sides part, in their order; then those that alone lose most of their
        signal."""
        parting = [row for row in self.operators if row.parts]
        noisy = sorted((row for row in self.operators if not row.parts), key=lambda row: row.alone_db)
        return tuple([*parting, *(row for row in noisy if row.alone_db < math.inf)][:SUSPECTS])

    @property
    def agrees(self) -> bool:
        """Whether no two sides differ by more than ties."""
        return not any(row.parts for row in self.operators)

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        data = dataclasses.asdict(self)
        data |= {"first_parting": self.first_parting, "suspects": [row.name for row in self.suspects]}
        return data | {"agrees": self.agrees}


def _first(names: Any) -> str | None:
    return next(iter(names), None)
