"""What the command says of a failure, and its exit code. What is neither an error of ours nor of the system keeps its traceback."""

from __future__ import annotations

import os
from dataclasses import dataclass

from tvm_re2na.cli.signals import Terminated
from tvm_re2na.codegen.errors import BAD_INPUT, Re2naError

INTERRUPTED, TERMINATED = 130, 143


class UsageError(Re2naError, ValueError):
    """The command cannot be what was meant; the message names the option or the file."""


@dataclass(frozen=True)
class Failure:
    """One line for stderr, and the exit code."""

    message: str
    code: int


def explain_failure(error: BaseException, model: str | os.PathLike[str] | None = None) -> Failure | None:
    """What to tell the user, or None if nobody expected this. `model`: the file, also of a program, that an error is about, if it
    does not say."""
    if isinstance(error, KeyboardInterrupt):
        return (
            Failure("terminated", TERMINATED) if isinstance(error, Terminated) else Failure("interrupted", INTERRUPTED)
        )
    if isinstance(error, Re2naError):
        message = _one_line(str(error))
        if error.of_model and model is not None and os.fspath(model) not in message:
            message = f"{os.fspath(model)}: {message}"
        return Failure(message, error.exit_code)
    if isinstance(error, MemoryError):
        return Failure("out of memory: " + (_one_line(str(error)) or "there is not enough for this"), BAD_INPUT)
    if isinstance(error, OSError):
        where = f"{error.filename}: " if error.filename else ""
        return Failure(where + (error.strerror or str(error)), BAD_INPUT)
    return None


def _one_line(text: str) -> str:
    return " ".join(text.split())
