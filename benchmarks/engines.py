"""The simulator beside other engines of int8 networks: latency, images a second, exactness; exit code 1 where a limit is missed.

    make engines                                        # OpenVINO and LiteRT, in an environment of their own
    RE2NA_DATA=... python benchmarks/engines.py [NETWORK ...] [--kernel KERNEL] [--only ENGINE ...] [--folder FOLDER]
        [--json FILE] [--plot FILE] [--processor-time]

All run the same quantised network: `re2na` its program, ONNX Runtime, OpenVINO and TVM the QDQ file, LiteRT a TFLite twin of the
program, for which TVM's exact CPU gives our bits. Ours and LiteRT's take and give int8; the others quantise the image, and give
scores in float. MobileNetV2 and VGG-16 have random weights, the others trained ones; all but LeNet-5 see 3x224x224.

Every engine has a process of its own, and they take turns: ratios are medians over the rounds. Images a second are those of two
streams at once, in the engine's own way (two threads, its queue, `run_many`). An engine that is not installed is a row with its
reason, and a limit that asks for it is missed.

KERNEL is ours alone; ONEDNN_MAX_CPU_ISA=AVX2 in the environment holds OpenVINO to AVX2, and none of the others. With
--processor-time all is told in the processes' own time, which others who use the machine disturb less: of one thread alone, and
images a second as if two processors were free.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.engines_networks import NETWORKS, prepared  # noqa: E402
from benchmarks.engines_rows import OURS, Row, misses, table, write_plot  # noqa: E402
from benchmarks.peers_row import MissingTool, check_package  # noqa: E402
from tvm_re2na.runtime.library import kernels  # noqa: E402

PYTHON = ROOT / ".venv-engines" / "bin" / "python"
OWN = Path(sys.executable)
# package and distribution, and whether it lives in the others' environment
ENGINES = {
    OURS: ("tvm_re2na", "tvm_re2na", False),
    "onnxruntime": ("onnxruntime", "onnxruntime", False),
    "openvino": ("openvino", "openvino", True),
    "litert": ("ai_edge_litert.interpreter", "ai-edge-litert", True),
    "tvm": ("tvm.relay", "xtc-tvm-python-bindings", False),
}
SLICE, RATE_SLICE = 0.4, 2.0  # seconds of a turn


class Worker:
    """An engine's process. Raises MissingTool with its last words where it does not come up."""

    def __init__(self, engine: str, python: Path, folder: Path, threads: int, kernel: str) -> None:
        count = {name: str(threads) for name in ("TVM_NUM_THREADS", "OMP_NUM_THREADS")}
        self._log = folder / f"{engine}.log"
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                [python, ROOT / "benchmarks" / "engine_worker.py", engine, folder, str(threads), kernel],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
                env=os.environ | count,
            )
        self.engine, self.about = engine, self._answer()

    def ask(self, what: str, seconds: float) -> Any:
        assert self._process.stdin is not None
        print(what, seconds, file=self._process.stdin, flush=True)
        return self._answer()

    def _answer(self) -> Any:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if line:
            return json.loads(line)
        self._process.wait()
        raise MissingTool((self._log.read_text().strip().splitlines() or ["no words"])[-1][:160])

    def close(self) -> None:
        self._process.communicate()


