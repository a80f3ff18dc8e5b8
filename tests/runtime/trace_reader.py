"""Reads a file for Perfetto back, as its trace_processor would: slices are a stack on each track, arrows join by number."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from perfetto.protos.perfetto.trace import perfetto_trace_pb2 as messages


@dataclass
class ReadSlice:
    """Times in ns; `depth` 0 lies in no other slice. `gives` and `takes` are numbers of arrows."""

    name: str
    start: int
    depth: int
    notes: dict[str, int | str]
    gives: list[int]
    takes: list[int]
    finish: int = -1


@dataclass
class ReadTrack:
    """Slices by their start, or (ns, value) of a counter. `thread`: (pid, tid, name)."""

    name: str
    parent: int
    doc: str
    unit: str
    thread: tuple[int, int, str] | None
    slices: list[ReadSlice] = field(default_factory=list)
    steps: list[tuple[int, float]] = field(default_factory=list)


@dataclass
class ReadTrace:
    """`arrows`: (giver, taker), in the order of their numbers."""

    process: str
    labels: list[str]
    tracks: list[ReadTrack]
    arrows: list[tuple[ReadSlice, ReadSlice]]

    def named(self, name: str) -> list[ReadTrack]:
        return [track for track in self.tracks if track.name == name]

    def only(self, name: str) -> ReadTrack:
        (track,) = self.named(name)
        return track


def read_trace(content: bytes) -> ReadTrace:
    """Raises AssertionError where Perfetto would drop something: packets that go back in time, events on no track, a slice that
    ends without having begun or never ends, an arrow without both of its ends."""
    reader = _Reader()
    for packet in messages.Trace.FromString(content).packet:
        assert packet.trusted_packet_sequence_id, "a packet of nobody"
        if packet.HasField("track_descriptor"):
            reader.describe(packet.track_descriptor)
        else:
            reader.event(packet.timestamp, packet.track_event)
    return reader.done()


def read_file(path: Path) -> ReadTrace:
    """A file that is not packed."""
    return read_trace(path.read_bytes())


class _Reader:
    def __init__(self) -> None:
        self.now = 0
        self.processes: dict[int, Any] = {}
        self.tracks: dict[int, ReadTrack] = {}
        self.open: dict[int, list[ReadSlice]] = defaultdict(list)
        self.given: dict[int, ReadSlice] = {}
        self.arrows: dict[int, tuple[ReadSlice, ReadSlice]] = {}

    def describe(self, message: Any) -> None:
        assert message.uuid not in self.tracks and message.uuid not in self.processes, "two tracks of one number"
        if message.HasField("process"):
            self.processes[message.uuid] = message.process
            return
        assert message.parent_uuid in self.processes, "a track of no process"
        thread = message.thread
        named = (thread.pid, thread.tid, thread.thread_name) if message.HasField("thread") else None
        self.tracks[message.uuid] = ReadTrack(
            message.name, message.parent_uuid, message.description, message.counter.unit_name, named
        )

    def event(self, now: int, message: Any) -> None:
        assert now >= self.now, "back in time"
        self.now = now
        track, stack = self.tracks[message.track_uuid], self.open[message.track_uuid]
        if message.type == message.TYPE_COUNTER:
            value = message.counter_value if message.HasField("counter_value") else message.double_counter_value
            track.steps.append((now, value))
        elif message.type == message.TYPE_SLICE_END:
            assert stack, f"{track.name}: an end without a begin"
            stack.pop().finish = now
        else:
            assert message.type == message.TYPE_SLICE_BEGIN
            begun = ReadSlice(message.name, now, len(stack), _notes(message), [], [])
            self._arrows(begun, message)
            track.slices.append(begun)
            stack.append(begun)

    def _arrows(self, begun: ReadSlice, message: Any) -> None:
        for number in message.terminating_flow_ids:
            assert number in self.given and number not in self.arrows, f"arrow {number} ends before it begins, or twice"
            self.arrows[number] = (self.given[number], begun)
        for number in message.flow_ids:
            assert number not in self.given, f"arrow {number} begins twice"
            self.given[number] = begun
        begun.gives, begun.takes = list(message.flow_ids), list(message.terminating_flow_ids)

    def done(self) -> ReadTrace:
        assert not any(self.open.values()), "a slice never ends"
        assert self.given.keys() == self.arrows.keys(), "an arrow has no end"
        (process,) = self.processes.values()
        arrows = [pair for _, pair in sorted(self.arrows.items())]
        return ReadTrace(process.process_name, list(process.process_labels), list(self.tracks.values()), arrows)


def _notes(message: Any) -> dict[str, int | str]:
    return {
        note.name: note.int_value if note.HasField("int_value") else note.string_value
        for note in message.debug_annotations
    }
