"""The base of every error of ours, and what the compiler raises when a network cannot be mapped."""

from __future__ import annotations

from typing import ClassVar

BAD_INPUT, CANNOT_RUN, MISSING_PACKAGE, WORKERS_LOST = 2, 3, 4, 5


class Re2naError(Exception):
    """Something that a user can mend; the message names the thing, the value and the limit. `exit_code` is the command's."""

    exit_code: ClassVar[int] = BAD_INPUT
    of_model: ClassVar[bool] = False  # whether it is about a model, whose file whoever read it can name


class CompileError(Re2naError, ValueError):
    """The network does not fit the machine; the message names the operator, what it needs, what there is, the excess."""

    exit_code = CANNOT_RUN


class UnitTooLarge(CompileError):
    """Even the most frugal way of working of operator number `source` needs more SRAM than there is; sizes in bytes."""

    def __init__(self, source: int, name: str, required: int, available: int) -> None:
        excess = required - available
        super().__init__(f"{name}: needs {required} bytes of SRAM, {available} are available, {excess} too many")
        self.source = source
        self.required = required
        self._arguments = (source, name, required, available)

    def __reduce__(self) -> tuple[type[UnitTooLarge], tuple[int, str, int, int]]:
        """As it was made: it may have to cross from a worker process."""
        return type(self), self._arguments
