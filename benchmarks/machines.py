"""Every machine: how near the compiler comes to the bounds on a grid of machines, from 64 KiB of SRAM to 1.5 MiB.

    python benchmarks/machines.py [--only NETWORK ...] [--sram KIB ...] [--points N] [--jobs N] [--check N] [--json FILE]

The networks (tests/models/graphs.py) have random weights; ResNet-18 sees 448x448, U-Net 96x96, the one like YOLO 160x160, LeNet-5
28x28, all others 224x224. For each of them and each size of the SRAM a sample of N points is drawn of all other machines: arrays,
DRAM, `mac_interval`, batch; the same one in every run. `--check N`: of N points, spread over all, tokens are proved, and one run is
compared with the reference simulator bit for bit. A limit that is missed is told, and the exit status is 1.
"""

from __future__ import annotations

import argparse
import itertools
import json
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.progress import Progress
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from tests.models.graphs import GRAPHS  # noqa: E402
from tvm_re2na import Architecture  # noqa: E402
from tvm_re2na.codegen.compiler import compile_graph  # noqa: E402
from tvm_re2na.codegen.errors import CompileError  # noqa: E402
from tvm_re2na.codegen.program import Program  # noqa: E402
from tvm_re2na.runtime import hazards, reference  # noqa: E402
from tvm_re2na.runtime.library import Simulator  # noqa: E402
from tvm_re2na.runtime.report import compile_report  # noqa: E402

NETWORKS = tuple(name for name in GRAPHS if name != "resnet18")
SRAM = (64, 128, 256, 384, 512, 1024, 1536)  # KiB
ARRAYS = ((64, 64), (32, 32), (128, 128), (16, 256))
DRAM = (24, 2, 8, 64)  # bytes a cycle
INTERVALS, BATCHES = (5, 1), (1, 4)
SAMPLE = 5  # points for each network and size of the SRAM
# the most that a ratio to the bound may be: at the median, at 95 % of the points, at the worst; CPU seconds of any
CYCLES, TRAFFIC, SECONDS = (1.02, 1.10, 1.20), (1.00, 1.10, 1.25), 5.0


@dataclass(frozen=True)
class Point:
    """A network on a machine; `sram` in KiB."""

    network: str
    batch: int
    sram: int
    rows: int
    columns: int
    dram: int
    mac_interval: int

    @property
    def arch(self) -> Architecture:
        return Architecture(
            array_rows=self.rows,
            array_columns=self.columns,
            sram_bytes=self.sram * 1024,
            dram_bytes_per_cycle=self.dram,
            mac_interval=self.mac_interval,
        )

    def __str__(self) -> str:
        shape = f"{self.rows}x{self.columns}"
        return f"{self.network} x{self.batch}, {self.sram} KiB, {shape}, {self.dram} B, interval {self.mac_interval}"


@dataclass(frozen=True)
class Result:
    """What became of a point: ratios to the bounds, CPU seconds of the compiler; why there is no program, or what a check found."""

    point: Point
    cycles: float = 0.0
    traffic: float = 0.0
    seconds: float = 0.0
    problem: str = ""
    checked: bool = False


def points(networks: Sequence[str], sizes: Sequence[int], count: int) -> Iterator[Point]:
    """The sample: steps of a number that has no divisor in common with how many other machines there are."""
    others = list(itertools.product(ARRAYS, DRAM, INTERVALS, BATCHES))
    for (place, network), (row, sram) in itertools.product(enumerate(NETWORKS), enumerate(SRAM)):
        for number in range(min(count, len(others))):
            (rows, columns), dram, interval, batch = others[(37 * (7 * place + row) + 13 * number) % len(others)]
            if network in networks and sram in sizes:
                yield Point(network, batch, sram, rows, columns, dram, interval)


def measure(point: Point, check: bool) -> Result:
    graph = GRAPHS[point.network](point.batch)
    started = time.process_time()
    try:
        program = compile_graph(graph, point.arch)
    except CompileError as error:
        return Result(point, problem=str(error), seconds=time.process_time() - started)
    seconds = time.process_time() - started
    total = compile_report([program])["total"]
    cycles = total["cycles"] / total["cycles_bound"]
    traffic = total["dram_bytes"] / total["dram_bytes_compulsory"]
    return Result(point, cycles, traffic, seconds, _problem(program) if check else "", check)


