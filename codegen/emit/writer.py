"""Appends drafts to a schedule, and switches the array where they need another mode or shape."""

from __future__ import annotations

from dataclasses import replace
from typing import TypeAlias

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.draft import Draft, FinishedRows, Schedule
from tvm_re2na.codegen.isa import Mode

Setting: TypeAlias = tuple[Mode, int]  # rows of the array's shape


class Writer:
    """`stage` is the number of the stage that the next drafts belong to."""

    def __init__(self, arch: Architecture) -> None:
        self.arch = arch
        self.schedule = Schedule()
        self.stage = 0
        self._setting: Setting | None = None

    def append(self, draft: Draft) -> None:
        self.schedule.drafts.append(draft)
        self.schedule.stages.append(self.stage)

    def finish(self, result: FinishedRows) -> None:
        """The last draft has finished this."""
        self.schedule.drafts[-1] = replace(self.schedule.drafts[-1], finishes=result)

    def configure(self, setting: Setting, source: int) -> None:
        """The array's connections for what comes next."""
        if setting != self._setting:
            mode, rows = setting
            self.append(Draft("RECONFIGURE", source, {"mode": int(mode), "rows": rows}))
            self._setting = setting
