"""The slow, obvious simulator: the definition of what each instruction does.

Arithmetic. A sum starts from its bias (int32; the rounding half is folded into it) and takes one product of int8 numbers per step
k. An accumulator that wraps keeps the sum modulo 2**acc_bits: it overflows, once, where the exact sum does not fit. One that
saturates is clamped after the bias and after every step, in order of k, and each clipping is an overflow. A finished sum is
shifted right arithmetically by `lsb`, brought to the data width (clamped or wrapped) and clamped to lo..hi. The output path of a
convolution then keeps the maximum of a window of results, or adds a second operand to each as ELTWISE does.

Absent steps. Where `steps` < k, a bitmap in SRAM says which steps have a line of weights: line j belongs to the j-th set bit. A
step without a line adds nothing. Set bits beyond the lines have none, and lines beyond the set bits are not used.

An instruction reads everything it needs before it writes, and writes in the order of its output. What has never been written
cannot be read: that is an UninitialisedRead. Instructions take effect in program order; where tokens do not imply that order, it
is a HazardError, raised before the first of them (`runtime/hazards.py`).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import AccOverflow, Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.isa import Instruction, Mode
from tvm_re2na.codegen.program import Program, ProgramTensor
from tvm_re2na.runtime import hazards
from tvm_re2na.runtime.result import Counter, Counters, Counts, Int8Array, RunResult, check_inputs

Ints: TypeAlias = npt.NDArray[np.int64]


class SimulationError(RuntimeError):
    """The program breaks a rule; the message names the instruction."""


class OutOfBounds(SimulationError):
    """An instruction touches a byte that a memory does not have."""


class UninitialisedRead(SimulationError):
    """An instruction reads a byte that was never written."""


class Memory:
    """Bytes, and which of them have been written. Addresses come as arrays, results as int64 of the same shape."""

    def __init__(self, name: str, size: int) -> None:
        self.name = name
        self.bytes = np.zeros(size, np.int8)
        self.written = np.zeros(size, np.bool_)

    def read(self, addresses: Ints) -> Ints:
        self._check(addresses)
        unwritten = addresses[~self.written[addresses]]
        if unwritten.size:
            raise UninitialisedRead(f"reads {self.name} address {unwritten.min()}, which was never written")
        return self.bytes[addresses].astype(np.int64)

    def read_int32(self, address: int, count: int) -> Ints:
        raw = self.read(address + np.arange(4 * count)).astype(np.int8)
        return raw.view("<i4").astype(np.int64)

    def write(self, addresses: Ints, values: Ints) -> None:
        """Where an address is there twice, the later value stays."""
        self._check(addresses)
        self.bytes[addresses.reshape(-1)] = values.reshape(-1)
        self.written[addresses.reshape(-1)] = True

    def _check(self, addresses: Ints) -> None:
        if addresses.size and (addresses.min() < 0 or addresses.max() >= self.bytes.size):
            worst = addresses.max() if addresses.max() >= self.bytes.size else addresses.min()
            raise OutOfBounds(f"touches {self.name} address {worst}, it has {self.bytes.size} bytes")


class Machine:
    """The state between two instructions."""

    def __init__(self, arch: Architecture, dram_bytes: int) -> None:
        self.arch = arch
        self.sram = Memory("SRAM", arch.sram_bytes)
        self.dram = Memory("DRAM", dram_bytes)
        self.mode: Mode | None = None
        self.rows = arch.array_rows  # of the array's shape
        self.sums: Ints | None = None  # (n, out_c), between the parts of a dense layer
        self.overflows = 0  # of the instruction at work


# ---- arithmetic ----


def wrap(value: Ints, bits: int) -> Ints:
    """Two's complement of `bits` bits."""
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def start(machine: Machine, bias: Ints) -> Ints:
    """The sums before the first step."""
    return _saturated(machine, bias) if machine.arch.acc_overflow is AccOverflow.SATURATE else bias


def accumulate(machine: Machine, sums: Ints, x: Ints, weights: Ints) -> Ints:
    """`sums` (pixels, outputs) plus x (pixels, k) times weights (k, outputs); exact unless the accumulator saturates."""
    if machine.arch.acc_overflow is AccOverflow.WRAP:
        return sums + _product(x, weights)
    for k in range(x.shape[1]):
        sums = _saturated(machine, sums + x[:, k : k + 1] * weights[k])
    return sums


