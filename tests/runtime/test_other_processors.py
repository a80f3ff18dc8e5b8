"""Kernels for processors that are not at hand: NEON under an emulator, AVX-512 with its instructions written out in C."""

from __future__ import annotations

import platform
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from tests.models.resnets import resnet_graph
from tests.runtime.programs import random_input, random_program
from tests.runtime.test_kernels import extreme_program, images
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import reference
from tvm_re2na.runtime.result import Int8Array

HERE = Path(__file__).parent
RUNTIME = HERE.parent.parent / "runtime"
CROSS, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
no_arm = pytest.mark.skipif(
    not (shutil.which(CROSS) and shutil.which(EMULATOR)), reason=f"needs {CROSS} and {EMULATOR}"
)
no_x86 = pytest.mark.skipif(platform.machine() != "x86_64", reason="builds the AVX2 kernel as well")

Runner = Callable[[str, Program, list[Int8Array]], bytes]


def build(folder: Path, compiler: str, sources: list[Path], *options: str) -> Path:
    binary = folder / "run_program"
    include = [f"-I{RUNTIME / part}" for part in ("include", "src")]
    flags = ["-std=c11", "-O2", "-Wall", "-Wextra", "-Werror", *options, *include]
    files = [str(path) for path in (HERE / "run_program.c", *sources)]
    subprocess.run([compiler, *flags, "-o", str(binary), *files, "-lpthread"], check=True)
    return binary


def runner(folder: Path, command: list[str]) -> Runner:
    def run(kernel: str, program: Program, inputs: list[Int8Array]) -> bytes:
        paths = folder / "program.re2na", folder / "input"
        program.save(paths[0])
        paths[1].write_bytes(inputs[0].tobytes())
        finished = subprocess.run([*command, kernel, *map(str, paths)], capture_output=True, check=False)
        assert finished.returncode == 0, finished.stderr.decode()
        return finished.stdout

    return run


@pytest.fixture(scope="module")
def arm(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    folder = tmp_path_factory.mktemp("arm")
    binary = build(folder, CROSS, sorted((RUNTIME / "src").rglob("*.c")), "-static")
    return runner(folder, [EMULATOR, "-cpu", "max", str(binary)])


@pytest.fixture(scope="module")
def avx512(tmp_path_factory: pytest.TempPathFactory) -> Runner:
    folder = tmp_path_factory.mktemp("avx512")
    sources = [path for path in sorted((RUNTIME / "src").rglob("*.c")) if path.name != "avx512.c"]
    return runner(folder, [str(build(folder, "cc", [*sources, HERE / "emulated_avx512.c"]))])


def check(run: Runner, kernels: tuple[str, ...]) -> None:
    resnet = compile_graph(resnet_graph(18, size=32))
    cases = [(resnet, images(resnet, 1))]
    for channels, weights, lowest in ((16, (127,), -128), (65, (-128,), 0), (63, tuple(range(-128, 128)), -128)):
        program = extreme_program(channels, weights, lowest)
        cases.append((program, images(program, channels, (-128, 127))))
    for seed in range(40):
        program = random_program(seed, ("CONV", "CONV", "DENSE"), length=4)
        cases.append((program, random_input(program, seed)))
    for program, inputs in cases:
        expected = reference.run(program, inputs, check_hazards=False)
        total = expected.counters.total
        text = f"{total.macs} {total.overflows}".encode()
        for kernel in kernels:
            assert (
                run(kernel, program, inputs)
                == b"".join(np.ascontiguousarray(out).tobytes() for out in expected.outputs) + text
            )


@no_arm
def test_neon(arm: Runner) -> None:
    check(arm, ("neon", "auto", "portable"))


@no_x86
def test_avx512(avx512: Runner) -> None:
    check(avx512, ("avx512", "auto"))


@no_arm
def test_a_kernel_of_another_processor_is_refused(arm: Runner) -> None:
    program = random_program(1)
    with pytest.raises(AssertionError, match="kernel 2 is unknown, or this processor does not have it"):
        arm("avx2", program, random_input(program, 1))
