"""A comparison in rows of text, for whoever prints it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from tvm_re2na.runtime.network_traffic import NetworkTraffic
    from tvm_re2na.tally import Comparison, Scores


class ComparisonRows(NamedTuple):
    """Sides by name; rows with a cell for each side; rows of Re²Na, the last side, alone. Each row begins with its name."""

    sides: Sequence[str]
    scores: Sequence[Sequence[str]]
    machine: Sequence[tuple[str, str]]


def rows_of(result: Comparison) -> ComparisonRows:
    """The given model, what of it is int8, and Re²Na. Where the given model is quantised, ONNX Runtime ran that one only."""
    given, machine = "int8" if result.given_quantized else "float", result.re2na
    ours = {"int8, TVM on CPU": result.cpu_int8, "int8, Re²Na": machine}
    if not result.given_quantized:
        ours = {"int8, ONNX Runtime": result.onnx_runtime_int8, **ours}
    columns: tuple[Scores, ...] = (result.float32, *ours.values())
    against = "ONNX Runtime" if result.given_quantized else "float"
    scores = (
        ("top-1 accuracy", *(percent(side.top1) for side in columns)),
        ("top-5 accuracy", *(percent(side.top5) for side in columns)),
        (f"SNR against {against}", "", *(_decibels(side.snr_db) for side in ours.values())),
    )
    facts = (
        (f"same class as {against}", percent(result.agreement)),
        ("bit-identical to the CPU", "yes" if result.bit_identical else "NO"),
        ("accumulator overflows", f"{machine.overflows:,}"),
        ("MACs offloaded", percent(result.offloaded_macs_share)),
        ("cycles", f"{machine.cycles:,.0f}"),
        ("time (assumed clock)", f"{machine.milliseconds:,.3f} ms"),
        ("array utilisation", percent(machine.utilisation)),
        ("DRAM traffic", f"{machine.dram_bytes:,.0f} bytes"),
        *traffic_facts(result.traffic, machine.dram_bytes).items(),
    )
    return ComparisonRows((f"{given}, ONNX Runtime", *ours), scores, facts)


def as_text(result: Comparison) -> str:
    """A table, a row on each line, in columns."""
    sides, scores, facts = rows_of(result)
    blank = [""] * (len(sides) - 1)
    rows = [
        (f"{result.images:,} images, per inference", *sides),
        *scores,
        *((name, *blank, value) for name, value in facts),
    ]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(
            [row[0].ljust(widths[0]), *(cell.rjust(width) for cell, width in zip(row[1:], widths[1:], strict=True))]
        )
        for row in rows
    )


def traffic_facts(traffic: NetworkTraffic, dram_bytes: float) -> dict[str, str]:
    """What an inference moves, `dram_bytes` on the DRAM bus, beside what the network would move in one region at best."""
    ratio = traffic.ratio(dram_bytes)
    return {
        "regions on Re²Na": f"{traffic.regions:,}",
        "bytes in and out of regions": f"{traffic.crossing_bytes:,}",
        "DRAM / weights, input, output": "-" if ratio is None else f"{ratio:.2f}",
    }


def percent(share: float | None) -> str:
    return "-" if share is None else f"{share:.2%}"


def _decibels(ratio: float | None) -> str:
    return "-" if ratio is None else f"{ratio:.1f} dB"
