"""The results of benchmarks/zoo.py as tables in Markdown: docs/zoo.md."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Any, TypeAlias

from tvm_re2na.codegen.offload import rules
from tvm_re2na.codegen.offload.constraint import reason

Row: TypeAlias = Mapping[str, Any]
Found: TypeAlias = Mapping[str, Mapping[str, Row]]  # rows by TVM and name
TITLES = {"relay": "TVM 0.19 (Relay)", "relax": "TVM 0.27 (Relax)"}
FAMILIES = {
    "trained": "Trained networks",
    "families": "Small networks of their kind, random weights",
    "torchvision": "torchvision's, random weights",
    "ONNX's wheel": "The light models of ONNX's wheel",
    "one form each": "One form each, as people write it in PyTorch, random weights",
    "files": "Files",
}
HEAD = """# Does my network run?

What becomes of networks from file to bits: quantised with 48 images as a rule, explained, compiled for {machine}, run, and
compared with TVM's CPU in every bit, on images that nothing was calibrated with. `{command}`
makes this page, with each TVM; its first lines say what it needs. Of networks of your own:
`python benchmarks/zoo.py --folder MODELS`, or `re2na explain` and `re2na compare` of one.
There is a page of [the default machine](zoo.md), and one of a machine with [an activation table](zoo_activation_table.md), which
functions like HardSwish, Sigmoid and SiLU need.

{summary}

| column | meaning |
|---|---|
| regions | parts of the network on Re²Na; 1: the whole network, but for what stands before the first and behind the last integer |
| MACs | share of the multiply-accumulates on Re²Na |
| operators | how many are offloaded, of how many |
| bits | equal to those of TVM's CPU, in every element of every output |
| overflows | accumulators that overflowed, on the unseen images |
| cycles | of one inference, and as a multiple of [what no schedule can beat](bounds.md) |
| DRAM | bytes of one inference as a multiple of weights, input and output of the [whole network](bounds.md#of-the-whole-network) |
| SNR | signal over noise in dB, of the worst output: as the quantiser reports it; on unseen images |
| seconds | to quantise; to explain; to compile; to build for both sides and run sixteen images |
| on the CPU | operators that are not offloaded, by [rule](#rules) |

Where both TVMs were asked and differ, it is Relay / Relax.
"""


def page(found: Found, machine: Collection[str] = ()) -> str:
    """All of it, with what is said of the columns."""
    told = ", ".join(machine)
    command = " ".join(["python benchmarks/zoo.py", *(f"--machine {field}" for field in machine), "--page PAGE"])
    named = f"a machine with {told}" if told else "the default machine"
    head = HEAD.format(machine=named, command=command, summary=_summary(found))
    names = {rule for rows in found.values() for row in rows.values() for rule in row.get("on_cpu", {})}
    # rows are kept until they are measured again: a rule may have gone
    legend = [f"* `{rule}`: {reason(getattr(rules, rule))}" for rule in sorted(names) if hasattr(rules, rule)]
    return "\n".join([head, table(found, level="## "), "## Rules", "", *legend, ""])


def table(found: Found, level: str = "") -> str:
    """A table for each family."""
    most_first = sorted(found.values(), key=len, reverse=True)
    names = list(dict.fromkeys(name for rows in most_first for name in rows))
    lines = []
    for family, title in FAMILIES.items():
        mine = {name: rows for name in names if (rows := _rows(found, name)) and rows[0].get("family") == family}
        if mine:
            lines += [f"{level}{title}", "", f"| network | {' | '.join(COLUMNS)} |", "|---" * (len(COLUMNS) + 1) + "|"]
            lines += [f"| {name.removeprefix('form_')} | {' | '.join(_cells(rows))} |" for name, rows in mine.items()]
            lines.append("")
    return "\n".join(lines)


def _rows(found: Found, name: str) -> list[Row]:
    return [rows[name] for rows in found.values() if name in rows]


def _cells(rows: list[Row]) -> Iterable[str]:
    """What each TVM gives; once where they give the same, or only one gives anything."""
    for show in COLUMNS.values():
        told = dict.fromkeys(show(row) for row in rows)
        yield " / ".join([text for text in told if text.strip("-; ")] or list(told)[:1])


def _summary(found: Found) -> str:
    lines = []
    for tvm, rows in found.items():
        done = [row for row in rows.values() if "error" not in row]
        if not rows:
            continue
        whole = sum(row["regions"] == 1 for row in done)
        most = sum(row["macs_share"] >= 0.99 for row in done)
        equal = sum(row["bit_identical"] for row in done)
        lines.append(
            f"{TITLES[tvm]}: {len(rows)} networks, of which {len(done)} go all the way, {equal} with equal bits; {most} have "
            f"99 % of their MACs or more on Re²Na, {whole} are one region."
        )
    return "\n\n".join(lines)


def _when(name: str, how: Callable[[Any], str]) -> Callable[[Row], str]:
    return lambda row: "-" if row.get(name) is None else how(row[name])


def _cycles(row: Row) -> str:
    if not row.get("cycles"):
        return "-"
    return f"{row['cycles']:,} ({row['cycles'] / max(row['cycles_bound'], 1):.2f})"


def _noise(row: Row) -> str:
    shown = ["-" if row.get(name) is None else f"{row[name]:.0f}" for name in ("snr_reported", "snr_unseen")]
    return "; ".join(shown)


def _seconds(row: Row) -> str:
    spent = {**row["seconds"], "quantise": row.get("quantise_seconds", row["seconds"].get("quantise"))}
    steps = ("quantise", "explain", "compile", "compare")
    return "; ".join("-" if spent.get(step) is None else f"{spent[step]:.0f}" for step in steps)


def _operators(row: Row) -> str:
    return f"{row['offloaded']} of {row['operators']}" if "operators" in row else "-"


def _why(row: Row) -> str:
    if "error" in row:
        return f"**{row.get('step', 'start')}: {row['error'][:160]}**".replace("|", "\\|")
    parts = []
    for rule, kinds in row["on_cpu"].items():
        told = ", ".join(kind if count == 1 else f"{count} {kind}" for kind, count in kinds.items())
        parts.append(f"{told} ({rule})")
    if row.get("kept_float"):
        parts.append(f"{len(row['kept_float'])} layers whose sums do not fit")
    return "; ".join(parts)


COLUMNS: dict[str, Callable[[Row], str]] = {
    "regions": _when("regions", str),
    "MACs": _when("macs_share", lambda share: f"{100 * share:.1f} %"),
    "operators": _operators,
    "bits": _when("bit_identical", lambda equal: "equal" if equal else "**differ**"),
    "overflows": _when("overflows", lambda count: f"{count:,}"),
    "cycles": _cycles,
    "DRAM": _when("network_dram_ratio", lambda ratio: f"{ratio:.2f}"),
    "SNR": _noise,
    "seconds": _seconds,
    "on the CPU": _why,
}
