"""Appends drafts to a schedule, and switches the array where they need another mode or shape."""

from __future__ import annotations

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Draft, Schedule
from tvm_re2na.codegen.isa import Mode


class Writer:
    """`stage` is the number of the stage that the next drafts belong to."""

    def __init__(self, arch: Architecture) -> None:
        self.arch = arch
        self.schedule = Schedule()
        self.stage = 0
        self._setting: tuple[Mode, int] | None = None

    def append(self, draft: Draft) -> None:
        self.schedule.drafts.append(draft)
        self.schedule.stages.append(self.stage)

    def configure(self, mode: Mode, source: int, rows: int = 0) -> None:
        """The array's connections for what comes next; `rows` of its shape, or those of the array itself."""
        setting = (mode, rows or self.arch.array_rows)
        if setting != self._setting:
            self.append(Draft("RECONFIGURE", source, {"mode": int(mode), "rows": setting[1]}))
            self._setting = setting
