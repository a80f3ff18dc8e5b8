"""The simulator against native inference: wall time, threads, memory, building; every side in the same run.

    python benchmarks/simulator.py [--kernel KERNEL] [--folder FOLDER] [--repeats N] [--processor-time] [--json] [MODEL ...]

Sides, on the same QDQ file: `re2na` is the offloaded network in TVM, `simulator` its program alone; `ort` ONNX Runtime's int8,
`ort_precise` with kernels that do not saturate; `tvm` TVM on plain llvm, exact; `tvm_avx2` TVM for AVX2, whose int8 kernels
saturate; `reference` the NumPy simulator, run once. Medians of wall time of one image, with one thread and with two. What a second
thread gains is measured by itself, for 20 s and more, beside two runs at once, which show what the machine's second processor is
worth. AlexNet is built three times, and the middle one counts. ResNet-18, AlexNet, MobileNetV2 and VGG-16 have random weights and
3x224x224 inputs. Models are kept in FOLDER (default: a temporary one).
KERNEL, such as avx2, is ours alone: the others take what the processor has. With --processor-time one thread is measured in the
process's own time, which others that use the machine disturb less, and neither two threads, nor growing images, nor building.

Exit status 1 where a bit differs from TVM's exact CPU code, or a limit is missed.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.native.models import NAMES, model_file  # noqa: E402
from tvm_re2na import Architecture, pipeline  # noqa: E402
from tvm_re2na.codegen.compiler import compile_graph  # noqa: E402
from tvm_re2na.runtime.library import kernels  # noqa: E402

Result = dict[str, Any]
ORT_LIMITS = {"resnet18": 1.0, "alexnet": 1.0, "vgg16": 1.0, "mobilenet_v2": 1.5}
TVM_LIMIT, TVM_AVX2_GOAL = 0.1, 1.0
TWO_THREADS = {"resnet18": 1.8, "vgg16": 1.8, "mobilenet_v2": 1.6, "alexnet": 1.6}
COUNTING_LIMIT = 0.05
MEMORY_LIMIT = 1.5  # times the program, its SRAM and its DRAM image
BUILD_MODEL, BUILD_SECONDS, BUILD_BYTES = "alexnet", 2.0, 300e6
BUILDS = 3
MB = 1e6


def child(*arguments: str, threads: int = 1) -> Result:
    """One measurement in a process of its own."""
    count = {name: str(threads) for name in ("TVM_NUM_THREADS", "OMP_NUM_THREADS")}
    finished = subprocess.run(
        [sys.executable, "-m", "benchmarks.native.child", *arguments],
        cwd=ROOT,
        env=os.environ | count,
        capture_output=True,
        text=True,
    )
    if finished.returncode:
        raise SystemExit(f"{' '.join(arguments)}: {finished.stderr[-2000:]}")
    result: Result = json.loads(finished.stdout.splitlines()[-1])
    return result


def peak(kernel: str) -> float:
    """GMAC/s of int8 multiply-adds in registers with a kernel's instructions; 0 where there is no C compiler, or none is known."""
    with tempfile.TemporaryDirectory() as folder:
        binary = Path(folder) / "peak"
        command = [os.environ.get("CC", "cc"), "-O2", "-o", str(binary), str(ROOT / "benchmarks" / "native" / "peak.c")]
        if subprocess.run(command, check=False).returncode:
            return 0.0
        return float(subprocess.run([str(binary), kernel], check=True, stdout=subprocess.PIPE, text=True).stdout)


def program_file(folder: Path, name: str) -> Path:
    path = folder / f"{name}.re2na"
    if not path.is_file():
        mod, params = pipeline.import_into_tvm(pipeline.load_model(model_file(folder, name)))
        (lowered,) = pipeline.lower_for_each(mod, params, [Architecture()])
        compile_graph(lowered.graphs[0]).save(path)
    return path


