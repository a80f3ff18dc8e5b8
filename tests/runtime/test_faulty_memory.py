"""Every allocation of the C library made to fail in turn."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest

from tests.runtime.programs import random_program
from tvm_re2na.codegen.arch import AccOverflow
from tvm_re2na.codegen.program import Program

RUNTIME = Path(__file__).parents[2] / "runtime"
WRAPPED = ("malloc", "calloc", "realloc", "aligned_alloc", "free")


@pytest.fixture(scope="module")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """It counts the blocks that are left itself."""
    made = tmp_path_factory.mktemp("faulty") / "faulty_memory"
    words = ["cc", "-std=c11", "-D_DEFAULT_SOURCE", "-O1", f"-I{RUNTIME / 'include'}", f"-I{RUNTIME / 'src'}"]
    words += [str(Path(__file__).with_name("faulty_memory.c")), *map(str, (RUNTIME / "src").rglob("*.c"))]
    words += ["-lpthread", *(f"-Wl,--wrap={name}" for name in WRAPPED), "-o", str(made)]
    try:
        subprocess.run(words, check=True, capture_output=True, text=True)
    except FileNotFoundError:
        pytest.skip("no C compiler")
    return made


def programs() -> list[Program]:
    """One with packed and late weights, one that saturates, one of several kinds, one that decodes."""
    drawn = [random_program(seed, ("CONV", "DENSE", "POOL"), length=6, sram_bytes=1024) for seed in range(40)]
    wraps = [program for program in drawn if program.arch.acc_overflow is AccOverflow.WRAP]
    saturates = next(program for program in drawn if program.arch.acc_overflow is AccOverflow.SATURATE)
    longest = sorted(wraps, key=lambda program: sum(at.name == "CONV" for at in program.instructions))
    loading = (random_program(seed, ("CONV", "LOAD"), length=6, sram_bytes=1024) for seed in range(100))
    decodes = next(program for program in loading if any(at.values.get("coded") for at in program.instructions))
    return [longest[-1], longest[-2], saturates, decodes]


def test_every_allocation_may_fail(driver: Path, tmp_path: Path) -> None:
    paths = [tmp_path / f"{index}.re2na" for index in range(4)]
    for path, program in zip(paths, programs(), strict=True):
        program.save(path)
    done = subprocess.run([driver, *paths], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    walked = [[int(word) for word in line.split()] for line in done.stdout.splitlines()]
    assert len(walked) == 4
    assert all(own > 50 and bridge > 30 for own, bridge in walked), walked