def cut(machine: Machine, sums: Ints, lsb: int, lo: int, hi: int) -> Ints:
    """Finished sums to results."""
    arch = machine.arch
    if arch.acc_overflow is AccOverflow.WRAP:
        machine.overflows += int(((sums < arch.acc_min) | (sums > arch.acc_max)).sum())
    return fit(arch, wrap(sums, arch.acc_bits) >> lsb, lo, hi)


def fit(arch: Architecture, value: Ints, lo: int, hi: int) -> Ints:
    """To the data width, then to lo..hi."""
    if arch.cut_overflow is CutOverflow.WRAP:
        value = wrap(value, arch.data_bits)
    return value.clip(arch.data_min, arch.data_max).clip(lo, hi)


def shift_right(arch: Architecture, value: Ints, shift: int) -> Ints:
    """Cut off `shift` bits, rounding as the machine does."""
    half = 1 << (shift - 1) if shift > 0 and arch.rounding is Rounding.HALF_UP else 0
    return (value + half) >> shift


def _saturated(machine: Machine, sums: Ints) -> Ints:
    clamped = sums.clip(machine.arch.acc_min, machine.arch.acc_max)
    machine.overflows += int((clamped != sums).sum())
    return clamped


def _product(x: Ints, weights: Ints) -> Ints:
    """x @ weights, exactly: float64 holds every partial sum of int8 products up to 2**39 steps."""
    return (x.astype(np.float64) @ weights.astype(np.float64)).astype(np.int64)


# ---- addresses ----


def _grid(*axes: tuple[int, int]) -> Ints:
    """Sums of index times stride over all (count, stride) axes, an array with one axis for each."""
    total = np.zeros([count for count, _ in axes], np.int64)
    for axis, (count, stride) in enumerate(axes):
        shape = [1] * len(axes)
        shape[axis] = count
        total = total + (np.arange(count, dtype=np.int64) * stride).reshape(shape)
    return total


def _window(machine: Machine, at: Instruction, size: tuple[int, int], channels: Ints, padding: int) -> Ints:
    """What each of n x size pixels sees: (pixels, kernel_h, kernel_w, channels), `padding` outside the input."""
    image, out_y, out_x = (
        index.reshape(-1, 1, 1) for index in np.meshgrid(*map(np.arange, (at["n"], *size)), indexing="ij")
    )
    y = out_y * at["stride_h"] - at["pad_top"] + (np.arange(at["kernel_h"]) * at["dilation_h"]).reshape(1, -1, 1)
    x = out_x * at["stride_w"] - at["pad_left"] + (np.arange(at["kernel_w"]) * at["dilation_w"]).reshape(1, 1, -1)
    inside = (y >= 0) & (y < at["in_h"]) & (x >= 0) & (x < at["in_w"])
    first = at["in_addr"] + image * at["in_image_stride"] + y * at["in_row_stride"] + x * at["in_pixel_stride"]
    seen = np.full((*inside.shape, channels.size), padding, np.int64)
    seen[inside] = machine.sram.read(first[inside][:, None] + channels)
    return seen


def _output(at: Instruction, channels: int, side: str = "out") -> Ints:
    """Addresses (pixels, channels) of the output, or of the second operand (`side` = add), which has its shape."""
    pixels = _grid(
        (at["n"], at[f"{side}_image_stride"]),
        (at["out_h"], at[f"{side}_row_stride"]),
        (at["out_w"], at[f"{side}_pixel_stride"]),
        (channels, 1),
    )
    return at[f"{side}_addr"] + pixels.reshape(-1, channels)


