"""Which layers have to stay in float, or at the machine's full width, for a wanted accuracy: the fewest multiply-accumulates on the
CPU, and of those the fewest bits of weights.

All layers are quantised first. `debug`'s figures say what each of them, quantised alone, costs the outputs; by that, for each
multiply-accumulate that it takes from the machine, layers are given up one after the other until the target is met, and taken back
where it is met without them. Every trial is a network that is quantised anew and measured on images that nobody else sees.
"""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import onnx

from tvm_re2na import pipeline
from tvm_re2na.cache import models
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.data import in_memory
from tvm_re2na.dataset import Dataset
from tvm_re2na.debugging.reference import float_reference
from tvm_re2na.debugging.run import DebugJob
from tvm_re2na.decibels import decibels
from tvm_re2na.float_runner import BatchRunner, float_runner, precise_runner
from tvm_re2na.mixed.costs import LayerCost, layer_costs, layer_name
from tvm_re2na.mixed.report import WidthSearch, WidthTrial
from tvm_re2na.mixed.target import Target
from tvm_re2na.model_file import scores_of
from tvm_re2na.npz import DataError
from tvm_re2na.opinion.sections import CutModel
from tvm_re2na.progress import Progress, silent
from tvm_re2na.quantize import QuantizedModel, QuantizeError, QuantizeOptions
from tvm_re2na.quantize.options import layer_of
from tvm_re2na.tally import count_hits

EVERY = 4  # every fourth image is held back
LEAST_IMAGES = 8
LOOKED_AT = 16  # images on which layers are judged alone
TAKEN_BACK = 16  # layers that are tried on the machine once more
FLOAT_BITS = 32
NONE = frozenset[str]()


def search_widths(
    model: onnx.ModelProto,
    calibration: Dataset,
    target: Target,
    arch: Architecture | None = None,
    options: QuantizeOptions | None = None,
    progress: Progress = silent,
) -> tuple[QuantizedModel, WidthSearch]:
    """The network at the least cost that meets `target`, and all that was tried.

    Every fourth calibration image is held back, for the target alone. `options.weight_bits` is where layers begin; what they may
    become is the machine's width, then float. Raises QuantizeError where even all layers in float do not meet it, DataError where
    there are too few images, or no labels for a target in points.
    """
    known = _Measure.of(model, calibration, target)
    search = _Search(known, arch or Architecture(), options or QuantizeOptions(), progress)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of trials; those of the network that is chosen are told
        made, chosen = search.run()
    made.report.warn()
    told = WidthSearch(
        str(target),
        len(known.seen),
        len(known.held),
        known.share(known.wanted),
        sum(cost.macs for cost in search.costs.values()),
        tuple(search.trials.values()),
        chosen,
    )
    return made, told


@dataclass(frozen=True)
class _Measure:
    """The float model with its images; `wanted`: its scores on those that are held back."""

    model: onnx.ModelProto
    seen: Dataset
    held: Dataset
    target: Target
    wanted: np.ndarray

    @classmethod
    def of(cls, model: onnx.ModelProto, calibration: Dataset, target: Target) -> _Measure:
        count = len(calibration)
        if count < LEAST_IMAGES:
            raise DataError(f"{calibration.source}: {count} images, a search for widths needs {LEAST_IMAGES}")
        chosen = np.arange(count) % EVERY == EVERY - 1
        seen, held = (_some(calibration, which) for which in (~chosen, chosen))
        made = cls(model, seen, held, target, scores(float_runner(model), model, held))
        if target.in_points:
            _check_labels(held, target)
        return made

    def share(self, found: np.ndarray) -> float | None:
        """Top-1 of the images held back."""
        if self.held.y is None or not self.held.labelled or found.ndim != 2:
            return None
        return float(count_hits(found, self.held.y)[0] / self.held.labelled)

    def snr_db(self, found: np.ndarray) -> float | None:
        noise = float(np.square(found - self.wanted, dtype=np.float64).sum())
        return decibels(float(np.square(self.wanted, dtype=np.float64).sum()), noise)


def scores(run: BatchRunner, model: onnx.ModelProto, images: Dataset) -> np.ndarray:
    """(N, classes), or another output that `scores_of` finds."""
    parts = [run(batch)[scores_of(model)][:count] for count, batch in images.batches(pipeline.batch_of(model) or 1)]
    return np.concatenate(parts)


def _some(images: Dataset, which: np.ndarray) -> Dataset:
    labels = None if images.y is None else images.y[which]
    found = in_memory(images.source, images.x[which], labels)
    return dataclasses.replace(found, preprocessing=images.preprocessing)


def _check_labels(held: Dataset, target: Target) -> None:
    if not held.labelled:
        raise DataError(f"{held.source}: no labels; a target in points of top-1 needs some, one in dB does not")
    resolution = 100 / held.labelled
    if 0 < target.value < resolution:
        raise DataError(
            f"{held.source}: {target.value:g} points are less than one of the {held.labelled} labelled images that are held back"
            f" ({resolution:.2f}): more calibration images, or a target in dB"
        )


