"""Programs of a corpus against the reference: `python -m tests.fuzz.replay FOLDER... [--generated N] [--limit N]`.

The fuzz target compares the kernels with each other; what they agree on is held here against the definition. A program that the C
library refuses has to be refused for a reason; one that it accepts gives the reference's bits and counters on every kernel.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

import tests.fuzz.sanitized  # noqa: F401 - the library that RE2NA_SANITIZED names, if it does
from tests.runtime.programs import random_program
from tvm_re2na.codegen.program import Program, ProgramError
from tvm_re2na.runtime import reference
from tvm_re2na.runtime.instructions import machine
from tvm_re2na.runtime.library import Simulator, SimulatorError, kernels
from tvm_re2na.runtime.limits import Limits

LIMITS = Limits(memory_bytes=3 << 20, work=1 << 20)  # those of the target
LEAST_SHARE = 0.95  # of random programs: they are made to be accepted, but for the limits
POISON = -91  # 0xA5: what the C library's SRAM holds before a program writes it; its DRAM holds zeros


@contextmanager
def defined_memories() -> Iterator[None]:
    """The reference refuses to read what was never written; here it is given what the C library has there."""
    original = machine.Memory.__init__

    def init(self: machine.Memory, name: str, size: int) -> None:
        original(self, name, size)
        self.written[:] = True
        self.bytes[:] = POISON if name == "SRAM" else 0

    machine.Memory.__init__ = init  # type: ignore[method-assign]
    try:
        yield
    finally:
        machine.Memory.__init__ = original  # type: ignore[method-assign]


def check(data: bytes, limits: Limits = LIMITS) -> bool:
    """Whether the program is accepted. Raises AssertionError where a kernel and the reference differ."""
    simulators, refusals = [], set()
    for kernel in kernels()[1:]:
        try:
            simulators.append(Simulator(data, kernel=kernel, limits=limits))
        except SimulatorError as error:
            assert str(error), "an error without words"
            refusals.add(error.kind)
    assert not refusals or "limit" in refusals or not simulators, f"refused by some kernels only: {refusals}"
    assert len(refusals) <= 1, f"refused for different reasons: {refusals}"
    if not simulators:
        return False
    try:
        program = Program.from_bytes(data)
    except ProgramError:  # a name or a section that C does not read
        return False
    rng = np.random.default_rng(zlib.crc32(data))
    inputs = [rng.integers(-128, 128, port.shape).astype(np.int8) for port in simulators[0].inputs]
    with defined_memories():
        expected = reference.run(program, inputs, check_hazards=False)
    for simulator in simulators:
        result = simulator.run(inputs)
        assert result.counters == expected.counters, f"{simulator.program.kernel}: counters"
        for one, other in zip(result.outputs, expected.outputs, strict=True):
            assert np.array_equal(one, other), f"{simulator.program.kernel}: outputs"
    return True


def programs(folders: Iterable[Path], limit: int | None, generated: int) -> Iterator[tuple[str, bytes]]:
    files = sorted(path for folder in folders for path in folder.rglob("*") if path.is_file())
    for path in files[:: max(1, len(files) // limit) if limit else 1]:
        yield str(path), path.read_bytes()
    for seed in range(generated):
        yield f"seed {seed}", random_program(seed, length=6, sram_bytes=2048).to_bytes()


def main(arguments: list[str] | None = None) -> int:
    """1 if anything differs, or hardly any random program is accepted."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folders", type=Path, nargs="*")
    parser.add_argument("--generated", type=int, default=0, metavar="N", help="and N random programs")
    parser.add_argument("--limit", type=int, metavar="N", help="about N files, evenly chosen")
    options = parser.parse_args(arguments)
    seen = accepted = wrong = generated = 0
    for name, data in programs(options.folders, options.limit, options.generated):
        seen += 1
        try:
            good = check(data)
            accepted += good
            generated += good and name.startswith("seed ")
        except Exception as error:
            wrong += 1
            print(f"{name}: {type(error).__name__}: {error}")
    print(f"{seen} programs, {accepted} accepted, {wrong} differ from the reference")
    if generated < LEAST_SHARE * options.generated:
        print(
            f"only {generated} of {options.generated} random programs are accepted, at least {LEAST_SHARE:.0%} have to be"
        )
        wrong += 1
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