def _present(machine: Machine, at: Instruction, k: int) -> Ints:
    """The steps of k that have a line of weights, in its order."""
    if at["steps"] > k:
        raise SimulationError(f"steps = {at['steps']}, there are {k}")
    if at["steps"] == k:
        return np.arange(k)
    bitmap = machine.sram.read(at["mask_addr"] + np.arange(-(-k // 8))).astype(np.uint8)
    return np.flatnonzero(np.unpackbits(bitmap, count=k, bitorder="little"))[: at["steps"]]


def _weights(machine: Machine, at: Instruction) -> Ints:
    """(steps, out_c), all lines."""
    return machine.sram.read(at["weight_addr"] + _grid((at["steps"], at["out_c"]), (at["out_c"], 1)))


def _transfer(at: Instruction, memory: str) -> Ints:
    return at[f"{memory}_addr"] + _grid(
        (at["planes"], at[f"{memory}_plane_stride"]), (at["rows"], at[f"{memory}_row_stride"]), (at["bytes"], 1)
    )


# ---- one function per instruction ----


def halt(machine: Machine, at: Instruction) -> Counter:
    del at
    _need_no_sums(machine)
    return Counter()


def reconfigure(machine: Machine, at: Instruction) -> Counter:
    _need_no_sums(machine)
    mode = Mode(at["mode"])
    shapes = machine.arch.shapes if mode in (Mode.CONV, Mode.GROUPED) else machine.arch.shapes[:1]
    if at["rows"] not in [rows for rows, _ in shapes]:
        raise SimulationError(f"rows = {at['rows']}, the shapes in mode {mode.name} are {shapes}")
    machine.mode, machine.rows = mode, at["rows"]
    return Counter()


def load(machine: Machine, at: Instruction) -> Counter:
    machine.sram.write(_transfer(at, "sram"), machine.dram.read(_transfer(at, "dram")))
    return Counter(dram_bytes=at["bytes"] * at["rows"] * at["planes"])


def store(machine: Machine, at: Instruction) -> Counter:
    machine.dram.write(_transfer(at, "dram"), machine.sram.read(_transfer(at, "sram")))
    return Counter(dram_bytes=at["bytes"] * at["rows"] * at["planes"])


def conv(machine: Machine, at: Instruction) -> Counter:
    _need(machine, Mode.CONV if at["groups"] == 1 else Mode.GROUPED)
    _need_shape(machine, at)
    channels, outputs = at["in_c"] // at["groups"], at["out_c"] // at["groups"]
    size = (at["out_h"] * at["pool_h"], at["out_w"] * at["pool_w"])
    present = _present(machine, at, at["kernel_h"] * at["kernel_w"] * channels)
    weights = _weights(machine, at)[: present.size]
    bias = machine.sram.read_int32(at["bias_addr"], at["out_c"])
    results = np.empty((at["n"] * size[0] * size[1], at["out_c"]), np.int64)
    for group in range(at["groups"]):
        of_group = slice(group * outputs, (group + 1) * outputs)
        seen = _window(machine, at, size, group * channels + np.arange(channels), padding=0)
        x = seen.reshape(len(seen), -1)[:, present]
        sums = start(machine, np.tile(bias[of_group], (len(x), 1)))
        sums = accumulate(machine, sums, x, weights[:, of_group])
        results[:, of_group] = cut(machine, sums, at["lsb"], at["lo"], at["hi"])
    written = _pooled(at, results)
    if at["add"]:
        operand = machine.sram.read(_output(at, at["out_c"], "add"))
        written = _added(machine.arch, at, written, operand)
    machine.sram.write(_output(at, at["out_c"]), written)
    return Counter(macs=results.size * at["steps"], overflows=machine.overflows)


def _pooled(at: Instruction, results: Ints) -> Ints:
    """The maximum of each pool_h x pool_w window; (pixels, channels) to the same."""
    channels = results.shape[1]
    split = results.reshape(at["n"], at["out_h"], at["pool_h"], at["out_w"], at["pool_w"], channels)
    kept: Ints = split.max(axis=(2, 4))
    return kept.reshape(-1, channels)


def _added(arch: Architecture, at: Instruction, results: Ints, operand: Ints) -> Ints:
    total = shift_right(arch, results, at["shift_a"]) + shift_right(arch, operand, at["shift_b"])
    return fit(arch, total, at["add_lo"], at["add_hi"])


def dense(machine: Machine, at: Instruction) -> Counter:
    _need(machine, Mode.DENSE)
    x = machine.sram.read(at["in_addr"] + _grid((at["n"], at["in_image_stride"]), (at["in_c"], 1)))
    present = _present(machine, at, at["in_c"])
    weights = _weights(machine, at)[: present.size]
    if at["first"] == (machine.sums is not None):
        raise SimulationError("first = 1 while sums are in the PEs, or first = 0 while none are")
    if at["first"]:
        machine.sums = start(machine, np.tile(machine.sram.read_int32(at["bias_addr"], at["out_c"]), (at["n"], 1)))
    if machine.sums is None or machine.sums.shape != (at["n"], at["out_c"]):
        raise SimulationError("goes on from sums of another size")
    machine.sums = accumulate(machine, machine.sums, x[:, present], weights)
    if at["last"]:
        target = at["out_addr"] + _grid((at["n"], at["out_image_stride"]), (at["out_c"], 1))
        machine.sram.write(target, cut(machine, machine.sums, at["lsb"], at["lo"], at["hi"]))
        machine.sums = None
    return Counter(macs=at["n"] * at["steps"] * at["out_c"], overflows=machine.overflows)


def pool(machine: Machine, at: Instruction) -> Counter:
    _need(machine, Mode.POOL)
    seen = _window(machine, at, (at["out_h"], at["out_w"]), np.arange(at["in_c"]), at["pad_value"])
    machine.sram.write(_output(at, at["in_c"]), seen.max(axis=(1, 2)).clip(at["lo"], at["hi"]))
    return Counter()


def eltwise(machine: Machine, at: Instruction) -> Counter:
    _need(machine, Mode.ELTWISE)
    index = np.arange(at["bytes"])
    total = shift_right(machine.arch, machine.sram.read(at["a_addr"] + index), at["shift_a"])
    if not at["unary"]:
        total = total + shift_right(machine.arch, machine.sram.read(at["b_addr"] + index), at["shift_b"])
    machine.sram.write(at["out_addr"] + index, fit(machine.arch, total, at["lo"], at["hi"]))
    return Counter()


MEANING: dict[str, Callable[[Machine, Instruction], Counter]] = {
    "HALT": halt,
    "RECONFIGURE": reconfigure,
    "LOAD": load,
    "STORE": store,
    "CONV": conv,
    "DENSE": dense,
    "POOL": pool,
    "ELTWISE": eltwise,
}


def _need(machine: Machine, mode: Mode) -> None:
    if mode is not Mode.DENSE:
        _need_no_sums(machine)
    if machine.mode is not mode:
        raise SimulationError(
            f"needs mode {mode.name}, the array is in {machine.mode.name if machine.mode else 'none'}"
        )


def _need_shape(machine: Machine, at: Instruction) -> None:
    columns = machine.arch.pe_count // machine.rows
    if at["rows"] != machine.rows or at["out_c"] > machine.rows:
        raise SimulationError(f"rows = {at['rows']}, out_c = {at['out_c']}, the array's shape has {machine.rows} rows")
    if at["pool_h"] * at["pool_w"] > (1 if at["add"] else columns):
        raise SimulationError(f"window of {at['pool_h']} x {at['pool_w']}, add = {at['add']}, {columns} columns")


def _need_no_sums(machine: Machine) -> None:
    if machine.sums is not None:
        raise SimulationError("the sums of an unfinished DENSE are in the PEs")


# ---- a whole program ----


def run(program: Program, inputs: Sequence[Int8Array], *, check_hazards: bool = True) -> RunResult:
    """Run once; int8 inputs in program order and shape. Raises SimulationError or HazardError naming the instruction."""
    if check_hazards:
        hazards.check(program)
    machine = Machine(program.arch, program.dram_bytes)
    constants = np.frombuffer(program.constants, np.int8).astype(np.int64)
    machine.dram.write(program.constants_address + np.arange(constants.size), constants)
    for tensor, value in zip(program.inputs, check_inputs(program.inputs, inputs), strict=True):
        stored = value.reshape(tensor.stored).transpose(0, 2, 3, 1).astype(np.int64)
        machine.dram.write(tensor.address + np.arange(stored.size), stored)
    counters = [_step(machine, index, at) for index, at in enumerate(program.instructions)]
    outputs = [_fetch(machine, tensor) for tensor in program.outputs]
    return RunResult(outputs, _summed(program, counters))


def _step(machine: Machine, index: int, at: Instruction) -> Counter:
    machine.overflows = 0
    try:
        return MEANING[at.name](machine, at)
    except SimulationError as error:
        raise type(error)(f"instruction {index} ({at.name}): {error}") from error


def _fetch(machine: Machine, tensor: ProgramTensor) -> Int8Array:
    n, c, h, w = tensor.stored
    try:
        stored = machine.dram.read(tensor.address + np.arange(n * c * h * w))
    except SimulationError as error:
        raise type(error)(f"output '{tensor.name}': {error}") from error
    return stored.reshape(n, h, w, c).transpose(0, 3, 1, 2).reshape(tensor.shape).astype(np.int8)


def _summed(program: Program, counters: list[Counter]) -> Counters:
    sources = [Counter()] * len(program.sources)
    for at, counter in zip(program.instructions, counters, strict=True):
        if sources:
            sources[at.source] += counter
    return Counters(_table(counters), _table(sources), sum(counters, Counter()))


def _table(counters: Sequence[Counter]) -> Counts:
    rows = [(counter.macs, counter.overflows, counter.dram_bytes) for counter in counters]
    return np.array(rows, np.uint64).reshape(-1, 3)