def measure(folder: Path, models: list[str], repeats: int, processor_time: bool) -> Result:
    speed, threading, memory = {}, {}, {}
    for name in models:
        model_file(folder, name)
        for threads in (1,) if processor_time else (1, 2):
            given = ["--folder", str(folder), "--model", name, "--threads", str(threads), "--repeats", str(repeats)]
            given += ["--processor-time"] * processor_time
            speed[name, threads] = child("speed", *given, threads=threads)
            print(f"{name}, {threads} thread(s) done", file=sys.stderr)
        program = str(program_file(folder, name))
        if not processor_time:
            threading[name] = child("threads", "--program", program, "--repeats", str(repeats))
        memory[name] = child("memory", "--program", program)
    kernel = next(row["kernel"] for row in speed.values() if "kernel" in row)
    result: Result = {
        "kernel": kernel,
        "peak_gmacs": peak(kernel),
        "speed": list(speed.values()),
        "threads": threading,
        "memory": memory,
    }
    if not processor_time:
        result |= child("scaling", "--repeats", str(repeats))
    if BUILD_MODEL in models and not processor_time:
        given = ["--folder", str(folder), "--model", BUILD_MODEL]
        result["build"] = {side: _usual_build([*given, "--side", side]) for side in ("re2na", "cpu")}
    return result | {"limits": limits(result)}


def _usual_build(arguments: list[str]) -> Result:
    """Of several builds, each in a process of its own, the one of median time in our part (on TVM's own side: of all)."""
    builds = [child("build", *arguments) for _ in range(BUILDS)]
    builds.sort(key=lambda row: (sum(row["our_seconds"].values()), row["build_seconds"]))
    return builds[BUILDS // 2]


def limits(result: Result) -> list[Result]:
    """Each requirement with what was seen."""
    rows: list[Result] = []

    def at_most(what: str, seen: float, limit: float, goal: bool = False) -> None:
        rows.append({"what": what, "seen": seen, "limit": limit, "met": seen <= limit, "goal": goal})

    one = {row["model"]: row for row in result["speed"] if row["threads"] == 1}
    for name, row in one.items():
        seconds = row["seconds"]
        for other, agrees in {"TVM": row["same_bits"]["tvm"], **row["agreement"]}.items():
            what = f"{name}: same as {other}"
            rows.append({"what": what, "seen": agrees, "limit": True, "met": agrees, "goal": False})
        if name not in ORT_LIMITS:
            continue
        at_most(f"{name}: time / ONNX Runtime", seconds["re2na"] / seconds["ort"], ORT_LIMITS[name])
        at_most(f"{name}: time / TVM", seconds["re2na"] / seconds["tvm"], TVM_LIMIT)
        at_most(f"{name}: time / TVM for AVX2", seconds["re2na"] / seconds["tvm_avx2"], TVM_AVX2_GOAL, goal=True)
        at_most(f"{name}: cost of counting overflows", row["counting_cost"], COUNTING_LIMIT)
        if name in TWO_THREADS and name in result["threads"]:
            gain, least = result["threads"][name]["gain"], TWO_THREADS[name]
            what = f"{name}: gain of a second thread"
            rows.append({"what": what, "seen": gain, "limit": least, "met": gain >= least, "goal": False})
    for name, row in result["memory"].items():
        ratio = row["peak"] / (row["program"] + row["sram"] + row["dram"])
        at_most(f"{name}: peak memory / (program + SRAM + DRAM)", ratio, MEMORY_LIMIT)
    if "build" in result:
        ours, cpu = result["build"]["re2na"], result["build"]["cpu"]
        at_most(f"{BUILD_MODEL}: seconds in our part of relay.build", sum(ours["our_seconds"].values()), BUILD_SECONDS)
        at_most(
            f"{BUILD_MODEL}: peak memory of building above TVM's own, bytes", ours["peak"] - cpu["peak"], BUILD_BYTES
        )
    return rows


def tables(result: Result) -> list[Table]:
    return [
        _speed(result["speed"]),
        *([_threads(result["threads"])] if result["threads"] else []),
        _profile(result),
        _memory(result["memory"]),
        *([_scaling(result["scaling"])] if "scaling" in result else []),
        *([_build(result["build"])] if "build" in result else []),
        _limits(result["limits"]),
    ]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title)
    for index, name in enumerate(columns):
        table.add_column(name, justify="left" if index == 0 else "right")
    return table


def _speed(rows: list[Result]) -> Table:
    names = list(dict.fromkeys(name for row in rows for name in row["seconds"]))
    table = _table("milliseconds for an image", "model", "threads", *(name.replace("_", " ") for name in names))
    for row in rows:
        times = [row["seconds"].get(name) for name in names]
        shown = ("" if time is None else f"{1e3 * time:.4g}" for time in times)
        table.add_row(row["model"], str(row["threads"]), *shown)
    return table


def _threads(rows: Result) -> Table:
    columns = ("model", "one thread", "two threads", "gain", "two runs at once", "gain of two processors")
    table = _table("the simulator, milliseconds", *columns)
    for name, row in rows.items():
        one, two, at_once = (f"{1e3 * row['seconds'][side]:.4g}" for side in ("one", "two", "at_once"))
        table.add_row(name, one, two, f"{row['gain']:.2f}", at_once, f"{row['gain_at_once']:.2f}")
    return table


