"""Which exceptions are expected failures, and the exit code of each. Anything else is a bug of ours and keeps its traceback."""

from __future__ import annotations

from dataclasses import dataclass

BAD_INPUT, CANNOT_RUN, MISSING_PACKAGE, INTERRUPTED = 2, 3, 4, 130

# by name, so that this file imports none of them
EXPECTED = {
    "ArchitectureError": BAD_INPUT,
    "DataError": BAD_INPUT,
    "GuestError": BAD_INPUT,
    "ModelError": BAD_INPUT,
    "PlotError": BAD_INPUT,
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
}


@dataclass(frozen=True)
class Failure:
    """One line for stderr, and the exit code."""

    message: str
    code: int


def explain_failure(error: BaseException) -> Failure | None:
    """What to tell the user, or None if nobody expected this."""
    if isinstance(error, KeyboardInterrupt):
        return Failure("interrupted", INTERRUPTED)
    for kind in type(error).__mro__:
        if kind.__module__.startswith("tvm_re2na.") and kind.__name__ in EXPECTED:
            return Failure(_one_line(str(error)), EXPECTED[kind.__name__])
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Failure(where + (error.strerror or str(error)), BAD_INPUT)
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
