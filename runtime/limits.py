"""What a program may ask of the host: `re2na_limits`, and where it comes from if nobody gives it."""

from __future__ import annotations

import os
from dataclasses import dataclass, fields

from tvm_re2na.runtime.abi_table import DEFAULT_MEMORY_BYTES, DEFAULT_WORK, CLimits

VARIABLES = {"memory_bytes": "RE2NA_MEMORY_LIMIT", "work": "RE2NA_WORK_LIMIT"}


@dataclass(frozen=True)
class Limits:
    """`memory_bytes`: the program's tables, one machine, inputs and outputs. `work`: element steps of one run."""

    memory_bytes: int = DEFAULT_MEMORY_BYTES
    work: int = DEFAULT_WORK

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if not 0 <= value < 1 << 64:
                raise ValueError(f"{field.name} = {value} is outside 0..{(1 << 64) - 1}")

    @classmethod
    def from_environment(cls) -> Limits:
        """The default ones, but for those that the environment holds. Raises ValueError naming a variable that is no number."""
        given = {}
        for name, variable in VARIABLES.items():
            text = os.environ.get(variable)
            if text is None:
                continue
            if not (text.isascii() and text.isdigit() and int(text[:21]) < 1 << 64):
                raise ValueError(f"{variable} = '{text[:40]}' is no number in 0..{(1 << 64) - 1}")
            given[name] = int(text)
        return cls(**given)

    def to_c(self) -> CLimits:
        return CLimits(self.memory_bytes, self.work)
