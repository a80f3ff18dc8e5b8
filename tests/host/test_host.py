"""An exported library runs where only TVM's runtime is: in a fresh Python, and in a C++ program without Python."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from tests.frontends.harness import FrontEnd
from tests.frontends.qdq import lenet

SHAPE = (2, 1, 12, 12)
DIMENSIONS = [str(size) for size in SHAPE]
RUN = {
    "relay": """
from tvm.contrib import graph_executor
executor = graph_executor.GraphModule(tvm.runtime.load_module(library)["default"](tvm.cpu()))
executor.run(input=image)
output = executor.get_output(0)
""",
    "relax": """
from tvm.runtime.vm import VirtualMachine
machine = VirtualMachine(tvm.runtime.load_module(library), tvm.cpu())
output = machine["main"](tvm.runtime.tensor(image))
""",
}
FRESH = """
import sys, numpy, tvm
library, given, result, *shape = sys.argv[1:]
image = numpy.fromfile(given, numpy.float32).reshape([int(size) for size in shape])
{run}
output.numpy().tofile(result)
waiting = {{"tvm_re2na", "tvm_re2na.autoload"}}  # since Python started, for a TVM with a compiler
ours = [name for name in sys.modules if name.split(".")[0] == "tvm_re2na" and name not in waiting]
sys.exit(f"imported: {{ours}}" if ours else 0)
"""


@dataclass(frozen=True)
class Exported:
    """A library, the same with our runtime in it, an image and what TVM's CPU makes of the image, as files of floats."""

    library: Path
    bundle: Path
    program: bytes
    image: Path
    expected: bytes


@pytest.fixture(scope="module")
def exported(front_end: FrontEnd, built: Path, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    """TVM links the library with a compiler, which is there if the host was built."""
    folder = tmp_path_factory.mktemp("exported")
    module = front_end.load(lenet(np.random.default_rng(0), batch=SHAPE[0]))
    image = np.random.default_rng(2).normal(size=SHAPE).astype(np.float32)
    partitioned = front_end.partition(module)
    assert front_end.offloaded_macs_share(partitioned) == 1
    program = export(front_end, partitioned, folder / "net.so", folder / "bundle.so")
    image.tofile(folder / "image.bin")
    expected: npt.NDArray[Any] = front_end.run_cpu(front_end.integers(module), [image])[0]
    assert expected.dtype == np.float32 and np.any(expected)
    return Exported(folder / "net.so", folder / "bundle.so", program, folder / "image.bin", expected.tobytes())


def export(front_end: FrontEnd, partitioned: Any, path: Path, bundle: Path) -> bytes:
    """Both libraries; returns the program in them."""
    public = import_module(f"tvm_re2na.{front_end.name}")
    with public.collect_programs() as programs:
        if front_end.name == "relay":
            from tvm import relay

            library = relay.build(partitioned, target="re2na")
        else:
            import tvm
            from tvm import relax

            library = tvm.compile(relax.transform.RunCodegen()(partitioned), target="re2na")
    public.export_library(library, path)
    public.export_library(library, bundle, bundle=True)
    return bytes(programs[0][1].to_bytes())


@pytest.fixture(scope="module")
def host(built: Path) -> Path:
    return built / "host"


def test_in_a_fresh_python_with_the_runtime_alone(front_end: FrontEnd, exported: Exported, tmp_path: Path) -> None:
    script = FRESH.format(run=RUN[front_end.name])
    files = [str(exported.library), str(exported.image), str(tmp_path / "out.bin")]
    run = subprocess.run(
        [sys.executable, "-c", script, *files, *DIMENSIONS],
        env={**os.environ, "TVM_USE_RUNTIME_LIB": "1"},  # TVM then leaves its compiler out
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out.bin").read_bytes() == exported.expected


def test_in_a_program_without_python(host: Path, exported: Exported, tmp_path: Path) -> None:
    run = start(host, exported.library, exported.image, tmp_path / "out.bin", *DIMENSIONS)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out.bin").read_bytes() == exported.expected


def test_nothing_of_it_is_linked_with_python(host: Path, exported: Exported) -> None:
    if shutil.which("ldd") is None:
        pytest.skip("needs ldd")
    for path in (host, exported.library):
        linked = subprocess.run(["ldd", str(path)], check=True, capture_output=True, text=True, timeout=60).stdout
        assert "libre2na" in linked if path == exported.library else "libtvm_runtime" in linked
        assert "libpython" not in linked
        assert "not found" not in linked


def test_a_bundle_needs_tvms_runtime_alone(host: Path, exported: Exported, tmp_path: Path) -> None:
    moved = shutil.copy(exported.bundle, tmp_path / "moved.so")
    run = start(host, moved, exported.image, tmp_path / "out.bin", *DIMENSIONS)
    assert run.returncode == 0, run.stderr
    assert (tmp_path / "out.bin").read_bytes() == exported.expected
    if shutil.which("ldd") is not None:
        linked = subprocess.run(["ldd", str(moved)], check=True, capture_output=True, text=True, timeout=60).stdout
        assert "libre2na" not in linked


def test_a_bundle_beside_our_own_library(front_end: FrontEnd, exported: Exported) -> None:
    """This process has the simulator already; the names of the two do not meet."""
    session = import_module(f"tvm_re2na.{front_end.name}.session")
    image = np.fromfile(exported.image, np.float32).reshape(SHAPE)
    for path in (exported.bundle, exported.library, exported.bundle):
        (found,) = session.load_library(path)(image)
        assert found.tobytes() == exported.expected


@pytest.mark.parametrize("kept", [0, 0.5], ids=["no program", "half a program"])
def test_a_damaged_bundle_is_an_error_of_tvms(host: Path, exported: Exported, tmp_path: Path, kept: float) -> None:
    content = bytearray(exported.bundle.read_bytes())
    start_of_program, size = content.index(exported.program), len(exported.program)
    left = int(size * kept)
    content[start_of_program + left : start_of_program + size] = bytes(size - left)
    (tmp_path / "damaged.so").write_bytes(content)
    run = start(host, tmp_path / "damaged.so", exported.image, tmp_path / "out.bin", *DIMENSIONS)
    assert run.returncode == 1, run.stderr
    assert "Re2Na: " in run.stderr
    assert not (tmp_path / "out.bin").exists()


def test_what_is_wrong_is_said(front_end: FrontEnd, host: Path, exported: Exported, tmp_path: Path) -> None:
    expected_shape = {"relay": "input is 2 1 12 12 of float32", "relax": "R.Tensor((2, 1, 12, 12)"}[front_end.name]
    good: list[str | Path] = [exported.library, exported.image, tmp_path / "out.bin", *DIMENSIONS]
    wrong: list[tuple[list[str | Path], str]] = [
        ([], "usage"),
        ([tmp_path / "none.so", *good[1:]], "none.so"),
        ([good[0], tmp_path / "none.bin", *good[2:]], "cannot open"),
        ([*good[:2], tmp_path / "none" / "out.bin", *DIMENSIONS], "cannot write"),
        ([*good[:3], "2", "1", "12", "x"], "'x' is no dimension"),
        ([*good[:3], "2", "1", "12", "11"], "has 1152 bytes, the shape needs 1056"),
        ([*good[:3], "2", "1", "6", "24"], expected_shape),
    ]
    for arguments, message in wrong:
        run = start(host, *arguments)
        assert run.returncode in (1, 2)
        assert message in run.stderr
        assert not (tmp_path / "out.bin").exists()


def start(host: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([str(host), *map(str, arguments)], capture_output=True, text=True, timeout=120)
