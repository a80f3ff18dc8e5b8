"""Which branches of the simulator's C code graphs from the compiler reach: what tests/codegen/corners.py is measured by.

    python benchmarks/coverage.py [--graphs 2000] [--json]

Builds the library once more, with gcov, in a temporary folder; needs gcc and `gcovr`. Counted are the files that compute. Those
that refuse programs, carry them or serve the quantiser have tests of their own (OTHERS). What no compiled program can reach is left
out by what its line says (REASONS). Exit status 1 where less than 95 % of the branches are reached.
"""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tvm_re2na.runtime import abi

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

LIMIT = 0.95
MALFORMED = "tests/runtime/test_malformed.py, tests/fuzz"
WRONG = f"what a caller or a program does wrong: {MALFORMED}"
HAND_MADE = "no compiled program, only those of tests/runtime/programs.py, tests/fuzz"
NO_MEMORY = "no memory: the test in which every allocation fails in turn"
OTHERS = {
    "container.c, tensors.c, sources.c, load.c, validate.c, check.c, sequence.c, program.c, error.c, crc.c": (
        f"what programs are refused for: {MALFORMED}"
    ),
    "bridge.c": "programs in TVM's modules: tests/frontends, tests/runtime/test_library.py",
    "kernels.c": "the choice of a kernel: tests/runtime/test_other_processors.py",
    "neon.c": "another processor's: tests/runtime/test_other_processors.py",
    "descent.c, rows.c, products.c": "the quantiser's: tests/quantize",
}
REASONS = {  # what stands in a line, behind the name of its file
    r"re2na_fail|RE2NA_ERROR|RE2NA_IN_RANGE|machine( \?|\))|!team\)|MOST_CYCLES": WRONG,
    r"!inputs|!outputs|first && !?before|before->|state->rows|far - stop": WRONG,
    r"limits\.|re2na_ask": "programs beyond a limit: tests/runtime/test_limits.py",
    r"timing.c:.*(RE2NA_ENGINE_COUNT|program->count\)|at->wait|given|best ==)": WRONG,
    r"[mc]alloc|no_memory|failed|SIZE_MAX|reserve|re2na_pack\(made|add_(late|memories)|re2na_zeros|enough": NO_MEMORY,
    r"return made|!made|&& enough|!larger|machine->late |workers &&|helpers &&": NO_MEMORY,
    r"if \(!?(code|error)\b|code \?|!code;|const int32_t code = re2na_run": "passes a refusal on",
    r"builtin_cpu_supports": "another processor: tests/runtime/test_other_processors.py",
    r"elsewhere|overlap|overwrites|in_place|results.c:for |region.h:.* == 1|conv.c:.*a->(addr|image)": (
        f"results over what is still read: {HAND_MADE}"
    ),
    r"\.bias\b|known->bias|all_known": f"weights and biases that a run brings: {HAND_MADE}",
    r"is_empty|pad_value >|tracer.c:.*(copy|copies|of->count|slack)|transfer.c:.*(ALL|SOME|NONE|whole|plane <|row <)": (
        f"moved constants: {HAND_MADE}"
    ),
    r"(transfer|memory).c:.*(first|behind|bytes > 0|from\)|to\)|row <)": f"transfers across the constants' edge: {HAND_MADE}",
    r"dense.c:.*value [<>]": f"biases that do not fit the accumulator: {HAND_MADE}",
    r"totals\)|if \(instructions\)|sources &&|source_count\)|threads < 1|threads > 1 \?|!profiles|!program->prepared|tokens &&": (
        "ways of calling the library: tests/runtime/test_library.py, test_many.py, test_kernels.py"
    ),
    r"getpid|pthread_create|look < PATIENCE|exchange_weak|task\(job, 0": "forks, late threads: tests/runtime/test_kernels.py",
}


@dataclass(frozen=True)
class Branch:
    """A line's branches in a file: how many there are, and how many were taken."""

    file: str
    line: int
    text: str
    branches: int
    taken: int

    @property
    def reason(self) -> str | None:
        return next((why for pattern, why in REASONS.items() if re.search(pattern, f"{self.file}:{self.text}")), None)


