"""The timeline of a run as a Chrome trace, for chrome://tracing or ui.perfetto.dev: one lane per engine."""

from __future__ import annotations

import json
import os
from typing import Any

from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.codegen.isa import ENGINES
from tvm_re2na.codegen.isa.assembler import source_name
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.result import Timing


def trace_events(program: Program, timing: Timing) -> list[dict[str, Any]]:
    """One slice per instruction; microseconds at the assumed clock. A transfer's slice includes its latency."""
    events: list[dict[str, Any]] = [
        {"ph": "M", "name": "thread_name", "pid": 0, "tid": int(engine), "args": {"name": engine.name.lower()}}
        for engine in ENGINES
    ]
    names = [source.name for source in program.sources]
    for index, (at, span) in enumerate(zip(program.instructions, timing.instructions, strict=True)):
        source = source_name(at, names) or ""
        events.append(
            {
                "ph": "X",
                "name": f"{at.name} {source}".rstrip(),
                "cat": at.name.lower(),
                "pid": 0,
                "tid": int(at.engine),
                "ts": span.start / program.arch.clock_mhz,
                "dur": (span.finish - span.start) / program.arch.clock_mhz,
                "args": {"index": index, "source": source, "start": span.start, "finish": span.finish},
            }
        )
    return events


def write_trace(program: Program, path: str | os.PathLike[str]) -> None:
    """Write the trace of one run of `program`."""
    events = trace_events(program, LoadedProgram(program).timing)
    write_atomically(path, json.dumps({"traceEvents": events, "displayTimeUnit": "ns"}).encode())
