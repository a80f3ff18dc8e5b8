"""Random layers and small graphs at their corners: the compiler and every kernel against the reference and plain NumPy, to the bit.

    python benchmarks/random_graphs.py [--layers 1000000] [--part 1/1] [--jobs N] [--json]

Graphs are drawn from their seeds alone, some six or seven layers each (tests/codegen/corners.py); `make test` runs the first 3,000.
`--part 2/4` takes the second of four parts, on another machine or at another time: run all parts for the whole. `--seed S` repeats
one graph. The exit status is 1 if anything disagrees.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path

from campaign import tally_of
from rich.console import Console

from tvm_re2na.cli.render import facts_table
from tvm_re2na.runtime.library import kernels

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.codegen.corners import trial

PER_GRAPH = 6.5  # layers, a little less than the mean
CHUNK = 100  # graphs that a process takes at a time


@dataclass
class Tally:
    """What trials add up to, in layers; `problems` by seed."""

    graphs: int = 0
    layers: int = 0
    refused: int = 0
    problems: dict[int, str] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.graphs += other.graphs
        self.layers += other.layers
        self.refused += other.refused
        self.problems |= other.problems


def chunk(seeds: range) -> Tally:
    """The trials of some seeds."""
    tally = Tally(graphs=len(seeds))
    for seed in seeds:
        found = trial(seed)
        tally.layers += found.layers
        tally.refused += found.refused
        if found.problem is not None:
            tally.problems[seed] = found.problem
    return tally


def part_of(text: str) -> tuple[int, int]:
    """`2/4`."""
    part, parts = (int(number) for number in text.split("/"))
    if not 1 <= part <= parts:
        raise ValueError(text)
    return part, parts


def seeds_of(options: argparse.Namespace) -> range:
    if options.seed is not None:
        return range(options.seed, options.seed + 1)
    part, parts = options.part
    graphs = round(options.layers / PER_GRAPH)
    return range(graphs * (part - 1) // parts, graphs * part // parts)


def main() -> int:
    parser = argparse.ArgumentParser(description="compiler and kernels on random graphs")
    parser.add_argument("--layers", type=int, default=1_000_000, help="of all parts, about (1,000,000)")
    parser.add_argument("--part", type=part_of, default=(1, 1), metavar="K/N", help="only the K-th of N parts")
    parser.add_argument("--seed", type=int, help="only the graph of this seed")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (one for each core)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started, seeds = time.perf_counter(), seeds_of(options)
    tally = tally_of(chunk, Tally(), seeds, CHUNK, options.jobs, "graphs")
    found = {
        "seeds": f"{seeds.start}..{seeds.stop - 1}",
        "graphs": tally.graphs,
        "layers": tally.layers,
        "layers_refused_for_want_of_sram": tally.refused,
        "kernels": ", ".join(kernels()[1:]),
        "disagreements": len(tally.problems),
        "seconds": round(time.perf_counter() - started, 1),
    }
    if options.json:
        print(json.dumps(found | {"problems": {str(seed): tally.problems[seed] for seed in sorted(tally.problems)}}))
    else:
        texts = {
            key.replace("_", " "): value if isinstance(value, str) else f"{value:,}" for key, value in found.items()
        }
        Console().print(facts_table("Random graphs", texts))
    for seed in sorted(tally.problems):
        print(f"seed {seed}: {tally.problems[seed]}", file=sys.stderr)
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
