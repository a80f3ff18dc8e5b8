"""Counting what the executions of a network made of the images: float, and int8 in ONNX Runtime, on the CPU and on Re²Na.

All sums are integers, and parts add up.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.comparison_rows import as_text
from tvm_re2na.dataset import UNKNOWN, LabelArray
from tvm_re2na.decibels import decibels
from tvm_re2na.npz import DataError
from tvm_re2na.runtime.network_traffic import NetworkTraffic

if TYPE_CHECKING:
    from tvm_re2na.opinion.verdict import SecondOpinion  # whoever runs a program has no need of ONNX

SIDES = ("float", "onnx_runtime", "cpu", "re2na")
ENERGY_BITS = 96  # behind the point of a sum of squares, which is a float that becomes an integer
TOTALS = ("runs", "cycles", "macs", "overflows", "dram_bytes")


@dataclass(frozen=True)
class Scores:
    """Shares of the labelled images whose class is the best, or among the best five. None where no image is labelled,
    and where that output holds no classes: it has (N, C) scores, or (N, C, 1, 1)."""

    top1: float | None
    top5: float | None


@dataclass(frozen=True)
class Int8Scores(Scores):
    """`snr_db`: energy of the given model's scores over that of the difference from them, in dB; None without a difference."""

    snr_db: float | None


@dataclass(frozen=True)
class Re2naScores(Int8Scores):
    """`overflows` counts over all images; `cycles`, `milliseconds` and `dram_bytes` are for one inference.

    `utilisation` is MACs / (cycles x peak MACs per cycle).
    """

    overflows: int
    cycles: float
    milliseconds: float
    utilisation: float
    dram_bytes: float


@dataclass(frozen=True)
class Comparison:
    """`agreement`: share of images whose best class on Re²Na is the float model's. `onnx_runtime_int8`: the same quantised model.

    `second_opinion`: TVM's integers held against ONNX Runtime, operator by operator; None where there is none.
    `traffic`: what crosses the regions' borders, and what is compulsory for the network.
    `bit_identical`: every element of every output of Re²Na is that of TVM's integer execution on the CPU, for all images.
    `given_quantized`: what stands in `float32` is the given model's, and that is quantised.
    """

    images: int
    float32: Scores
    onnx_runtime_int8: Int8Scores
    cpu_int8: Int8Scores
    re2na: Re2naScores
    agreement: float
    bit_identical: bool
    offloaded_macs_share: float
    traffic: NetworkTraffic
    second_opinion: SecondOpinion | None = None
    given_quantized: bool = False

    def __str__(self) -> str:
        """A table, a row on each line."""
        return as_text(self)

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        values = dataclasses.asdict(self)
        values["second_opinion"] = None if self.second_opinion is None else self.second_opinion.to_json()
        del values["given_quantized"], values["traffic"]
        values |= self.traffic.to_json(self.re2na.dram_bytes)
        return {"float" if name == "float32" else name: value for name, value in values.items()}


