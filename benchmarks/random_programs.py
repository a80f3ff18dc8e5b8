"""Random valid programs: the hazard check against a brute-force oracle, the C timing against the Python one, to the cycle.

    python benchmarks/random_programs.py [--programs 100000] [--seed 0] [--jobs N] [--json]

One program in sixteen also runs on both simulators, which must give the same results and counters. A program is drawn from its
seed alone: `--programs 1 --seed S` repeats one. The exit status is 1 if anything disagrees.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from campaign import tally_of
from rich.console import Console

from tvm_re2na.cli.render import facts_table

sys.path.insert(0, str(Path(__file__).parent.parent))
from tests.runtime.trials import trial

CHUNK = 200  # programs that a process takes at a time
RESULTS_EVERY = 16


@dataclass
class Tally:
    """What trials add up to; `problems` by seed."""

    programs: int = 0
    with_hazards: int = 0
    hazards: int = 0
    run: int = 0
    problems: dict[int, str] = field(default_factory=dict)

    def add(self, other: Tally) -> None:
        self.programs += other.programs
        self.with_hazards += other.with_hazards
        self.hazards += other.hazards
        self.run += other.run
        self.problems |= other.problems


def chunk(seeds: range) -> Tally:
    """The trials of some seeds."""
    tally = Tally(programs=len(seeds))
    for seed in seeds:
        runs = seed % RESULTS_EVERY == 0
        found = trial(seed, with_results=runs)
        tally.with_hazards += found.hazards > 0
        tally.hazards += found.hazards
        tally.run += runs
        if found.problem is not None:
            tally.problems[seed] = found.problem
    return tally


def report(tally: Tally, seconds: float) -> dict[str, Any]:
    return {
        "programs": tally.programs,
        "with_hazards": tally.with_hazards,
        "without_hazards": tally.programs - tally.with_hazards,
        "unordered_pairs": tally.hazards,
        "run_on_both_simulators": tally.run,
        "disagreements": len(tally.problems),
        "seconds": round(seconds, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description="hazard check and timing on random programs")
    parser.add_argument("--programs", type=int, default=100_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first program; the next has the next (0)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes (one for each core)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    started = time.perf_counter()
    tally = tally_of(
        chunk, Tally(), range(options.seed, options.seed + options.programs), CHUNK, options.jobs, "programs"
    )
    found = report(tally, time.perf_counter() - started)
    if options.json:
        print(json.dumps(found | {"problems": {str(seed): tally.problems[seed] for seed in sorted(tally.problems)}}))
    else:
        Console().print(facts_table("Random programs", {key.replace("_", " "): f"{found[key]:,}" for key in found}))
    for seed in sorted(tally.problems):
        print(f"seed {seed}: {tally.problems[seed]}", file=sys.stderr)
    return 1 if tally.problems else 0


if __name__ == "__main__":
    sys.exit(main())
