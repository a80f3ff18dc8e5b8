"""THE table of a run's figures, from which the summary of one run and the differences of two follow."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from tvm_re2na.reporting.document import MachineField, ReportLayer, RunReport

Value = int | float | bool | str | None
Numbered = tuple[int, ReportLayer]


@dataclass(frozen=True)
class Figure:
    """A number of a run. `show`: in words; `more_is_better`: None where neither is. `group`: under which title it stands."""

    name: str
    group: str
    of: Callable[[RunReport], Value]
    show: Callable[[Any], str] = str
    more_is_better: bool | None = None
    hint: str = ""

    @property
    def is_truth(self) -> bool:
        """Whether it is yes or no."""
        return self.show is yes_or_no


def percent(share: float) -> str:
    return f"{share:.2%}"


def whole(number: float) -> str:
    return f"{number:,.0f}"


def decibels(ratio: float) -> str:
    return f"{ratio:.1f} dB"


def yes_or_no(value: bool) -> str:
    return "yes" if value else "NO"


def _of(*path: str) -> Callable[[RunReport], Value]:
    def found(report: RunReport) -> Value:
        value: Any = getattr(report, path[0])
        for name in path[1:]:
            value = value.get(name) if isinstance(value, dict) else None
        known: Value = value
        return known

    return found


def _microjoules(report: RunReport) -> float:
    return float(sum(report.total["energy_pj"].values())) / 1e6


def _on_the_cpu(report: RunReport) -> int:
    return sum(not layer.offloaded for layer in report.layers)


def _milliseconds(report: RunReport) -> float:
    return float(report.total["microseconds"]) / 1e3


RATIO = "the network's weights, input and output, each once"
ACCURACY, TRUST, SPEED, MEMORY, ENERGY = "Accuracy", "Bits", "Speed", "Memory traffic", "Energy"
FIGURES = (
    Figure("top-1, given model", ACCURACY, _of("comparison", "float", "top1"), percent, True, "ONNX Runtime"),
    Figure("top-1, int8 on the CPU", ACCURACY, _of("comparison", "cpu_int8", "top1"), percent, True, "TVM, exact integers"),
    Figure("top-1, Re²Na", ACCURACY, _of("comparison", "re2na", "top1"), percent, True),
    Figure("top-5, Re²Na", ACCURACY, _of("comparison", "re2na", "top5"), percent, True),
    Figure("same class as the given model", ACCURACY, _of("comparison", "agreement"), percent, True),
    Figure("SNR of the output", ACCURACY, _of("comparison", "re2na", "snr_db"), decibels, True, "against the given model's"),
    Figure("images", ACCURACY, _of("comparison", "images"), whole),
    Figure("bit-identical to the CPU", TRUST, _of("comparison", "bit_identical"), yes_or_no, True, "every element of every output"),
    Figure("accumulator overflows", TRUST, _of("comparison", "re2na", "overflows"), whole, False, "over all images"),
    Figure("ONNX Runtime agrees", TRUST, _of("comparison", "second_opinion", "agrees"), yes_or_no, True, "but for ties"),
    Figure("MACs offloaded", SPEED, _of("comparison", "offloaded_macs_share"), percent, True),
    Figure("operators on the CPU (their time is not counted)", SPEED, _on_the_cpu, whole, False),
    Figure("cycles", SPEED, _of("total", "cycles"), whole, False, "of one inference"),
    Figure("cycles at best", SPEED, _of("total", "cycles_bound"), whole, False, "what no schedule can beat"),
    Figure("milliseconds (assumed clock)", SPEED, _milliseconds, "{:,.3f}".format, False, "at the machine's clock"),
    Figure("array utilisation", SPEED, _of("total", "utilisation"), percent),
    Figure("regions on Re²Na", SPEED, _of("total", "regions"), whole, False),
    Figure("DRAM bytes", MEMORY, _of("total", "dram_bytes"), whole, False),
    Figure("DRAM bytes / compulsory", MEMORY, _of("total", "network_dram_ratio"), "{:.3f}".format, False, RATIO),
    Figure("bytes in and out of regions", MEMORY, _of("total", "crossing_bytes"), whole, False),
    Figure("SRAM peak, bytes", MEMORY, _of("total", "sram_peak_bytes"), whole, False, "the highest address in use"),
    Figure("energy (estimate), uJ", ENERGY, _microjoules, "{:,.2f}".format, False, "an estimate from exact counts"),
    Figure("average power (estimate), mW", ENERGY, _of("total", "milliwatts"), "{:,.2f}".format),
    Figure("TOPS/W (estimate)", ENERGY, _of("total", "tops_per_watt"), "{:.4f}".format, True),
)  # fmt: skip


def apart(figure: Figure, one: float, other: float) -> str:
    """From one to the other: a share of a share would be read as that, so shares differ by points."""
    sign, by = "+" if other > one else "−", abs(other - one)
    return f"{sign}{by * 100:.2f} points" if figure.show is percent else f"{sign}{figure.show(by)}"


def shown(figure: Figure, value: Value) -> str:
    return "-" if value is None else figure.show(value)


@dataclass(frozen=True)
class Difference:
    """Something of two runs; None where one has it not. `better`: whether the second is, None where that is no question."""

    name: str
    a: Value
    b: Value
    better: bool | None = None


@dataclass(frozen=True)
class LayerPair:
    """An operator of two runs, by name; None where a run has it not. `changed`: names of what differs. `number`: its place in the
    first run's list of layers, or in the second's where only that has it."""

    name: str
    a: ReportLayer | None
    b: ReportLayer | None
    changed: tuple[str, ...]
    number: int

    @property
    def label(self) -> str:
        """The number, which is of the second run where that is said."""
        return f"{self.number} (B)" if self.a is None else str(self.number)

    @property
    def more_cycles(self) -> int:
        """Of the second run."""
        return _cycles(self.b) - _cycles(self.a)


@dataclass(frozen=True)
class Differences:
    """Of two runs: what differs in figures, machines, versions and how they were made, and all layers, those that differ most in
    cycles first."""

    figures: tuple[Difference, ...]
    machine: tuple[Difference, ...]
    versions: tuple[Difference, ...]
    made: tuple[Difference, ...]
    layers: tuple[LayerPair, ...]

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        layers = [
            {"name": pair.name, "changed": list(pair.changed), "a": _figures_of(pair.a), "b": _figures_of(pair.b)}
            for pair in self.layers
            if pair.changed
        ]
        return {
            name: [vars(item) for item in getattr(self, name)] for name in ("figures", "machine", "versions", "made")
        } | {"layers": layers}


def differences(a: RunReport, b: RunReport) -> Differences:
    """What differs from the first to the second."""
    pairs = sorted(_pairs(a, b), key=lambda pair: (-abs(pair.more_cycles), not pair.changed))
    return Differences(
        tuple(_figures(a, b)), tuple(_machine(a, b)), tuple(_versions(a, b)), tuple(_made(a, b)), tuple(pairs)
    )


def _figures(a: RunReport, b: RunReport) -> list[Difference]:
    found = []
    for figure in FIGURES:
        one, other = figure.of(a), figure.of(b)
        if one == other:
            continue
        known = (
            figure.more_is_better is not None and not isinstance(one, str | None) and not isinstance(other, str | None)
        )
        better = (other > one) is figure.more_is_better if known else None  # type: ignore[operator]
        found.append(Difference(figure.name, one, other, better))
    return found


def _machine(a: RunReport, b: RunReport) -> list[Difference]:
    """In words, as a mode is no number to read."""
    fields: dict[str, list[MachineField | None]] = {}
    for index, run in enumerate((a, b)):
        for field in run.machine:
            fields.setdefault(field.name, [None, None])[index] = field
    told = {name: [None if field is None else field.shown for field in both] for name, both in fields.items()}
    return [Difference(name, one, other) for name, (one, other) in told.items() if one != other]


def _versions(a: RunReport, b: RunReport) -> list[Difference]:
    names = dict.fromkeys(text.rpartition(" ")[0] for text in (*a.versions, *b.versions))
    one, other = (dict(text.rpartition(" ")[::2] for text in run.versions) for run in (a, b))
    return [Difference(name, one.get(name), other.get(name)) for name in names if one.get(name) != other.get(name)]


def _made(a: RunReport, b: RunReport) -> list[Difference]:
    both = ((name, a.made.get(name), b.made.get(name)) for name in dict.fromkeys((*a.made, *b.made)))
    return [Difference(name, one, other) for name, one, other in both if one != other]


def _pairs(a: RunReport, b: RunReport) -> list[LayerPair]:
    """By name, and operators of one name in their order."""
    names: dict[str, tuple[list[Numbered], list[Numbered]]] = {}
    for index, run in enumerate((a, b)):
        for number, layer in enumerate(run.layers):
            names.setdefault(layer.name, ([], []))[index].append((number, layer))
    return [_pair(name, one, other) for name, both in names.items() for one, other in zip_longest(*both)]


def _pair(name: str, one: Numbered | None, other: Numbered | None) -> LayerPair:
    a, b = (None if side is None else side[1] for side in (one, other))
    number = next(side[0] for side in (one, other) if side is not None)
    return LayerPair(name, a, b, _changed(a, b), number)


def _changed(a: ReportLayer | None, b: ReportLayer | None) -> tuple[str, ...]:
    one, other = _figures_of(a), _figures_of(b)
    if one is None:
        return ("name",)
    return tuple(name for name in one if other is None or one[name] != other[name])


def _figures_of(layer: ReportLayer | None) -> dict[str, Value] | None:
    """What two runs are held against each other by."""
    if layer is None:
        return None
    costs, numbers = layer.costs, layer.numbers
    found: dict[str, Value] = {"offloaded": layer.offloaded, "rule": layer.rule}
    for name in ("cycles", "dram_bytes", "sram_peak_bytes", "utilisation"):
        found[name] = None if costs is None else getattr(costs, name)
    found["energy_pj"] = None if costs is None else sum(costs.energy_pj.values())
    for name in ("e_x", "e_w", "e_y", "carry_bits", "headroom", "snr_db"):
        found[name] = None if numbers is None else getattr(numbers, name)
    return found


def _cycles(layer: ReportLayer | None) -> int:
    return 0 if layer is None or layer.costs is None else layer.costs.cycles