@dataclass
class Tally:
    """Of any of the images; no output is kept. `hits`: top-1 and top-5 of each side; `totals`: the simulator's counters;
    `energies`: of float the sum of squares of the scores, of the others that of the difference, times 2**ENERGY_BITS."""

    images: int = 0
    batches: int = 0
    labelled: int = 0
    agreed: int = 0
    differing: int = 0
    hits: dict[str, list[int]] = field(default_factory=lambda: {side: [0, 0] for side in SIDES})
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOTALS, 0))
    energies: dict[str, int] = field(default_factory=lambda: dict.fromkeys(SIDES, 0))

    def add(self, count: int, labels: LabelArray | None, *outputs: list[npt.NDArray[Any]], scores: int = 0) -> None:
        """One batch, of which the first `count` images are real: all outputs of each side, of which number `scores` tells the
        classes apart.

        Raises DataError for a label that the network does not know.
        """
        told = [output[scores][:count].reshape(count, -1) for output in outputs]
        if labels is not None and _is_of_classes(outputs[0][scores].shape):
            _check_labels(labels, told[0].shape[1])
            self.labelled += int((labels != UNKNOWN).sum())
            for side, score in zip(SIDES, told, strict=True):
                self.hits[side] = [a + int(b) for a, b in zip(self.hits[side], count_hits(score, labels), strict=True)]
        for side, energy in zip(SIDES, _energies(told), strict=True):
            self.energies[side] += energy
        self.agreed += int((told[0].argmax(1) == told[3].argmax(1)).sum())
        self.differing += not all(_same_bits(a[:count], b[:count]) for a, b in zip(outputs[2], outputs[3], strict=True))
        self.images += count
        self.batches += 1

    def __add__(self, other: Tally) -> Tally:
        """Of the images of both."""
        return Tally(
            self.images + other.images,
            self.batches + other.batches,
            self.labelled + other.labelled,
            self.agreed + other.agreed,
            self.differing + other.differing,
            {side: [a + b for a, b in zip(self.hits[side], other.hits[side], strict=True)] for side in SIDES},
            {name: self.totals[name] + other.totals[name] for name in TOTALS},
            {side: self.energies[side] + other.energies[side] for side in SIDES},
        )

    def comparison(
        self,
        arch: Architecture,
        share: float,
        traffic: NetworkTraffic,
        batch: int,
        opinion: SecondOpinion | None = None,
        *,
        given_quantized: bool = False,
    ) -> Comparison:
        """The result; `share` of the MACs is offloaded."""
        inferences = self.batches * batch  # the images that filled up the last batch were simulated too
        cycles = self.totals["cycles"] / inferences
        peak = self.totals["cycles"] * arch.peak_macs_per_cycle
        re2na = Re2naScores(
            *self._shares("re2na"),
            snr_db=self._snr_db("re2na"),
            overflows=self.totals["overflows"],
            cycles=cycles,
            milliseconds=cycles / (arch.clock_mhz * 1e3),
            utilisation=self.totals["macs"] / peak if peak else 0.0,
            dram_bytes=self.totals["dram_bytes"] / inferences,
        )
        return Comparison(
            images=self.images,
            float32=Scores(*self._shares("float")),
            onnx_runtime_int8=Int8Scores(*self._shares("onnx_runtime"), self._snr_db("onnx_runtime")),
            cpu_int8=Int8Scores(*self._shares("cpu"), self._snr_db("cpu")),
            re2na=re2na,
            agreement=self.agreed / self.images,
            bit_identical=not self.differing,
            offloaded_macs_share=share,
            traffic=traffic,
            second_opinion=opinion,
            given_quantized=given_quantized,
        )

    def _shares(self, side: str) -> tuple[float | None, float | None]:
        if not self.labelled:
            return None, None
        top1, top5 = self.hits[side]
        return top1 / self.labelled, top5 / self.labelled

    def _snr_db(self, side: str) -> float | None:
        return decibels(self.energies["float"], self.energies[side])


def count_hits(scores: npt.NDArray[Any], labels: LabelArray) -> npt.NDArray[np.int64]:
    """(top-1, top-5) hits of scores (N, classes); unlabelled images never hit. Of equal scores the lower class is first."""
    known = labels != UNKNOWN
    scores, labels = scores[known], labels[known]
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return np.array([(rank < 1).sum(), (rank < 5).sum()], np.int64)


def _is_of_classes(shape: tuple[int, ...]) -> bool:
    """Whether an output (N, ...) has one score a class, and not maps: one axis is larger than 1, besides the batch."""
    return sum(size > 1 for size in shape[1:]) <= 1


def _check_labels(labels: LabelArray, classes: int) -> None:
    if labels.max() >= classes:
        raise DataError(f"y holds class {labels.max()}, the network tells {classes} classes apart")


def _energies(scores: list[npt.NDArray[Any]]) -> list[int]:
    """Of the first side's scores (N, classes), and of the others' differences from them; of images where all are finite."""
    given, *others = (score.astype(np.float32).astype(np.float64) for score in scores)
    with np.errstate(invalid="ignore"):
        squares = np.stack([np.square(part).sum(1) for part in (given, *(other - given for other in others))])
    finite = squares[:, np.isfinite(squares).all(0)]
    return [sum(int(math.ldexp(energy, ENERGY_BITS)) for energy in row) for row in finite.tolist()]


def _same_bits(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
