"""Random coded streams, for random programs."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.arch import Architecture, WeightCoding
from tvm_re2na.codegen.coding.stream import Coder
from tvm_re2na.codegen.coding.words import best_book, magnitudes


@dataclass(frozen=True)
class Stream:
    """A coded stream among the constants: of `bytes` bytes, `coded` of them at `address`."""

    address: int
    coded: int
    bytes: int


def with_streams(rng: np.random.Generator, arch: Architecture, constants: bytes) -> tuple[bytes, list[Stream]]:
    """The constants with some streams behind them, of values narrow and wide, in codes that fit them or others."""
    found: list[Stream] = []
    for _ in range(0 if arch.weight_coding is WeightCoding.NONE else int(rng.integers(1, 4))):
        size, plain = int(rng.choice([1, 2, 63, 200, 700])), int(rng.choice([0, 0, 1, 40]))
        values, others = (random_weights(rng, size) for _ in range(2))
        known = magnitudes(np.concatenate([values, others]) if rng.random() < 0.5 else values)
        coder = Coder(best_book(arch.weight_coding, known), arch.decoder_bytes_per_cycle, arch.dram_bytes_per_cycle)
        coded = coder.stream(values.tobytes(), min(plain, size))
        found.append(Stream(len(constants), len(coded), size))
        constants += coded
    return constants, found


def random_weights(rng: np.random.Generator, size: int) -> npt.NDArray[np.uint8]:
    """Bytes of int8 values: all one, some zeros, few or all of them."""
    kind = rng.integers(4)
    if kind == 0:
        return np.full(size, rng.integers(256), np.uint8)
    values = rng.integers(-128, 128, size) if kind == 1 else rng.laplace(0, rng.choice([0.3, 2, 20]), size)
    return np.clip(np.round(values), -128, 127).astype(np.int8).view(np.uint8)
