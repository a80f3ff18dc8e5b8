"""What instructions work on: memories, the state between two instructions, and the arithmetic that they share."""

from __future__ import annotations

from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import AccOverflow, Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.errors import CANNOT_RUN, Re2naError
from tvm_re2na.codegen.isa import Mode

Ints: TypeAlias = npt.NDArray[np.int64]


class SimulationError(Re2naError, RuntimeError):
    """The program breaks a rule; the message names the instruction."""

    exit_code = CANNOT_RUN


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

    def write_int32(self, address: int, values: Ints) -> None:
        """Modulo 2**32."""
        raw: Ints = values.reshape(-1).astype("<i4").view(np.int8).astype(np.int64)
        self.write(address + np.arange(raw.size), raw)

    def place(self, address: int, values: npt.NDArray[np.int8]) -> None:
        """Bytes (n,) side by side, without an array of their addresses: constants can be large."""
        self._check(np.array([address, address + values.size - 1][: values.size], np.int64))
        self.bytes[address : address + values.size] = values
        self.written[address : address + values.size] = True

    def _check(self, addresses: Ints) -> None:
        if addresses.size and (addresses.min() < 0 or addresses.max() >= self.bytes.size):
            worst = addresses.max() if addresses.max() >= self.bytes.size else addresses.min()
            raise OutOfBounds(f"touches {self.name} address {worst}, it has {self.bytes.size} bytes")


class Machine:
    """The state between two instructions."""

    def __init__(self, arch: Architecture, dram_bytes: int, constants: tuple[int, int] = (0, 0)) -> None:
        self.arch = arch
        self.constants = constants  # where the program's begin in DRAM and where they end
        self.sram = Memory("SRAM", arch.sram_bytes)
        self.dram = Memory("DRAM", dram_bytes)
        self.mode: Mode | None = None
        self.rows = arch.array_rows  # of the array's shape
        self.sums: Ints | None = None  # (n, out_c), between the parts of a dense layer
        self.overflows = 0  # of the instruction at work


def wrap(value: Ints, bits: int) -> Ints:
    """Two's complement of `bits` bits."""
    half = 1 << (bits - 1)
    return (value + half) % (2 * half) - half


def start(machine: Machine, bias: Ints) -> Ints:
    """The sums before the first step."""
    return _saturated(machine, bias) if machine.arch.acc_overflow is AccOverflow.SATURATE else bias


def resume(machine: Machine, sums: Ints) -> Ints:
    """Parked sums before the next step. One that no saturating accumulator has parked is brought into its range, which counts as no
    overflow."""
    saturates = machine.arch.acc_overflow is AccOverflow.SATURATE
    return sums.clip(machine.arch.acc_min, machine.arch.acc_max) if saturates else sums


def accumulate(machine: Machine, sums: Ints, x: Ints, weights: Ints) -> Ints:
    """`sums` (pixels, outputs) plus x (pixels, k) times weights (k, outputs); exact unless the accumulator saturates."""
    if machine.arch.acc_overflow is AccOverflow.WRAP:
        return sums + _product(x, weights)
    for k in range(x.shape[1]):
        sums = _saturated(machine, sums + x[:, k : k + 1] * weights[k])
    return sums


def cut(machine: Machine, sums: Ints, lsb: int | Ints, lo: int, hi: int) -> Ints:
    """Finished sums (..., outputs) to results; one `lsb` for all, or one for each output."""
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


def need(machine: Machine, mode: Mode) -> None:
    if mode is not Mode.DENSE:
        need_no_sums(machine)
    if machine.mode is not mode:
        raise SimulationError(
            f"needs mode {mode.name}, the array is in {machine.mode.name if machine.mode else 'none'}"
        )


def need_no_sums(machine: Machine) -> None:
    if machine.sums is not None:
        raise SimulationError("the sums of an unfinished DENSE are in the PEs")
