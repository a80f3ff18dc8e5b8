"""The whole job on one page: cut the model, run the sides batch by batch, count."""

from __future__ import annotations

from collections.abc import Sequence

import onnx

from tvm_re2na import pipeline
from tvm_re2na.artefacts import for_cpu
from tvm_re2na.batches import Batch, sample_text
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import DataSource
from tvm_re2na.dataset import Dataset
from tvm_re2na.debugging.kept import Dump
from tvm_re2na.debugging.machine import ObservedMachine
from tvm_re2na.debugging.operators import BatchSides, OperatorTally
from tvm_re2na.debugging.reference import Floats, Reference, float_reference, unrounded_reference
from tvm_re2na.debugging.report import Debugging
from tvm_re2na.debugging.scores import ScoreTally
from tvm_re2na.debugging.sides import AloneRunner, QdqRunner
from tvm_re2na.frontends.interface import Runner
from tvm_re2na.model_error import ModelError
from tvm_re2na.model_file import ModelSource, scores_of
from tvm_re2na.npz import DataError
from tvm_re2na.opinion.opinion import is_qdq
from tvm_re2na.opinion.sections import CutModel, Numbers
from tvm_re2na.preprocessing import Preprocessing
from tvm_re2na.progress import Progress, silent

IMAGES = 8  # that are looked at, unless told
NAMED = 4  # operators in a note
FLOAT, UNROUNDED = "the float model", "this model without its roundings; its weights are those of the file"


def debug(
    model: ModelSource,
    data: DataSource,
    calibration: DataSource | None = None,
    arch: Architecture | None = None,
    *,
    float_model: ModelSource | None = None,
    limit: int | None = IMAGES,
    preprocessing: Preprocessing | None = None,
    worst: int = 0,
    dump: Dump | None = None,
    progress: Progress = silent,
) -> Debugging:
    """Run a network in float, as QDQ in ONNX Runtime, on TVM's CPU and on Re²Na, and hold every operator's results together.

    A float `model` is quantised first and needs `calibration`. A quantised one is held against `float_model`; without it, against
    itself without its roundings, which says nothing of its weights. Re²Na's results are those of the instructions that the
    network's programs consist of, observed as they run (docs/debug.md). `worst`: how many images are named; `dump` gets every
    tensor.
    Raises ModelError, DataError, QuantizeError or CompileError.
    """
    arch, proto = arch or Architecture(), pipeline.opened(model)
    known = pipeline.calibration_if_any(calibration, proto, None, preprocessing)
    quantized = pipeline.quantized_model(proto, known, arch, progress)
    if not is_qdq(quantized):
        raise ModelError(f"model '{proto.graph.name}': debug takes QuantizeLinear and DequantizeLinear alone")
    images = pipeline.images_for(data, quantized, known, limit, preprocessing)
    if not len(images):
        raise DataError(f"{images.source}: there are no images")
    cut = CutModel(quantized)
    given = proto if quantized is not proto else None if float_model is None else pipeline.opened(float_model)
    reference = unrounded_reference(cut) if given is None else _reference_of(cut, given)
    batch = pipeline.batch_of(quantized) or 1
    cpu = for_cpu(cut.exposed(), batch, progress).executor()
    machine = ObservedMachine(cut.model, cut.sections, arch, batch)
    job = DebugJob(cut, reference, cpu, machine, batch)
    tallies, scores = job.run(images, dump, progress)
    found = tuple(tally.figures(number, machine) for number, tally in enumerate(tallies))
    told = () if given is None else _without_counterpart(cut, reference)
    if dump is not None:
        dump.write(cut.sections)
    return Debugging(
        len(images),
        UNROUNDED if given is None else FLOAT,
        ("onnx_runtime", "tvm", "re2na"),
        found,
        scores.outputs_db(),
        scores.worst(worst, tallies, images.y),
        told,
    )


def _reference_of(cut: CutModel, given: onnx.ModelProto) -> Reference:
    if pipeline.is_quantized(given):
        raise ModelError(f"model '{given.graph.name}': is quantised; debug is held against a float model")
    theirs, ours = pipeline.sample_of(given), pipeline.sample_of(cut.model)
    if theirs != ours:
        raise ModelError(
            f"model '{given.graph.name}': takes {sample_text(theirs)}, the quantised one {sample_text(ours)}"
        )
    return float_reference(cut, given)


def _without_counterpart(cut: CutModel, reference: Reference) -> tuple[str, ...]:
    sections = [section for section in cut.sections if section.tensor not in reference.counterparts]
    missing = [section.nodes[0].name if section.nodes else section.tensor for section in sections]
    if not missing:
        return ()
    count, more = f"{len(missing)} of {len(cut.sections)}", ", ..." if len(missing) > NAMED else ""
    return (f"{count} operators have no tensor of their own in the float model: {', '.join(missing[:NAMED])}{more}",)


class DebugJob:
    """The sides of one network, and what is counted of them. Without `cpu` and `machine`: float and ONNX Runtime alone."""

    def __init__(
        self, cut: CutModel, reference: Reference, cpu: Runner | None, machine: ObservedMachine | None, batch: int
    ) -> None:
        self._cut, self._reference, self._cpu, self._machine, self._batch = cut, reference, cpu, machine, batch
        self._qdq, self._alone = QdqRunner(cut), AloneRunner(cut, reference.counterparts)

    def run(
        self, images: Dataset, dump: Dump | None = None, progress: Progress = silent
    ) -> tuple[list[OperatorTally], ScoreTally]:
        tallies = [OperatorTally(section) for section in self._cut.sections]
        names = [value.name for value in self._cut.model.graph.output]
        scores, done = ScoreTally(names, scores_of(self._cut.model)), 0
        for count, batch in images.batches(self._batch):
            progress("debug", done, len(images))
            wanted, outputs = self._reference.values(batch)
            sides = self._sides(count, batch, wanted)
            for tally in tallies:
                tally.add(sides)
                noise = tally.noise_alone(sides)
                if noise is not None:
                    tally.add_outputs(count, outputs, self._reference.disturbed(batch, tally.section.tensor, noise))
                if dump is not None:
                    dump.add(tally.section, sides)
            known = {"onnx_runtime": sides.onnx_runtime, "tvm": sides.tvm}
            found: dict[str, Sequence[Numbers]] = {
                side: [values[name] for name in names] for side, values in known.items() if values is not None
            }
            if sides.machine is not None:
                found["re2na"] = sides.machine.outputs
            scores.add(count, outputs, found)
            done += count
        progress("debug", done, len(images))
        return tallies, scores

    def _sides(self, count: int, batch: Batch, wanted: dict[str, Floats]) -> BatchSides:
        theirs, alone = self._qdq.run(batch), self._alone.run(batch, wanted)
        if self._cpu is None:
            return BatchSides(count, wanted, theirs, alone)
        mine = dict(zip(self._cut.shown, self._cpu(batch), strict=True))
        machine = None if self._machine is None else self._machine.run(batch)
        return BatchSides(count, wanted, theirs, alone, mine, machine, self._qdq.given(batch, mine))
