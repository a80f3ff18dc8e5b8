"""What is measured in a process of its own, for its threads or its memory: prints one JSON object.

RE2NA_KERNEL=avx2 python -m benchmarks.native.child speed|threads|memory|build|scaling ...
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

KIB = 1024
FORGET_PEAK = "5"  # proc(5): the peak becomes what is resident now
SLOW = 0.3  # seconds: a run that needs no warming
LONG_ENOUGH = 20.0  # seconds: what a second processor gives changes from one to the next where others use the machine
KERNEL = os.environ.get("RE2NA_KERNEL", "auto")  # the bridge reads it by itself


def peak_rss() -> int:
    """Bytes. What getrusage tells is no less than the parent's at the fork."""
    found = re.search(r"VmHWM:\s*(\d+) kB", Path("/proc/self/status").read_text())
    if found is None:
        raise RuntimeError("/proc/self/status tells no VmHWM: memory cannot be measured on this system")
    return int(found.group(1)) * KIB


def race(
    runs: dict[str, Callable[[], Any]],
    repeats: int,
    at_least: float = 0.0,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each, taking turns; fast ones are warmed, as another has used the caches before.

    There are `repeats` rounds or more, until `at_least` seconds have passed.
    """
    times: dict[str, list[float]] = {name: [] for name in runs}
    end = time.perf_counter() + at_least
    while len(next(iter(times.values()))) < repeats or time.perf_counter() < end:
        for name, run in runs.items():
            if not times[name] or min(times[name]) < SLOW:
                run()
            started = clock()
            run()
            times[name].append(clock() - started)
    return times


def speed(options: argparse.Namespace) -> dict[str, Any]:
    from benchmarks.native.models import image_for, model_file
    from benchmarks.native.sides import sides
    from tvm_re2na import pipeline
    from tvm_re2na.runtime.library import LoadedProgram

    path = model_file(options.folder, options.model)
    image = image_for(pipeline.load_model(path))
    runs, program = sides(path, image, options.threads, KERNEL)
    same = {
        name: all(np.array_equal(a, b) for a, b in zip(runs["re2na"](), runs[name](), strict=True))
        for name in ("tvm", "tvm_avx2", "ort", "ort_precise")
    }
    clock = time.process_time if options.processor_time else time.perf_counter
    seconds = {name: statistics.median(values) for name, values in race(runs, options.repeats, clock=clock).items()}
    result = {"model": options.model, "threads": options.threads, "seconds": seconds, "same_bits": same}
    if options.threads == 1:
        loaded = LoadedProgram(program, KERNEL)
        agreed, seconds["reference"] = agreement(loaded, program, clock)
        result |= {"kernel": loaded.kernel, "agreement": agreed}
        result |= counting(loaded, options.repeats, clock) | profile(loaded, program)
    return result


def agreement(loaded: Any, program: Any, clock: Callable[[], float]) -> tuple[dict[str, bool], float]:
    """Whether portable C and the NumPy reference give the same outputs and counters, and how long the latter takes."""
    from tvm_re2na.runtime import reference
    from tvm_re2na.runtime.library import Simulator

    values = inputs_of(loaded)
    started = clock()
    others = {"reference": reference.run(program, values, check_hazards=False)}
    taken = clock() - started
    others["portable"] = Simulator(program, kernel="portable").run(values)
    ours = Simulator(loaded).run(values)
    return {
        name: ours.counters == other.counters
        and all(np.array_equal(a, b) for a, b in zip(ours.outputs, other.outputs, strict=True))
        for name, other in others.items()
    }, taken


def counting(loaded: Any, repeats: int, clock: Callable[[], float]) -> dict[str, Any]:
    """What watching for overflows costs, as a share of a run without."""
    from tvm_re2na.runtime.library import Simulator

    values = inputs_of(loaded)
    watched, unwatched = Simulator(loaded), Simulator(loaded, count_overflows=False)
    runs = {"watched": lambda: watched.run(values), "unwatched": lambda: unwatched.run(values)}
    times = race(runs, 5 * repeats, clock=clock)
    ratios = [a / b for a, b in zip(times["watched"], times["unwatched"], strict=True)]
    return {"counting_cost": statistics.median(ratios) - 1}


def profile(loaded: Any, program: Any) -> dict[str, Any]:
    """Where a run's time goes: seconds, MACs and GMAC/s by kind of instruction."""
    from tvm_re2na.runtime.library import Simulator

    simulator, values = Simulator(loaded, profile=True), inputs_of(loaded)
    taken, counted = [], None
    for _ in range(9):
        counted = simulator.run(values).counters.instruction_table
        taken.append(simulator.nanoseconds())
    nanoseconds = np.median(np.array(taken), axis=0)
    kinds: dict[str, dict[str, float]] = {}
    for index, at in enumerate(program.instructions):
        entry = kinds.setdefault(kind_of(at), {"seconds": 0.0, "macs": 0})
        entry["seconds"] += float(nanoseconds[index]) * 1e-9
        entry["macs"] += int(counted[index, 0])
    return {"profile": kinds}


def kind_of(at: Any) -> str:
    if at.name != "CONV":
        return str(at.name).lower()
    if at["groups"] > 1:
        return "conv depthwise" if at["groups"] == at["in_c"] else "conv grouped"
    return f"conv {at['kernel_h']}x{at['kernel_w']}"


def inputs_of(loaded: Any) -> list[Any]:
    rng = np.random.default_rng(1)
    return [rng.integers(-128, 128, port.shape).astype(np.int8) for port in loaded.inputs]


def threads(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds of a run with one thread and with two, and of two runs at once, which show what the machine's processors give."""
    from tvm_re2na.runtime.library import LoadedProgram, Simulator

    loaded = LoadedProgram(options.program, KERNEL)
    values = inputs_of(loaded)
    one, other, two = Simulator(loaded), Simulator(loaded), Simulator(loaded, threads=2)
    with ThreadPoolExecutor(2) as pool:

        def at_once() -> None:
            for done in [pool.submit(simulator.run, values) for simulator in (one, other)]:
                done.result()

        sides = {"one": lambda: one.run(values), "two": lambda: two.run(values), "at_once": at_once}
        times = race(sides, 3 * options.repeats, LONG_ENOUGH)

    def gain(side: str, runs: int) -> float:
        return statistics.median(runs * a / b for a, b in zip(times["one"], times[side], strict=True))

    seconds = {side: statistics.median(taken) for side, taken in times.items()}
    return {"seconds": seconds, "gain": gain("two", 1), "gain_at_once": gain("at_once", 2)}


def memory(options: argparse.Namespace) -> dict[str, Any]:
    """Peak memory of loading and running a program, above that of a process that has imported what it needs."""
    from tvm_re2na.codegen.program import Program
    from tvm_re2na.runtime.library import Simulator, kernels

    kernels()
    np.random.default_rng(1).integers(-128, 128, 10)  # what a first draw imports is not ours
    Path("/proc/self/clear_refs").write_text(FORGET_PEAK)
    before = peak_rss()
    simulator = Simulator(options.program, kernel=KERNEL)
    for _ in range(3):
        simulator.run(inputs_of(simulator))
    peak = peak_rss() - before
    program = Program.open(options.program)
    return {
        "program": options.program.stat().st_size,
        "sram": program.arch.sram_bytes,
        "dram": program.dram_bytes,
        "dram_without_constants": program.dram_bytes - len(program.constants),
        "peak": peak,
    }


def build(options: argparse.Namespace) -> dict[str, Any]:
    """Seconds and peak memory of `relay.build` and `export_library`; of ours, the seconds spent in our code."""
    from benchmarks.native.models import model_file
    from tvm_re2na import Architecture, pipeline
    from tvm_re2na.frontends.common.jobs import Jobs
    from tvm_re2na.frontends.relay import backend

    mod, params = pipeline.import_into_tvm(pipeline.load_model(model_file(options.folder, options.model)))
    spent = {"compile": 0.0, "carry": 0.0}

    def timed(name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def run(*arguments: Any) -> Any:
            started = time.perf_counter()
            try:
                return function(*arguments)
            finally:
                spent[name] += time.perf_counter() - started

        return run

    Jobs.program = timed("compile", Jobs.program)  # type: ignore[method-assign]
    backend.carry = timed("carry", backend.carry)
    before, started = peak_rss(), time.perf_counter()
    if options.side == "re2na":
        built = pipeline.build_for_re2na(mod, params, Architecture())
    else:
        built = pipeline.build_for_cpu(mod, params)
    built_at = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        backend.export_library(built.library, Path(folder) / "module.so")
    return {
        "build_seconds": built_at - started,
        "export_seconds": time.perf_counter() - built_at,
        "our_seconds": spent,
        "peak": peak_rss() - before,
    }


def scaling(options: argparse.Namespace) -> dict[str, Any]:
    """ResNet-18 with growing batch and image: seconds of a run."""
    from benchmarks.native import models
    from tests.models.resnets import resnet_graph
    from tvm_re2na.codegen.compiler import compile_graph
    from tvm_re2na.runtime.library import Simulator

    del models  # its import made the tests' networks importable
    rows = []
    for size, batch in [(112, 1), (224, 1), (448, 1), (224, 2), (224, 4), (224, 8)]:
        simulator = Simulator(compile_graph(resnet_graph(18, size, batch)), kernel=KERNEL)
        values = inputs_of(simulator)
        times = race({"run": lambda run=simulator.run, values=values: run(values)}, options.repeats)["run"]
        macs = simulator.run(values).counters.total.macs
        rows.append({"size": size, "batch": batch, "macs": macs, "seconds": statistics.median(times)})
    return {"scaling": rows}


MEASUREMENTS = {"speed": speed, "threads": threads, "memory": memory, "build": build, "scaling": scaling}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("what", choices=tuple(MEASUREMENTS))
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--model")
    parser.add_argument("--program", type=Path)
    parser.add_argument("--side", choices=("re2na", "cpu"))
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--processor-time", action="store_true")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    json.dump(MEASUREMENTS[options.what](options), sys.stdout)


if __name__ == "__main__":
    main()
