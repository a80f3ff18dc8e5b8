"""Many runs, many processes: both sides of each in one run, as ratios of medians; exit code 1 where a ratio is missed.

    python benchmarks/many.py [MODEL.int8.onnx DATA.npz] [--images N] [--json]

* LeNet-5 of the demo: images a second through a plain loop of `Simulator.run`, and through `run_many` with one and two workers.
* With a quantised MODEL: `re2na compare` with `--jobs 2` against one job, both as commands on the same images: wall time, start and
  builds included, one thread in each process; equal JSON. What is built once weighs less with more images.

Both need two processors that nothing else is using: the load is printed.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tvm_re2na import load_dataset, load_model, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.program_inputs import quantise
from tvm_re2na.runtime.library import LoadedProgram, Simulator
from tvm_re2na.runtime.many import run_many

DEMO = Path(__file__).parent.parent / "tvm_re2na" / "demo"
ROUNDS = 9
ONE_THREAD = {**os.environ, "TVM_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # of each process
LIMITS = {"run_many, 1 worker": 1.0, "run_many, 2 workers": 1.7, "compare --jobs 2": 1.7}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--images", type=int, default=2000, help="for compare (2000)")
    parser.add_argument("--rounds", type=int, default=1, help="of compare (1)")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    found: dict[str, Any] = {"load": os.getloadavg()[0], "run_many": runs_of_lenet()}
    ratios = {name: found["run_many"]["ratios"][name] for name in ("run_many, 1 worker", "run_many, 2 workers")}
    if options.model is not None:
        found["compare"] = jobs(options.model, options.data, options.images, options.rounds)
        ratios["compare --jobs 2"] = found["compare"]["ratio"]
    found["missed"] = [name for name, ratio in ratios.items() if ratio < LIMITS[name]]
    if options.model is not None and not found["compare"]["equal"]:
        found["missed"].append("compare --jobs 2: equal JSON")
    if options.json:
        print(json.dumps(found, indent=2))
    else:
        show(found, ratios)
    return 1 if found["missed"] else 0


def show(found: dict[str, Any], ratios: dict[str, float]) -> None:
    print(f"load {found['load']:.1f} of {os.cpu_count()} processors")
    for name, rate in found["run_many"]["images_per_second"].items():
        print(f"{name:24} {rate:10,.0f} images/s")
    for name, seconds in found.get("compare", {}).get("seconds", {}).items():
        print(f"{name:24} {seconds:10.1f} s")
    for name, ratio in ratios.items():
        print(f"{name:24} {ratio:10.2f} (at least {LIMITS[name]})")


def runs_of_lenet() -> dict[str, Any]:
    """Rounds of all three, in turn."""
    loaded = LoadedProgram(lenet())
    values = quantise(load_dataset(DEMO / "mnist_test1000.npz").x, 2.0**-6)
    runs = [[image[None]] for image in values] * 3
    simulator = Simulator(loaded)

    def plain() -> int:
        return sum(simulator.run(inputs).counters.total.overflows for inputs in runs)

    def many(workers: int) -> int:
        return sum(result.counters.total.overflows for result in run_many(loaded, runs, workers))

    sides: dict[str, Callable[[], int]] = {
        "plain loop": plain,
        "run_many, 1 worker": lambda: many(1),
        "run_many, 2 workers": lambda: many(2),
    }
    seconds: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(ROUNDS):
        for name, side in sides.items():
            start = time.perf_counter()
            side()
            seconds[name].append(time.perf_counter() - start)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    rates = {name: len(runs) / value for name, value in medians.items()}
    return {"images_per_second": rates, "ratios": {name: rate / rates["plain loop"] for name, rate in rates.items()}}


def lenet() -> bytes:
    """The demo's program."""
    model, calibration = load_model(DEMO / "lenet5_mnist.onnx"), load_dataset(DEMO / "mnist_calibration128.npz")
    arch = Architecture()
    mod, params = pipeline.import_into_tvm(pipeline.quantized_model(model, calibration, arch))
    return pipeline.build_for_re2na(mod, params, arch).programs[0][1].to_bytes()


def jobs(model: Path, data: Path, images: int, rounds: int) -> dict[str, Any]:
    """Wall time of the command with one job and with two."""
    seconds: dict[str, list[float]] = {"1 job": [], "2 jobs": []}
    outputs = set()
    for _ in range(rounds):
        for name, times in seconds.items():
            command = ["-m", "tvm_re2na.cli", "compare", model, "--data", data, "--limit", images, "--jobs", name[0]]
            start = time.perf_counter()
            done = subprocess.run(
                [sys.executable, *map(str, command), "--json"], stdout=subprocess.PIPE, env=ONE_THREAD
            )
            times.append(time.perf_counter() - start)
            if done.returncode not in (0, 1):  # 1: an accumulator overflowed
                raise SystemExit(f"re2na compare: exit code {done.returncode}")
            outputs.add(done.stdout)
    medians = {name: statistics.median(values) for name, values in seconds.items()}
    equal = len(outputs) == 1
    return {"images": images, "seconds": medians, "ratio": medians["1 job"] / medians["2 jobs"], "equal": equal}


if __name__ == "__main__":
    sys.exit(main())
