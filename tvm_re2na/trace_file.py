"""A run's timeline as a file for Perfetto (https://ui.perfetto.dev and its trace_processor), made with the package `perfetto`.

One process, a thread for each engine, tracks and counters beside them (docs/trace.md). Timestamps are nanoseconds at the machine's
clock, cycle 0 at 0; every slice of an instruction notes its cycles.
"""

from __future__ import annotations

import gzip
import importlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from enum import IntEnum
from pathlib import Path
from typing import Any

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.codegen.program import Program
from tvm_re2na.frontends import MissingPackageError
from tvm_re2na.runtime.library import LoadedProgram
from tvm_re2na.runtime.trace import CounterTrack, SliceTrack, Trace, TraceSlice, trace

PLAIN, PACKED = ".pftrace", ".pftrace.gz"  # Perfetto reads either
PID = 1
PROCESS = 1  # the number of its track; the others follow
SEQUENCE = 1  # all packets are from one writer


class TraceFileError(Re2naError, ValueError):
    """A trace cannot be written; the message names the file and what is wrong."""


def check_trace(path: str | os.PathLike[str]) -> None:
    """Before the work starts. Raises TraceFileError, or MissingPackageError where `perfetto` is not installed."""
    if not Path(path).name.endswith((PLAIN, PACKED)):
        raise TraceFileError(f"{path}: a trace's name ends in {PLAIN} or {PACKED}, not in '{Path(path).suffix}'")
    _messages()


def write_trace(program: Program, path: str | os.PathLike[str], name: str | None = None) -> None:
    """Of one run of `program`, called `name` (its graph's), whole or not at all; packed where the name ends in `.gz`.

    Raises as `check_trace`, SimulatorError for what is no valid program, and OSError.
    """
    check_trace(path)
    content = trace_bytes(trace(program, LoadedProgram(program).timing, name))
    write_atomically(path, gzip.compress(content, mtime=0) if Path(path).name.endswith(PACKED) else content)


def trace_bytes(found: Trace) -> bytes:
    """The file: all tracks, then all events in the order of time."""
    file = _messages().Trace()
    _describe_process(_packet(file).track_descriptor, found)
    tracks: tuple[SliceTrack | CounterTrack, ...] = (*found.counters, *found.tracks)
    numbers = range(PROCESS + 1, PROCESS + 1 + len(tracks))
    for number, track in zip(numbers, tracks, strict=True):
        _describe(_packet(file).track_descriptor, number, track)
    events = [event for number, track in zip(numbers, tracks, strict=True) for event in _events(number, track)]
    for event in sorted(events, key=lambda event: (event.cycle, event.phase)):
        packet = _packet(file)
        packet.timestamp = nanoseconds(event.cycle, found.clock_mhz)
        _fill(packet.track_event, event)
    content: bytes = file.SerializeToString(deterministic=True)
    return content


def nanoseconds(cycle: int, clock_mhz: int) -> int:
    """To the nearest; what comes later never gets an earlier one."""
    return (2000 * cycle + clock_mhz) // (2 * clock_mhz)


def _messages() -> Any:
    try:
        return importlib.import_module("perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    except ImportError as error:
        raise MissingPackageError("perfetto is not installed: pip install 'tvm_re2na[trace]'") from error
    except Exception as error:  # protobuf has an error of its own for messages that are newer than itself
        raise MissingPackageError(f"perfetto cannot be loaded ({error}): pip install 'tvm_re2na[trace]'") from error


def _packet(file: Any) -> Any:
    packet = file.packet.add()
    packet.trusted_packet_sequence_id = SEQUENCE
    return packet


def _describe_process(descriptor: Any, found: Trace) -> None:
    descriptor.uuid = PROCESS
    descriptor.process.pid = PID
    descriptor.process.process_name = f"Re²Na: {found.name}"
    clock = f"1 cycle is {1000 / found.clock_mhz:.6g} ns ({found.clock_mhz} MHz)"
    descriptor.process.process_labels.extend([clock, f"{found.cycles:,} cycles"])
    descriptor.child_ordering = descriptor.EXPLICIT


def _describe(descriptor: Any, number: int, track: SliceTrack | CounterTrack) -> None:
    descriptor.uuid, descriptor.parent_uuid = number, PROCESS
    descriptor.sibling_order_rank = number
    descriptor.name, descriptor.description = track.name, track.doc
    if isinstance(track, CounterTrack):
        descriptor.counter.unit_name = track.unit
    elif track.engine is not None:
        descriptor.thread.pid, descriptor.thread.tid = PID, PID + track.engine
        descriptor.thread.thread_name = track.name


class _Phase(IntEnum):
    """What happens in one cycle, in this order: so slices that follow each other do not nest, and tokens come before they go."""

    END = 0
    NO_TIME = 1  # a slice that begins and ends in this cycle
    BEGIN = 2
    COUNTER = 3


@dataclass(frozen=True)
class _Event:
    """On a track: a slice that begins, one that ends (None), or a counter's value from `cycle` on."""

    track: int
    cycle: int
    phase: _Phase
    what: TraceSlice | float | None


def _events(number: int, track: SliceTrack | CounterTrack) -> Iterator[_Event]:
    if isinstance(track, CounterTrack):
        yield from (_Event(number, cycle, _Phase.COUNTER, value) for cycle, value in track.steps)
    else:
        for each in track.slices:
            yield from _slice_events(number, each)


def _slice_events(number: int, each: TraceSlice) -> Iterator[_Event]:
    """What is inside begins later and ends earlier, also where that is the same cycle."""
    begin, end = (_Phase.BEGIN, _Phase.END) if each.start < each.finish else (_Phase.NO_TIME, _Phase.NO_TIME)
    yield _Event(number, each.start, begin, each)
    for inner in each.inside:
        yield from _slice_events(number, inner)
    yield _Event(number, each.finish, end, None)


def _fill(message: Any, event: _Event) -> None:
    message.track_uuid = event.track
    if event.what is None:
        message.type = message.TYPE_SLICE_END
    elif isinstance(event.what, TraceSlice):
        message.type = message.TYPE_SLICE_BEGIN
        _fill_slice(message, event.what)
    else:
        message.type = message.TYPE_COUNTER
        if isinstance(event.what, int):
            message.counter_value = event.what
        else:
            message.double_counter_value = event.what


def _fill_slice(message: Any, each: TraceSlice) -> None:
    message.name = each.name
    message.flow_ids.extend(each.gives)
    message.terminating_flow_ids.extend(each.takes)
    for name, value in each.notes.items():
        note = message.debug_annotations.add(name=name)
        if isinstance(value, int):
            note.int_value = value
        else:
            note.string_value = value