def _problem(program: Program) -> str:
    """What is wrong with its tokens or its results, if anything is."""
    hazards.check(program)
    rng = np.random.default_rng(0)
    inputs = [rng.integers(-128, 128, tensor.shape).astype(np.int8) for tensor in program.inputs]
    mine, wanted = Simulator(program).run(inputs), reference.run(program, inputs)
    same = all(np.array_equal(a, b) for a, b in zip(mine.outputs, wanted.outputs, strict=True))
    return "" if same else "the simulators differ"


def limits(results: Sequence[Result]) -> list[str]:
    """Every limit that is missed, in words."""
    missed = [f"{result.point}: {result.problem}" for result in results if result.problem]
    compiled = [result for result in results if result.cycles]
    for name, bounds in (("cycles", CYCLES), ("traffic", TRAFFIC)):
        ratios = np.sort([getattr(result, name) for result in compiled])
        if not ratios.size:
            continue
        for words, part, most in zip(("median", "95 %", "worst"), (0.5, 0.95, 1.0), bounds, strict=True):
            found = float(np.quantile(ratios, part))
            if found > most + 5e-4:
                missed.append(f"{name}: {words} {found:.3f} is above {most}")
    slowest = max(results, key=lambda result: result.seconds)
    if slowest.seconds > SECONDS:
        missed.append(f"{slowest.point}: compiled in {slowest.seconds:.1f} CPU s, at most {SECONDS}")
    return missed


def table(results: Sequence[Result]) -> Table:
    """For each network and size of the SRAM: median and worst of its points."""
    shown = Table(title="cycles / bound and DRAM / compulsory, median and worst; CPU seconds of the slowest")
    for name in ("network", "KiB", "points", "cycles", "worst", "DRAM", "worst", "CPU s"):
        shown.add_column(name, justify="left" if name == "network" else "right")
    groups: dict[tuple[str, int], list[Result]] = {}
    for result in results:
        groups.setdefault((result.point.network, result.point.sram), []).append(result)
    for (network, sram), group in groups.items():
        compiled = [result for result in group if result.cycles]
        cells = [f"{len(compiled)} of {len(group)}"]
        for values in ([result.cycles for result in compiled], [result.traffic for result in compiled]):
            cells += [f"{np.median(values):.3f}", f"{max(values):.3f}"] if values else ["-", "-"]
        shown.add_row(network, str(sram), *cells, f"{max(result.seconds for result in group):.1f}")
    return shown


def run(chosen: Sequence[Point], check: int, jobs: int) -> list[Result]:
    """In the order of the points."""
    step = max(1, len(chosen) // check) if check else 0
    found: dict[Point, Result] = {}
    with ProcessPoolExecutor(jobs) as pool, Progress(console=Console(stderr=True)) as progress:
        task = progress.add_task("points", total=len(chosen))
        waiting = [pool.submit(measure, point, bool(step) and place % step == 0) for place, point in enumerate(chosen)]
        for done in as_completed(waiting):
            result = done.result()
            found[result.point] = result
            progress.advance(task)
    return [found[point] for point in chosen]


def main() -> int:
    parser = argparse.ArgumentParser(description="schedules against their bounds on many machines")
    parser.add_argument("--only", nargs="+", choices=NETWORKS, default=NETWORKS, metavar="NETWORK")
    parser.add_argument("--sram", nargs="+", type=int, choices=SRAM, default=SRAM, metavar="KIB")
    parser.add_argument("--points", type=int, default=SAMPLE, help=f"for each network and SRAM (default {SAMPLE})")
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--check", type=int, default=0, metavar="N", help="prove and run N of the points as well")
    parser.add_argument("--json", type=Path, metavar="FILE")
    options = parser.parse_args()
    results = run(list(points(options.only, options.sram, options.points)), options.check, options.jobs)
    missed = limits(results)
    Console(width=None if sys.stdout.isatty() else 160).print(table(results))
    compiled = [result for result in results if result.cycles]
    for name in ("cycles", "traffic"):
        ratios = [getattr(result, name) for result in compiled]
        if ratios:
            quantiles = ", ".join(f"{np.quantile(ratios, part):.3f}" for part in (0.5, 0.95, 1.0))
            print(f"{name}: median, 95 %, worst of {len(ratios)} of {len(results)} points: {quantiles}")
    checked = [result for result in results if result.checked]
    print(f"{len(checked)} points checked, {sum(not result.problem for result in checked)} right")
    if options.json:
        document: dict[str, Any] = {"results": [asdict(result) for result in results], "missed": missed}
        options.json.write_text(json.dumps(document, indent=2))
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
