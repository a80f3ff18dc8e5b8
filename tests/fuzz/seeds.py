"""Writes programs: `python -m tests.fuzz.seeds FOLDER` small ones of each instruction and of several, the fuzzing's seed corpus;
`--threads` ones with enough work for several threads, for `threads.c`."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from tests.runtime.programs import SIMPLE, random_program
from tvm_re2na.codegen.arch import AccOverflow, Architecture
from tvm_re2na.codegen.isa import Instruction, Mode, make
from tvm_re2na.codegen.program import Program, ProgramTensor, SourceOperator

SIDE, CHANNELS = 20, 16
MAP = SIDE * SIDE * CHANNELS
WEIGHTS = 9 * CHANNELS * CHANNELS


def seeds(each: int = 3) -> dict[str, Program]:
    small = {f"{name.lower()}{seed}": random_program(seed, (name,), 2, 1024) for name in SIMPLE for seed in range(each)}
    return small | {f"several{seed}": random_program(seed, length=6, sram_bytes=2048) for seed in range(each)}


def for_threads() -> dict[str, Program]:
    """A convolution, a pool and a dense layer with much to do; the weights constant, or stored and loaded again; the convolution as
    a whole or in parts."""
    return {
        "constant": _layers(Architecture()),
        "late": _layers(Architecture(), late=True),
        "saturating": _layers(Architecture(acc_overflow=AccOverflow.SATURATE)),
        "parts": _layers(Architecture(), parts=True),
    }


def _layers(arch: Architecture, late: bool = False, parts: bool = False) -> Program:
    rng = np.random.default_rng(0)
    biases = rng.integers(-500, 500, 128).astype("<i4").tobytes()
    constants = biases + rng.integers(-20, 20, WEIGHTS + MAP).astype(np.int8).tobytes()
    weights, maps = len(biases), len(constants)  # in SRAM as in DRAM; then input, output, pooled, scores
    # apart from each other: kernels read up to 128 bytes behind a run and drop them, which is a race to ThreadSanitizer where
    # another thread writes there
    addresses = [maps + index * (MAP + 128) for index in range(4)]
    images = dict.fromkeys(("n", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1) | {"in_c": CHANNELS}
    images |= dict.fromkeys(("in_h", "in_w", "out_h", "out_w"), SIDE) | dict.fromkeys(("kernel_h", "kernel_w"), 3)
    images |= {"pad_top": 1, "pad_left": 1}
    for side in ("in", "out"):
        strides = {"pixel": CHANNELS, "row": SIDE * CHANNELS, "image": 0}
        images |= {f"{side}_{what}_stride": value for what, value in strides.items()}
    cut = {"lo": -128, "hi": 127}
    conv = {
        "weight_addr": weights,
        "bias_addr": 0,
        "out_c": CHANNELS,
        "groups": 1,
        "rows": 64,
        "lsb": 6,
        "steps": 9 * CHANNELS,
    }
    dense = {
        "in_addr": addresses[2],
        "weight_addr": weights + WEIGHTS,
        "bias_addr": 0,
        "out_addr": addresses[3],
        "n": 1,
        "out_c": 1,
    }
    dense |= {"in_c": MAP, "in_image_stride": 0, "out_image_stride": 0, "first": 1, "last": 1, "lsb": 6, "steps": MAP}
    return Program(
        arch=arch,
        inputs=(ProgramTensor("x", (1, CHANNELS, SIDE, SIDE), (1, CHANNELS, SIDE, SIDE), addresses[0]),),
        outputs=(ProgramTensor("y", (1, CHANNELS, SIDE, SIDE), (1, CHANNELS, SIDE, SIDE), addresses[1]),),
        instructions=(
            _copy("LOAD", 0, 0, addresses[0] + MAP),
            *([_copy("STORE", addresses[2], 0, maps), _copy("LOAD", addresses[2], 0, maps)] if late else []),
            make("RECONFIGURE", mode=Mode.CONV, rows=64),
            *_convolution(images | conv | cut | {"in_addr": addresses[0], "out_addr": addresses[1]}, parts),
            make("RECONFIGURE", mode=Mode.POOL, rows=64),
            make("POOL", in_addr=addresses[1], out_addr=addresses[2], **images, pad_value=0, **cut),
            make("RECONFIGURE", mode=Mode.DENSE, rows=64),
            make("DENSE", **dense, **cut),
            _copy("STORE", addresses[1], addresses[2], MAP),
            make("HALT"),
        ),
        constants=constants,
        constants_address=0,
        dram_bytes=addresses[3] + maps,
        sources=(SourceOperator("layers", "test", 0),),
    )


def _convolution(fields: dict[str, int], parts: bool) -> list[Instruction]:
    """One, or each half of the input channels by itself."""
    if not parts:
        return [make("CONV", **fields)]
    half = fields | {"in_c": CHANNELS // 2, "steps": fields["steps"] // 2, "sum_addr": 2**20}
    behind = {"in_addr": half["in_addr"] + half["in_c"], "weight_addr": half["weight_addr"] + half["steps"] * CHANNELS}
    return [make("CONV", **half, last=0), make("CONV", **half | behind, first=0)]


def _copy(name: str, dram: int, sram: int, size: int) -> Instruction:
    strides = {f"{memory}_{step}_stride": 0 for memory in ("dram", "sram") for step in ("row", "plane")}
    return make(name, dram_addr=dram, sram_addr=sram, bytes=size, rows=1, planes=1, **strides)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--threads", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    for name, program in (for_threads() if options.threads else seeds()).items():
        program.save(options.folder / f"{name}.re2na")


if __name__ == "__main__":
    main()
