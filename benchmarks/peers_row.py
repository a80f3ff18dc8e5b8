"""What is known of one tool at one point, and how a foreign tool is run."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path


class MissingTool(Exception):
    """A tool is not there, or does not take the network; the message says why."""


@dataclass(frozen=True)
class Row:
    """Figures of one inference. `peak` in MACs a cycle; `cpu_seconds` is what the tool took; `note`: why figures are none, or what
    they leave out; `fits`: whether the SRAM that the tool uses is no larger than the machine's."""

    network: str
    sram_bytes: int
    tool: str
    peak: float
    cycles: int | None = None
    dram_bytes: int | None = None
    sram_used: int | None = None
    cpu_seconds: float | None = None
    fits: bool = True
    note: str = ""


def run(command: Sequence[object], folder: Path) -> tuple[str, float]:
    """What the command prints, and the CPU seconds of its process; raises MissingTool with its last words where it fails."""
    before = _child_seconds()
    done = subprocess.run([str(part) for part in command], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode:
        words = (done.stderr.strip() or done.stdout.strip() or "no words").splitlines()[-1]
        raise MissingTool(words[:160])
    return done.stdout, _child_seconds() - before


def check_package(python: Path, package: str, distribution: str, advice: str = "make peers") -> str:
    """The version of a package that this interpreter has; raises MissingTool where there is none."""
    if not python.exists():
        raise MissingTool(f"{distribution} is not installed: there is no {python} (`{advice}`)")
    code = f"import {package}; from importlib.metadata import version; print(version('{distribution}'))"
    done = subprocess.run([str(python), "-c", code], capture_output=True, text=True, check=False)
    if done.returncode:
        raise MissingTool(f"{distribution} is not installed in {python}: {done.stderr.strip().splitlines()[-1]}")
    return f"{distribution} {done.stdout.strip()}"


def _child_seconds() -> float:
    if sys.platform == "win32":
        return 0.0
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
