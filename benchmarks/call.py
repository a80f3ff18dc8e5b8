"""What surrounds a run in C: microseconds that Python, the bridge and TVM add to LeNet-5, one thread; exit code 1 above a limit.

    python benchmarks/call.py [--rounds N] [--json]

Every way of running goes CALLS times in turn with as many runs in one call of `re2na_run_many`, which is the time in C. What is
told are medians over the rounds, of the differences in the thread's own time; others' work on the same processor still empties its
caches. The bridge is called from Python here, which takes most of what is told of it.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import time
from collections.abc import Callable
from ctypes import c_uint64, c_void_p
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import tvm
from tvm.contrib import graph_executor

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.many import DEMO  # noqa: E402
from tvm_re2na import Architecture, load_dataset, load_model, pipeline  # noqa: E402
from tvm_re2na.runtime.abi import c_library  # noqa: E402
from tvm_re2na.runtime.library import Simulator  # noqa: E402

CALLS = 200
LIMITS = {"Simulator.run": 10.0, "Simulator.run_all": 10.0}
Side: TypeAlias = Callable[[], Any]


def built() -> pipeline.Built:
    """The demo's network in TVM."""
    model, calibration = load_model(DEMO / "lenet5_mnist.onnx"), load_dataset(DEMO / "mnist_calibration128.npz")
    arch = Architecture()
    mod, params = pipeline.import_into_tvm(pipeline.quantized_model(model, calibration, arch))
    return pipeline.build_for_re2na(mod, params, arch)


def sides(network: pipeline.Built) -> dict[str, Side]:
    """CALLS runs each; the first is C alone. TVM's also brings the image into int8 and the scores out of it."""
    program = network.programs[0][1].to_bytes()
    simulator, library = Simulator(program), c_library()
    inputs = [np.random.default_rng(1).integers(-128, 128, port.shape).astype(np.int8) for port in simulator.inputs]
    outputs = [np.empty(port.shape, np.int8) for port in simulator.outputs]
    places = [[array.ctypes.data for array in arrays] for arrays in (inputs, outputs)]
    given, wanted = ((c_void_p * (CALLS * len(each)))(*each * CALLS) for each in places)
    addresses = [address for each in places for address in each]
    pointers = (c_uint64 * len(addresses))(*addresses)
    in_tvm = graph_executor.GraphModule(network.library["default"](tvm.cpu()))
    in_tvm.set_input(0, np.zeros(simulator.inputs[0].shape, np.float32))

    def repeated(call: Callable[[], object]) -> Side:
        def calls() -> None:
            for _ in range(CALLS):
                call()

        return calls

    return {
        "C": lambda: library.re2na_run_many(simulator._machine, CALLS, given, wanted, None, None, None, None),
        "Simulator.run": repeated(lambda: simulator.run(inputs)),
        "Simulator.run_all": lambda: simulator.run_all([inputs] * CALLS),
        "the bridge": repeated(lambda: library.re2na_execute(program, len(program), pointers)),
        "TVM": repeated(in_tvm.module["run"]),
    }


def measure(measured: dict[str, Side], rounds: int) -> dict[str, list[float]]:
    """Microseconds of one run, of every round."""
    times: dict[str, list[float]] = {name: [] for name in measured}
    for _ in range(rounds):
        for name, side in measured.items():
            started = time.thread_time()
            side()
            times[name].append((time.thread_time() - started) / CALLS * 1e6)
    return times


def main() -> int:
    parser = argparse.ArgumentParser(description="microseconds around a run in C")
    parser.add_argument("--rounds", type=int, default=101)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    times = measure(sides(built()), options.rounds)
    in_c = times.pop("C")
    rows = {}
    for name, all_of_it in times.items():
        added = statistics.median(mine - its for mine, its in zip(all_of_it, in_c, strict=True))
        rows[name] = {"added": added, "added / C": added / statistics.median(in_c), "limit": LIMITS.get(name)}
    if options.json:
        print(json.dumps({"C": statistics.median(in_c), "rows": rows}, indent=2))
    else:
        print(f"{'in C':20} {statistics.median(in_c):8.2f} us")
        for name, row in rows.items():
            limit = f"  (at most {row['limit']})" if row["limit"] else ""
            print(f"{name:20} {row['added']:+8.2f} us  {row['added / C']:6.1%}{limit}")
    return 1 if any(row["limit"] and row["added"] > row["limit"] for row in rows.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
