"""Which exceptions are expected failures, and the exit code of each. Anything else is a bug of ours and keeps its traceback."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tvm_re2na.cli.signals import Terminated

BAD_INPUT, CANNOT_RUN, MISSING_PACKAGE, WORKERS_LOST, INTERRUPTED, TERMINATED = 2, 3, 4, 5, 130, 143

# by name, so that this file imports none of them
EXPECTED = {
    "ArchitectureError": BAD_INPUT,
    "CacheError": BAD_INPUT,
    "ClusterError": BAD_INPUT,
    "DataError": BAD_INPUT,
    "GuestError": BAD_INPUT,
    "JournalError": BAD_INPUT,
    "ModelError": BAD_INPUT,
    "PlotError": BAD_INPUT,
    "ProcessorError": BAD_INPUT,
    "ProgramError": BAD_INPUT,
    "QuantizeError": BAD_INPUT,
    "SweepError": BAD_INPUT,
    "UsageError": BAD_INPUT,
    "CompileError": CANNOT_RUN,
    "GraphError": CANNOT_RUN,
    "HazardError": CANNOT_RUN,
    "SimulatorError": CANNOT_RUN,
    "TimingError": CANNOT_RUN,
    "MissingPackageError": MISSING_PACKAGE,
    "VersionError": WORKERS_LOST,
    "WorkersLostError": WORKERS_LOST,
}


@dataclass(frozen=True)
class Failure:
    """One line for stderr, and the exit code."""

    message: str
    code: int


def explain_failure(error: BaseException, model: str | os.PathLike[str] | None = None) -> Failure | None:
    """What to tell the user, or None if nobody expected this. `model`: the file that a ModelError is about, if it does not say."""
    if isinstance(error, KeyboardInterrupt):
        return (
            Failure("terminated", TERMINATED) if isinstance(error, Terminated) else Failure("interrupted", INTERRUPTED)
        )
    kinds = {kind.__name__ for kind in type(error).__mro__}
    for kind in type(error).__mro__:
        if kind.__module__.startswith("tvm_re2na.") and kind.__name__ in EXPECTED:
            message = _one_line(str(error))
            if "ModelError" in kinds and model is not None and os.fspath(model) not in message:
                message = f"{os.fspath(model)}: {message}"
            return Failure(message, EXPECTED[kind.__name__])
    if isinstance(error, MemoryError):
        return Failure("out of memory: " + (_one_line(str(error)) or "there is not enough for this"), BAD_INPUT)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Failure(where + (error.strerror or str(error)), BAD_INPUT)
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
