"""Counting what three executions of a network made of the images: float, CPU and Re²Na. All sums are integers, and parts add up."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.dataset import UNKNOWN, LabelArray
from tvm_re2na.npz import DataError

SIDES = ("float", "cpu", "re2na")
TOTALS = ("runs", "cycles", "macs", "overflows", "dram_bytes")


@dataclass(frozen=True)
class Scores:
    """Shares of the labelled images whose class is the best, or among the best five. None where no image is labelled."""

    top1: float | None
    top5: float | None


@dataclass(frozen=True)
class Re2naScores(Scores):
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
    """`agreement`: share of images whose best class on Re²Na is the float model's.

    `bit_identical`: every element of every output of Re²Na is that of TVM's integer execution on the CPU, for all images.
    `given_quantized`: what stands in `float32` is the given model's, and that is quantised.
    """

    images: int
    float32: Scores
    cpu_int8: Scores
    re2na: Re2naScores
    agreement: float
    bit_identical: bool
    offloaded_macs_share: float
    given_quantized: bool = False

    def __str__(self) -> str:
        """A table, a row on each line."""
        given, machine = "int8" if self.given_quantized else "float", self.re2na
        sides = (self.float32, self.cpu_int8, machine)
        last = {
            f"same class as {given}, ONNX Runtime": _percent(self.agreement),
            "bit-identical to the CPU": "yes" if self.bit_identical else "NO",
            "accumulator overflows": f"{machine.overflows:,}",
            "MACs offloaded": _percent(self.offloaded_macs_share),
            "cycles": f"{machine.cycles:,.0f}",
            "time (assumed clock)": f"{machine.milliseconds:,.3f} ms",
            "array utilisation": _percent(machine.utilisation),
            "DRAM traffic": f"{machine.dram_bytes:,.0f} bytes",
        }
        rows = [
            (f"{self.images:,} images, per inference", f"{given}, ONNX Runtime", "int8, TVM on CPU", "int8, Re²Na"),
            ("top-1 accuracy", *(_percent(side.top1) for side in sides)),
            ("top-5 accuracy", *(_percent(side.top5) for side in sides)),
            *((name, "", "", value) for name, value in last.items()),
        ]
        return "\n".join(f"{name:<36}{a:>20}  {b:>16}  {c:>16}" for name, a, b, c in rows)

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        values = dataclasses.asdict(self)
        del values["given_quantized"]
        return {"float" if name == "float32" else name: value for name, value in values.items()}


@dataclass
class Tally:
    """Of any of the images; no output is kept. `hits`: top-1 and top-5 of each side; `totals`: the simulator's counters."""

    images: int = 0
    batches: int = 0
    labelled: int = 0
    agreed: int = 0
    differing: int = 0
    hits: dict[str, list[int]] = field(default_factory=lambda: {side: [0, 0] for side in SIDES})
    totals: dict[str, int] = field(default_factory=lambda: dict.fromkeys(TOTALS, 0))

    def add(self, count: int, labels: LabelArray | None, *outputs: list[npt.NDArray[Any]]) -> None:
        """One batch, of which the first `count` images are real: all outputs of float, CPU and Re²Na.

        Raises DataError for a label that the network does not know.
        """
        scores = [output[0][:count].reshape(count, -1) for output in outputs]
        if labels is not None:
            _check_labels(labels, scores[0].shape[1])
            self.labelled += int((labels != UNKNOWN).sum())
            for side, score in zip(SIDES, scores, strict=True):
                self.hits[side] = [a + int(b) for a, b in zip(self.hits[side], count_hits(score, labels), strict=True)]
        self.agreed += int((scores[0].argmax(1) == scores[2].argmax(1)).sum())
        self.differing += not all(_same_bits(a[:count], b[:count]) for a, b in zip(outputs[1], outputs[2], strict=True))
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
        )

    def comparison(self, arch: Architecture, share: float, batch: int) -> Comparison:
        """The result; `share` of the MACs is offloaded."""
        inferences = self.batches * batch  # the images that filled up the last batch were simulated too
        cycles = self.totals["cycles"] / inferences
        peak = self.totals["cycles"] * arch.peak_macs_per_cycle
        re2na = Re2naScores(
            *self._shares("re2na"),
            overflows=self.totals["overflows"],
            cycles=cycles,
            milliseconds=cycles / (arch.clock_mhz * 1e3),
            utilisation=self.totals["macs"] / peak if peak else 0.0,
            dram_bytes=self.totals["dram_bytes"] / inferences,
        )
        return Comparison(
            images=self.images,
            float32=Scores(*self._shares("float")),
            cpu_int8=Scores(*self._shares("cpu")),
            re2na=re2na,
            agreement=self.agreed / self.images,
            bit_identical=not self.differing,
            offloaded_macs_share=share,
        )

    def _shares(self, side: str) -> tuple[float | None, float | None]:
        if not self.labelled:
            return None, None
        top1, top5 = self.hits[side]
        return top1 / self.labelled, top5 / self.labelled


def _percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def count_hits(scores: npt.NDArray[Any], labels: LabelArray) -> npt.NDArray[np.int64]:
    """(top-1, top-5) hits of scores (N, classes); unlabelled images never hit. Of equal scores the lower class is first."""
    known = labels != UNKNOWN
    scores, labels = scores[known], labels[known]
    own = scores[np.arange(len(labels)), labels][:, None]
    earlier = np.arange(scores.shape[1]) < labels[:, None]
    rank = ((scores > own) | ((scores == own) & earlier)).sum(1)
    return np.array([(rank < 1).sum(), (rank < 5).sum()], np.int64)


def _check_labels(labels: LabelArray, classes: int) -> None:
    if labels.max() >= classes:
        raise DataError(f"y holds class {labels.max()}, the network tells {classes} classes apart")


def _same_bits(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()