def _profile(result: Result) -> Table:
    best = result["peak_gmacs"]
    title = f"where a run's time goes, one thread; {result['kernel']}, in registers: {best:.0f} GMAC/s"
    table = _table(title, "model", "instruction", "ms", "share", "GMAC/s", "of peak")
    for row in result["speed"]:
        total = sum(entry["seconds"] for entry in row.get("profile", {}).values())
        for kind, entry in sorted(row.get("profile", {}).items(), key=lambda item: -item[1]["seconds"]):
            if entry["seconds"] < 0.005 * total:
                continue
            rate = entry["macs"] / entry["seconds"] * 1e-9
            share = f"{rate / best:.0%}" if best and rate else ""
            table.add_row(
                row["model"],
                kind,
                f"{1e3 * entry['seconds']:.3g}",
                f"{entry['seconds'] / total:.0%}",
                f"{rate:.3g}" if rate else "",
                share,
            )
    return table


def _memory(rows: Result) -> Table:
    table = _table(
        "megabytes of loading and running a program", "model", "program", "SRAM", "DRAM", "of it no constants", "peak"
    )
    for name, row in rows.items():
        sizes = (row[key] / MB for key in ("program", "sram", "dram", "dram_without_constants", "peak"))
        table.add_row(name, *(f"{size:.1f}" for size in sizes))
    return table


def _scaling(rows: list[Result]) -> Table:
    table = _table("ResNet-18: cost against image and batch", "image", "batch", "GMAC", "ms", "ms / GMAC")
    for row in rows:
        gmacs = row["macs"] * 1e-9
        milliseconds = 1e3 * row["seconds"]
        size = f"{row['size']}x{row['size']}"
        table.add_row(size, str(row["batch"]), f"{gmacs:.3g}", f"{milliseconds:.4g}", f"{milliseconds / gmacs:.3g}")
    return table


def _build(rows: Result) -> Table:
    table = _table(
        f"relay.build and export_library of {BUILD_MODEL}", "for", "build s", "export s", "peak MB", "of it ours, s"
    )
    for side, row in rows.items():
        ours = sum(row["our_seconds"].values())
        seconds = (f"{row[key]:.2f}" for key in ("build_seconds", "export_seconds"))
        table.add_row(side, *seconds, f"{row['peak'] / MB:.0f}", f"{ours:.2f}" if ours else "")
    return table


def _limits(rows: list[Result]) -> Table:
    table = _table("limits", "what", "seen", "limit", "")
    for row in rows:
        verdict = "met" if row["met"] else "not reached" if row["goal"] else "MISSED"
        table.add_row(
            row["what"], _shown(row["seen"]), _shown(row["limit"]), verdict + (" (goal)" if row["goal"] else "")
        )
    return table


def _shown(value: float | bool) -> str:
    return str(value) if isinstance(value, bool) else f"{value:.4g}"


def main() -> int:
    parser = argparse.ArgumentParser(description="the simulator against native inference")
    parser.add_argument("models", nargs="*", metavar="MODEL", help=f"of {', '.join(NAMES)} (default: all)")
    parser.add_argument("--kernel", help="of the simulator (default: the fastest that this processor has)")
    parser.add_argument("--folder", type=Path, help="where models are kept (default: a temporary folder)")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--processor-time", action="store_true", help="of one thread, where others use the machine")
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    known = (*kernels(), "auto")
    if options.kernel and options.kernel not in known:
        parser.error(f"unknown kernel '{options.kernel}'; this processor has: {', '.join(known)}")
    unknown = [name for name in options.models if name not in NAMES]
    if unknown:
        parser.error(f"unknown model '{unknown[0]}'; known: {', '.join(NAMES)}")
    if options.kernel:
        os.environ["RE2NA_KERNEL"] = options.kernel
    with tempfile.TemporaryDirectory() as temporary:
        folder = options.folder or Path(temporary)
        folder.mkdir(parents=True, exist_ok=True)
        result = measure(folder.resolve(), options.models or list(NAMES), options.repeats, options.processor_time)
    if options.json:
        print(json.dumps(result, indent=2))
    else:
        Console(width=160).print(*tables(result))
    return 0 if all(row["met"] or row["goal"] for row in result["limits"]) else 1


if __name__ == "__main__":
    sys.exit(main())