class Race:
    """A network through all engines that are there; `notes`: why others are not."""

    def __init__(
        self, folder: Path, pythons: dict[str, Path], notes: dict[str, str], options: argparse.Namespace
    ) -> None:
        self.folder, self.pythons, self.options = folder, pythons, options
        self.notes = dict(notes)
        about = json.loads((folder / "about.json").read_text())
        if "no_twin" in about:
            self.notes["litert"] = about["no_twin"]
        self.names: dict[str, str] = {}
        self.equal: dict[str, float] = {}
        self.seconds: dict[str, dict[int, float]] = {}
        self.ratios: dict[str, dict[int, float]] = {}
        self.rates: dict[str, float] = {}

    def rows(self) -> list[Row]:
        for threads in (1,) if self.options.processor_time else (1, 2):
            workers = self._workers(threads)
            self._time(workers, threads)
            if threads == 1:
                self._rate(workers)
            for worker in workers:
                worker.close()
        return [
            Row(
                self.folder.name,
                engine,
                self.names.get(engine, ""),
                self.seconds.get(engine, {}),
                self.ratios.get(engine, {}),
                self.rates.get(engine),
                self.equal.get(engine),
                self.notes.get(engine, ""),
            )
            for engine in ENGINES
        ]

    def _workers(self, threads: int) -> list[Worker]:
        expected, workers = np.load(self.folder / "expected.npy"), []
        for engine, python in self.pythons.items():
            if engine in self.notes:
                continue
            try:
                worker = Worker(engine, python, self.folder, threads, self.options.kernel)
            except MissingTool as error:
                self.notes[engine] = str(error)
                continue
            workers.append(worker)
            self.names[engine] = worker.about["name"]
            outputs = np.array(worker.about["outputs"]).reshape(expected.shape)
            self.equal[engine] = min(self.equal.get(engine, 1.0), float((outputs == expected).mean()))
        return workers

    def _time(self, workers: Sequence[Worker], threads: int) -> None:
        column = 1 if self.options.processor_time else 0
        rounds: dict[str, list[float]] = {worker.engine: [] for worker in workers}
        for _ in range(self.options.rounds):
            for worker in workers:
                runs = worker.ask("time", SLICE)
                rounds[worker.engine].append(statistics.median(run[column] for run in runs))
        for engine, medians in rounds.items():
            self.seconds.setdefault(engine, {})[threads] = statistics.median(medians)
            if OURS in rounds:
                ratios = [mine / its for mine, its in zip(rounds[OURS], medians, strict=True)]
                self.ratios.setdefault(engine, {})[threads] = statistics.median(ratios)

    def _rate(self, workers: Sequence[Worker]) -> None:
        rounds: dict[str, list[float]] = {worker.engine: [] for worker in workers}
        for _ in range(max(1, self.options.rounds // 2)):
            for worker in workers:
                answer = worker.ask("rate", RATE_SLICE)
                rounds[worker.engine].append(answer["of_processor_time" if self.options.processor_time else "of_time"])
        self.rates = {engine: statistics.median(rates) for engine, rates in rounds.items()}


def installed(python: Path, only: Sequence[str]) -> tuple[dict[str, Path], dict[str, str]]:
    """The interpreter of every engine that is there, and why the others are not."""
    found, notes = {}, {}
    for engine, (package, distribution, foreign) in ENGINES.items():
        where = python if foreign else OWN
        if engine not in only:
            notes[engine] = "left out (--only)"
            continue
        try:
            check_package(where, package, distribution, "make engines" if foreign else f"pip install {distribution}")
            found[engine] = where
        except MissingTool as error:
            notes[engine] = str(error)
    return found, notes


def processor() -> str:
    info = Path("/proc/cpuinfo")
    lines = info.read_text().splitlines() if info.is_file() else []
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), "unknown")


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="beside other int8 engines")
    parser.add_argument("networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(NETWORKS)} (default: all)")
    parser.add_argument(
        "--kernel", default="auto", help="of the simulator (default: the fastest that this processor has)"
    )
    parser.add_argument("--folder", type=Path, help="where networks are kept (default: a temporary folder)")
    parser.add_argument("--python", type=Path, default=PYTHON, help="an interpreter that has OpenVINO and LiteRT")
    parser.add_argument("--only", nargs="+", choices=tuple(ENGINES), default=tuple(ENGINES), metavar="ENGINE")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--processor-time", action="store_true", help="where others use the machine")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--plot", type=Path, metavar="FILE", help="PNG or SVG")
    options = parser.parse_args()
    if unknown := [name for name in options.networks if name not in NETWORKS]:
        parser.error(f"unknown network '{unknown[0]}'; known: {', '.join(NETWORKS)}")
    if options.kernel not in kernels():
        parser.error(f"unknown kernel '{options.kernel}'; this processor has: {', '.join(kernels())}")
    return options


def main() -> int:
    options = parse()
    pythons, notes = installed(options.python.absolute(), options.only)
    rows: list[Row] = []
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.folder or Path(temporary)).resolve()
        for name in options.networks or NETWORKS:
            print(f"{name} ...", file=sys.stderr)
            try:
                rows += Race(prepared(folder, name), pythons, notes, options).rows()
            except MissingTool as error:
                rows += [Row(name, engine, note=str(error)) for engine in ENGINES]
    missed = misses(rows)
    Console(width=None if sys.stdout.isatty() else 160).print(table(rows))
    about = {
        "processor": processor(),
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "rounds": options.rounds,
    }
    print(", ".join(f"{name}: {value}" for name, value in about.items()))
    if options.json:
        document = about | {
            "processor_time": options.processor_time,
            "rows": [asdict(row) for row in rows],
            "missed": missed,
        }
        options.json.write_text(json.dumps(document, indent=2))
    if options.plot:
        write_plot(rows, options.plot)
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