class _Search:
    """`trials` by what they have in float and at full width."""

    def __init__(self, known: _Measure, arch: Architecture, options: QuantizeOptions, progress: Progress) -> None:
        self._known, self._arch, self._options, self._progress = known, arch, options, progress
        self.trials: dict[tuple[frozenset[str], frozenset[str]], WidthTrial] = {}
        self._best: tuple[QuantizedModel, WidthTrial] | None = None
        self._narrow = options.weight_bits is not None and options.weight_bits < arch.data_bits
        self._first = self._quantized(NONE, NONE)
        self.costs = layer_costs(self._first.model)
        self.names = tuple(dict.fromkeys(layer_of(layer.name) for layer in self._first.report.layers))

    def run(self) -> tuple[QuantizedModel, WidthTrial]:
        """What costs least of all that meets the target."""
        if not self._trial(NONE, NONE).meets:
            self._give_up_layers(self._order())
        if self._best is None:
            raise QuantizeError(self._out_of_reach())
        return self._best

    def _give_up_layers(self, order: Sequence[str]) -> None:
        wide = NONE
        if self._narrow:
            wide = self._fewest(order, lambda names: self._trial(NONE, names))
            if self._trial(NONE, wide).meets:
                self._without(wide, lambda names: self._trial(NONE, names))
                return
        kept = self._fewest(order, lambda names: self._trial(names, wide - names))
        if self._trial(kept, wide - kept).meets:
            kept = self._without(kept, lambda names: self._trial(names, wide - names))
            self._without(wide - kept, lambda names: self._trial(kept, names))

    def _fewest(self, order: Sequence[str], trial: Callable[[frozenset[str]], WidthTrial]) -> frozenset[str]:
        """The shortest beginning of `order` that meets the target, found by halving; all of it where none does."""
        low, high = 0, 1
        while high < len(order) and not trial(frozenset(order[:high])).meets:
            low, high = high, min(2 * high, len(order))
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (low, middle) if trial(frozenset(order[:middle])).meets else (middle, high)
        return frozenset(order[:high])

    def _without(self, names: frozenset[str], trial: Callable[[frozenset[str]], WidthTrial]) -> frozenset[str]:
        """Without those that the target is met without, the costliest first."""
        for name in sorted(names, key=lambda name: (-self._cost(name).macs, name))[:TAKEN_BACK]:
            if trial(names - {name}).meets:
                names -= {name}
        return names

    def _order(self) -> list[str]:
        """Layers by how much noise each alone brings to the outputs, for each multiply-accumulate; the most first."""
        known = self._known
        cut = CutModel(self._first.model)
        job = DebugJob(cut, float_reference(cut, known.model), None, None, pipeline.batch_of(known.model) or 1)
        few = _some(known.seen, np.arange(len(known.seen)) < LOOKED_AT)
        tallies, _ = job.run(few, None, self._progress)
        noise = dict.fromkeys(self.names, 0.0)
        for tally in tallies:
            for name in {layer_name(node.name) for node in tally.section.nodes} & noise.keys():
                if tally.output_db is not None:
                    noise[name] += 10 ** (-tally.output_db / 10)
        return sorted(self.names, key=lambda name: (-noise[name] / max(self._cost(name).macs, 1), name))

    def _cost(self, name: str) -> LayerCost:
        return self.costs.get(name, LayerCost(0, 0))

    def _trial(self, kept: frozenset[str], wide: frozenset[str]) -> WidthTrial:
        key = kept, wide
        if key not in self.trials:
            self._progress("search widths", len(self.trials), len(self.trials) + 1)
            self.trials[key] = self._measured(kept, wide)
        return self.trials[key]

    def _measured(self, kept: frozenset[str], wide: frozenset[str]) -> WidthTrial:
        known, target = self._known, self._known.target
        made = self._first if (kept, wide) == (NONE, NONE) else self._quantized(kept, wide)
        found = scores(precise_runner(made.model), known.model, known.held)
        snr_db, top1, before = known.snr_db(found), known.share(found), known.share(known.wanted)
        lost = None if top1 is None or before is None else round(100 * (before - top1), 4)
        meets = target.is_met(snr_db, lost)
        macs = sum(self._cost(name).macs for name in kept)
        named = tuple(sorted(kept)), tuple(sorted(wide))
        trial = WidthTrial(*named, macs, self._weight_bits(kept, wide), snr_db, top1, lost, meets)
        if meets and (self._best is None or trial.cost < self._best[1].cost):
            self._best = made, trial
        return trial

    def _weight_bits(self, kept: frozenset[str], wide: frozenset[str]) -> int:
        full, narrow = self._arch.data_bits, self._options.weight_bits or self._arch.data_bits
        bits = {**dict.fromkeys(self.names, narrow), **dict.fromkeys(wide, full), **dict.fromkeys(kept, FLOAT_BITS)}
        return sum(self._cost(name).weights * count for name, count in bits.items())

    def _quantized(self, kept: frozenset[str], wide: frozenset[str]) -> QuantizedModel:
        given = self._options
        options = dataclasses.replace(given, keep_float=given.keep_float | kept, full_width=given.full_width | wide)
        known = self._known
        return models.quantize(known.model, known.seen.x, self._arch, options, self._progress)

    def _out_of_reach(self) -> str:
        best = max(self.trials.values(), key=lambda trial: trial.accuracy)
        what = f"{best.lost_points:g} points lost" if self._known.target.in_points else f"{best.accuracy:g} dB"
        return f"{self._known.target}: not met by any of {len(self.trials)} networks; the best has {what}"
