"""One operator of the network, on all sides, over all images."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from tvm_re2na.debugging.machine import MachineRun, ObservedMachine
from tvm_re2na.debugging.measures import Counts, Distance, Reals, comparable, step_of
from tvm_re2na.debugging.report import OperatorFigures, Parting
from tvm_re2na.opinion.sections import Numbers, Section
from tvm_re2na.opinion.verdict import OperatorOpinion, judge

Values = Mapping[str, Numbers]
SIDES = ("onnx_runtime", "tvm", "re2na")


@dataclass(frozen=True)
class BatchSides:
    """One batch of `count` images: what each side made of it, by name. Without TVM there are neither `tvm`, `machine` nor `judged`
    (what ONNX Runtime makes of TVM's integers)."""

    count: int
    wanted: Values
    onnx_runtime: Values
    alone: Values
    tvm: Values | None = None
    machine: MachineRun | None = None
    judged: Values = field(default_factory=dict)


class OperatorTally:
    """What is counted of a section."""

    def __init__(self, section: Section) -> None:
        self.section = section
        self.sides = {name: Distance() for name in SIDES}
        self.counts = Counts()
        self._alone = Distance()
        self._outputs: list[Distance] = []
        self._opinion: OperatorOpinion | None = None
        self._machine: Parting | None = None
        self._overflows, self._images, self._shape = 0, 0, ()

    def add(self, batch: BatchSides) -> None:
        section, count = self.section, batch.count
        theirs = batch.onnx_runtime[section.tensor]
        mine = None if batch.tvm is None else np.asarray(batch.tvm[section.tensor]).reshape(theirs.shape)
        self._images, self._shape = self._images + count, theirs.shape[1:]
        found = {"onnx_runtime": theirs} if mine is None else {"onnx_runtime": theirs, "tvm": mine}
        if mine is not None and batch.machine is not None:
            seen = _on_machine(section, batch.machine, mine)
            if seen is not None:
                found["re2na"] = seen
                self._part(mine[:count], seen[:count])
            self._overflows += batch.machine.overflows.get(section.tensor, 0)
        wanted = batch.wanted.get(section.tensor)
        self._distances(found, wanted, count)
        alone = batch.alone.get(section.tensor)
        if alone is not None and wanted is not None:
            self._add(self._alone, wanted, alone, count)
        shown = theirs if mine is None else mine
        if section.integer and section.quantiser is not None:
            self.counts.add(shown[:count], section.quantiser, None if wanted is None else wanted[:count])
        if mine is not None:
            self._judge(mine, batch.judged)

    def noise_alone(self, batch: BatchSides) -> Reals | None:
        """By how much the reference's result is off where this operator alone is quantised; None where nobody knows."""
        wanted, alone = batch.wanted.get(self.section.tensor), batch.alone.get(self.section.tensor)
        values = None if alone is None else comparable(self.section, alone)
        return None if wanted is None or values is None else values - wanted

    def add_outputs(self, count: int, wanted: Sequence[Numbers], disturbed: Sequence[Numbers]) -> None:
        """The network's outputs without quantisation, and with that of this operator alone."""
        self._outputs = self._outputs or [Distance() for _ in wanted]
        for distance, given, found in zip(self._outputs, wanted, disturbed, strict=True):
            if given.dtype.kind == "f":
                distance.add(given[:count], found[:count], None)

    @property
    def output_db(self) -> float | None:
        """Of the output that suffers most."""
        known = [figures.snr_db for each in self._outputs if (figures := each.figures(False)) is not None]
        return min((value for value in known if value is not None), default=None)

    @property
    def name(self) -> str:
        return OperatorOpinion(self._nodes, "", self.section.tensor, 0, 0, 0, None).name

    def figures(self, number: int, machine: ObservedMachine | None) -> OperatorFigures:
        section, steps = self.section, self.section.quantiser is not None
        scale = section.quantiser.scale if section.quantiser is not None else np.zeros(2)
        sums = 0 if machine is None else machine.sums.get(section.tensor, 0) * self._images
        opinion = self._opinion
        return OperatorFigures(
            number=number,
            name=self.name,
            nodes=self._nodes,
            op=next((node.op_type for node in section.nodes), "QuantizeLinear"),
            tensor=section.tensor,
            shape=tuple(self._shape),
            place="" if machine is None else machine.places[section.tensor],
            step=float(scale.reshape(-1)[0]) if scale.size == 1 else None,
            **{name: distance.figures(steps) for name, distance in self.sides.items()},
            alone=self._alone.figures(steps),
            output_db=self.output_db,
            saturated=self.counts.saturated / self.counts.elements if self.counts.elements else None,
            overflowed=self._overflows / sums if sums else None,
            onnx_runtime_tvm=None if opinion is None else Parting(opinion.differing, opinion.steps, opinion.parting),
            tvm_re2na=self._machine,
            values=tuple(self.counts.values.tolist()),
            errors=tuple(self.counts.errors.tolist()),
        )

    @property
    def _nodes(self) -> tuple[str, ...]:
        return tuple(node.name for node in self.section.nodes)

    def _distances(self, found: Values, wanted: Numbers | None, count: int) -> None:
        for name, values in found.items():
            if wanted is not None:
                self._add(self.sides[name], wanted, values, count)

    def _add(self, distance: Distance, wanted: Numbers, values: Numbers, count: int) -> None:
        known, quantiser = comparable(self.section, values), self.section.quantiser
        if known is not None and known.shape == wanted.shape:
            step = None if quantiser is None else step_of(quantiser, known.ndim)
            distance.add(wanted[:count], known[:count], step)

    def _judge(self, mine: Numbers, judged: Values) -> None:
        section = self.section
        real = None if section.quantiser is None else judged.get(section.quantiser.real)
        found = judge(section, mine, judged[section.written], real)
        self._opinion = found if self._opinion is None else self._opinion + found

    def _part(self, mine: Numbers, seen: Numbers) -> None:
        differing = int((mine != seen).sum())
        steps = (
            int(np.abs(mine.astype(np.int64) - seen.astype(np.int64)).max(initial=0)) if self.section.integer else None
        )
        before = self._machine or Parting(0, 0 if self.section.integer else None)
        steps = None if steps is None or before.steps is None else max(steps, before.steps)
        self._machine = Parting(before.differing + differing, steps)


def _on_machine(section: Section, run: MachineRun, mine: Numbers) -> Numbers | None:
    """What Re²Na has; rows that no instruction needs, and so computes, count as TVM's. None where it has nothing of the kind."""
    seen = run.tensors.get(section.tensor)
    if seen is None or seen.integers.size != mine.size:
        return None
    return np.where(seen.exists.reshape(mine.shape), seen.integers.reshape(mine.shape).astype(mine.dtype), mine)
