"""The cycle model, slow and obvious. runtime/src/timing.c computes the same, to the cycle.

Three engines (LOAD, ARRAY, STORE) each execute their own instructions in program order. An instruction starts when its engine is
free and every engine in its `wait` set has given it a token that no earlier instruction took; when it has finished it gives one
token to each engine in its `signal` set. HALT starts when everything else has finished.

LOAD and STORE share the DRAM bus. A transfer has its engine and the bus for

    ceil(bytes / dram_bytes_per_cycle)

cycles and has finished `dram_latency` cycles later: requests are pipelined, so the next transfer need not wait for that. Of the
instructions that could start, the one that can start first does (LOAD before ARRAY before STORE where two could).

On the array, with pixels = n * out_h * out_w, k = kernel_h * kernel_w * in_c / groups, PEs = array_rows * array_columns:

    RECONFIGURE  reconfigure_cycles
    CONV         array_fill_cycles + ceil(pixels / array_columns) * k * mac_interval + mac_latency
                 + ceil(out_c * min(array_columns, pixels) / sram_bytes_per_cycle)
    DENSE        array_fill_cycles + n * in_c * mac_interval
                 + (mac_latency + ceil(n * out_c / sram_bytes_per_cycle) if last)
    POOL         array_fill_cycles + ceil(outputs / PEs) * kernel_h * kernel_w * alu_interval
                 + ceil(min(outputs, PEs) / sram_bytes_per_cycle), outputs = pixels * in_c
    ELTWISE      array_fill_cycles + ceil(bytes / PEs) * operands * alu_interval + ceil(min(bytes, PEs) / sram_bytes_per_cycle)
    HALT         0

All of this is an ASSUMPTION but the sizes of the array and the latency of a multiply-accumulate. The results of one pass over the
array leave while the next pass computes; only those of the last pass are seen, hence the last term. In grouped mode every PE is
assumed to get an input of its own, so that it is as fast as conv mode.
"""

from __future__ import annotations

from collections import deque

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.isa import ENGINES, Engine, Instruction
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.result import Span, Timing


class DeadlockError(RuntimeError):
    """An engine waits for a token that never comes, or a token is never taken."""


def duration(arch: Architecture, at: Instruction) -> int:
    """Cycles for which the instruction has its engine."""
    fill = arch.array_fill_cycles
    if at.name == "RECONFIGURE":
        return arch.reconfigure_cycles
    if at.name in ("LOAD", "STORE"):
        return _ceil(at["bytes"] * at["rows"] * at["planes"], arch.dram_bytes_per_cycle)
    if at.name == "CONV":
        pixels = at["n"] * at["out_h"] * at["out_w"]
        k = at["kernel_h"] * at["kernel_w"] * at["in_c"] // at["groups"]
        passes = _ceil(pixels, arch.array_columns)
        leave = _ceil(at["out_c"] * min(arch.array_columns, pixels), arch.sram_bytes_per_cycle)
        return fill + passes * k * arch.mac_interval + arch.mac_latency + leave
    if at.name == "DENSE":
        leave = arch.mac_latency + _ceil(at["n"] * at["out_c"], arch.sram_bytes_per_cycle) if at["last"] else 0
        return fill + at["n"] * at["in_c"] * arch.mac_interval + leave
    if at.name == "POOL":
        outputs = at["n"] * at["out_h"] * at["out_w"] * at["in_c"]
        return fill + _alu(arch, outputs, at["kernel_h"] * at["kernel_w"])
    if at.name == "ELTWISE":
        return fill + _alu(arch, at["bytes"], 1 if at["unary"] else 2)
    return 0


def _alu(arch: Architecture, outputs: int, operands: int) -> int:
    leave = _ceil(min(outputs, arch.pe_count), arch.sram_bytes_per_cycle)
    return _ceil(outputs, arch.pe_count) * operands * arch.alu_interval + leave


def timing(program: Program) -> Timing:
    """When each instruction of one run starts and finishes; raises DeadlockError."""
    replay = _Replay(program)
    while any(replay.queues.values()):
        replay.step()
    left = [(giver.name, taker.name) for (giver, taker), tokens in replay.tokens.items() if tokens]
    if left:
        raise DeadlockError(f"tokens are never taken: {left}")
    spans = tuple(replay.spans[index] for index in range(len(program.instructions)))
    return Timing(spans, max(span.finish for span in spans))


class _Replay:
    def __init__(self, program: Program) -> None:
        self.arch = program.arch
        self.instructions = program.instructions
        self.queues = {
            engine: deque(index for index, at in enumerate(program.instructions) if at.engine is engine)
            for engine in ENGINES
        }
        self.tokens: dict[tuple[Engine, Engine], deque[int]] = {
            (giver, taker): deque() for giver in ENGINES for taker in ENGINES
        }
        self.free = dict.fromkeys(ENGINES, 0)
        self.bus = 0
        self.spans: dict[int, Span] = {}

    def step(self) -> None:
        starts = {engine: self._start(engine) for engine in ENGINES}
        possible = {engine: start for engine, start in starts.items() if start is not None}
        if not possible:
            stuck = [f"{queue[0]} ({self.instructions[queue[0]].name})" for queue in self.queues.values() if queue]
            raise DeadlockError(f"instructions wait for ever: {', '.join(stuck)}")
        engine = min(possible, key=lambda name: (possible[name], name))
        self._execute(engine, possible[engine])

    def _start(self, engine: Engine) -> int | None:
        """When the engine's next instruction could start, or None if it has none or lacks a token."""
        if not self.queues[engine]:
            return None
        at = self.instructions[self.queues[engine][0]]
        times = [self.free[engine]]
        if engine is not Engine.ARRAY:
            times.append(self.bus)
        if at.name == "HALT":
            if self.queues[Engine.LOAD] or self.queues[Engine.STORE]:
                return None
            times += [span.finish for span in self.spans.values()]
        for giver in _engines(at.wait):
            if not self.tokens[giver, engine]:
                return None
            times.append(self.tokens[giver, engine][0])
        return max(times)

    def _execute(self, engine: Engine, start: int) -> None:
        index = self.queues[engine].popleft()
        at = self.instructions[index]
        over = start + duration(self.arch, at)
        finish = over
        if engine is not Engine.ARRAY:
            self.bus = over
            finish = over + self.arch.dram_latency
        self.free[engine] = over
        self.spans[index] = Span(start, finish)
        for giver in _engines(at.wait):
            self.tokens[giver, engine].popleft()
        for taker in _engines(at.signal):
            self.tokens[engine, taker].append(finish)


def _engines(bits: int) -> list[Engine]:
    return [engine for engine in ENGINES if bits >> engine & 1]


def _ceil(value: int, unit: int) -> int:
    return -(-value // unit)
