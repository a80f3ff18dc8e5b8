"""What a report knows of a run, as plain numbers and names: what `report --json` prints, and what every view is drawn from."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any

from tvm_re2na.codegen.errors import Re2naError

VERSION = 1  # of the document

Shape = tuple[int, ...]


class ReportError(Re2naError, ValueError):
    """A file is no report; the message names it, and what is wrong where."""


@dataclass(frozen=True)
class Costs:
    """What a layer takes on Re²Na, for one inference, as in `compile --json`. `sram_peak_bytes`: the most that is live, of whatever
    layer, while the array works or waits for this one."""

    macs: int
    cycles: int
    cycles_bound: int
    causes: dict[str, int]
    loss: str | None
    loss_cycles: int
    dram_bytes: int
    dram_bytes_compulsory: int
    sram_peak_bytes: int
    energy_pj: dict[str, float]
    utilisation: float
    overflow_bound: int


@dataclass(frozen=True)
class Numbers:
    """What the quantiser chose for a layer and found, as in `quantize --json`."""

    e_x: int
    e_w: int
    e_y: int
    lsb: int
    observed_max: int
    limit: int
    headroom: float
    carry_bits: int
    worst_case: int
    snr_db: float


@dataclass(frozen=True)
class ReportLayer:
    """An operator, as in `explain --json`. `reads`: whose results it takes, as places in the list of layers. Shapes are None where
    the model does not tell. `costs` is None on the CPU, `numbers` where the quantiser did not say."""

    name: str
    op: str
    offloaded: bool
    region: int | None
    rule: str | None
    reason: str
    value: int | float | str | None
    limit: int | float | str | None
    reads: tuple[int, ...] = ()
    input_shapes: tuple[Shape, ...] = ()
    weight_shape: Shape | None = None
    output_shape: Shape | None = None
    costs: Costs | None = None
    numbers: Numbers | None = None


@dataclass(frozen=True)
class EngineWork:
    """An engine is busy, or the array waits, from cycle `start` to `finish`, for a layer. `what` as in docs/trace.md: a cause, or
    what a transfer carries."""

    engine: str
    layer: int
    what: str
    start: int
    finish: int
    bytes: int = 0


@dataclass(frozen=True)
class Token:
    """One engine's work, done at cycle `given`, is what another's waited for, which began at `taken`."""

    giver: str
    given: int
    giver_layer: int
    taker: str
    taken: int
    taker_layer: int


@dataclass(frozen=True)
class SramBlock:
    """Bytes `start`..`stop` of the SRAM hold a layer's weights, inputs or results from cycle `since` to `until`."""

    layer: int
    kind: str
    start: int
    stop: int
    since: int
    until: int


@dataclass(frozen=True)
class RegionRun:
    """One program's run. All cycles in it count from the start of the first region, as if the CPU took no time between them.
    `live`: (cycle, live bytes from then on)."""

    start: int
    cycles: int
    work: tuple[EngineWork, ...]
    tokens: tuple[Token, ...]
    blocks: tuple[SramBlock, ...]
    live: tuple[tuple[int, int], ...]


@dataclass(frozen=True)
class MachineField:
    """A number of the machine. `kind`: fact or assumption; `source`: where it is from, or why this value; `default`: Re²Na's."""

    name: str
    value: int
    shown: str
    unit: str
    kind: str
    source: str
    default: int


@dataclass(frozen=True)
class WidthRow:
    """A row of `survey bits --json`."""

    bits: int
    top1: float | None
    top1_float: float | None
    snr_db: float | None
    overflows: int | None
    error: str | None


@dataclass(frozen=True)
class RunReport:
    """Of one model on one machine. `comparison` is that of `compare --json`, `total` that of `compile --json`; `batch`: images of
    one run, which `regions` show over time, while all other figures are for one inference. `given_quantized`: the model was int8.
    `kept_float`: layers whose sums did not fit the accumulator. `widths`: of a survey, where there is one. `made`: the command or
    call, the date, images and options, in words."""

    title: str
    data: str
    batch: int
    given_quantized: bool
    comparison: dict[str, Any]
    total: dict[str, Any]
    layers: tuple[ReportLayer, ...]
    regions: tuple[RegionRun, ...]
    machine: tuple[MachineField, ...]
    versions: tuple[str, ...]
    kept_float: tuple[str, ...] = ()
    widths: tuple[WidthRow, ...] = ()
    made: dict[str, str] = field(default_factory=dict)
    report_version: int = VERSION

    def to_json(self) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return dataclasses.asdict(self)

    def number(self, name: str) -> int:
        """A field of the machine."""
        return next(known.value for known in self.machine if known.name == name)

    @property
    def cycles(self) -> int:
        """Of the timeline of all regions, one after the other."""
        return max((region.start + region.cycles for region in self.regions), default=0)

    @property
    def peak_macs_per_cycle(self) -> float:
        return self.number("array_rows") * self.number("array_columns") / self.number("mac_interval")