def build(folder: Path) -> Path:
    path = folder / "libre2na.so"
    sources = sorted(map(str, (ROOT / "runtime/src").rglob("*.c")))
    includes = [f"-I{ROOT}/runtime/include", f"-I{ROOT}/runtime/src"]
    subprocess.run(
        [
            "gcc",
            "--coverage",
            "-O0",
            "-g",
            "-std=c11",
            "-fPIC",
            "-shared",
            "-DRE2NA_ONE_VERSION",
            *includes,
            *sources,
            "-o",
            str(path),
            "-pthread",
        ],
        check=True,
    )
    return path


def run(graphs: int) -> None:
    """In a process of its own, since counts are written when it ends."""
    from tests.codegen.corners import trial

    for seed in range(graphs):
        problem = trial(seed).problem
        if problem is not None:
            raise SystemExit(f"seed {seed}: {problem}")


def measured(folder: Path) -> list[Branch]:
    """What gcovr says of the files that compute."""
    command = [
        sys.executable,
        "-m",
        "gcovr",
        "--root",
        str(ROOT),
        "--object-directory",
        str(folder),
        str(folder),
        "--filter",
        "runtime/src/",
        "--json",
        "-",
    ]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    others = {name for names in OTHERS for name in names.split(", ")}
    branches = []
    for file in found["files"]:
        name = Path(file["file"]).name
        lines = (ROOT / file["file"]).read_text(encoding="utf-8").splitlines()
        for line in file["lines"] if name not in others else ():
            taken = [branch["count"] > 0 for branch in line["branches"]]
            if taken:
                number = line["line_number"]
                branches.append(Branch(name, number, lines[number - 1].strip(), len(taken), sum(taken)))
    return branches


def report(branches: list[Branch]) -> dict[str, Any]:
    counted = [line for line in branches if line.taken == line.branches or line.reason is None]
    files = {}
    for name in dict.fromkeys(line.file for line in counted):
        lines = [line for line in counted if line.file == name]
        files[name] = {"branches": sum(line.branches for line in lines), "reached": sum(line.taken for line in lines)}
    total, reached = (sum(file[key] for file in files.values()) for key in ("branches", "reached"))
    left_out: dict[str, int] = {}
    for line in branches:
        if line.reason and line.taken < line.branches:
            left_out[line.reason] = left_out.get(line.reason, 0) + line.branches - line.taken
    missing = [
        f"{line.file}:{line.line}: {line.taken} of {line.branches}: {line.text}"
        for line in counted
        if line.taken < line.branches
    ]
    return {
        "files": files,
        "branches": total,
        "reached": reached,
        "share": round(reached / total, 4),
        "left_out": left_out,
        "missing": missing,
    }


def show(found: dict[str, Any]) -> None:
    table = Table("file", "branches", "reached", "share", title="Branches that graphs from the compiler reach")
    for name, file in [*found["files"].items(), ("all", found)]:
        table.add_row(name, str(file["branches"]), str(file["reached"]), f"{file['reached'] / file['branches']:.1%}")
    console = Console()
    console.print(table)
    for title, lines in (
        ("Not reached", found["missing"]),
        ("Left out", [f"{count} branches: {why}" for why, count in found["left_out"].items()]),
        ("Not counted", [f"{names}: {why}" for names, why in OTHERS.items()]),
    ):
        console.print(f"\n{title}:", *lines, sep="\n  ", markup=False, highlight=False)


def main() -> int:
    parser = argparse.ArgumentParser(description="branches that graphs from the compiler reach")
    parser.add_argument("--graphs", type=int, default=2000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--library", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.library:
        abi.library_path = lambda: options.library
        run(options.graphs)
        return 0
    with tempfile.TemporaryDirectory() as name:
        path = build(Path(name))
        subprocess.run([sys.executable, __file__, "--library", str(path), "--graphs", str(options.graphs)], check=True)
        found = report(measured(Path(name)))
    print(json.dumps(found)) if options.json else show(found)
    return 0 if found["share"] >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
