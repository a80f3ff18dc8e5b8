"""The wheel that `make wheel` has built: one for every Python, whole, and enough by itself; `make wheel-demo` installs it from a
folder."""

from __future__ import annotations

import re
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from pathlib import Path

import pytest

from tvm_re2na import __version__, frontends

ROOT = Path(__file__).parents[2]
# a Python that reads no .pth file, and so knows nothing of an editable installation
ALONE = """
import sys
sys.path[:0] = sys.argv[1:3]
import tvm_re2na
from tvm_re2na.cli import main
from tvm_re2na.runtime.abi import library_path
assert tvm_re2na.__file__ == f"{sys.argv[1]}/tvm_re2na/__init__.py"
assert str(library_path()) == f"{sys.argv[1]}/tvm_re2na/runtime/libre2na.so"
sys.exit(main(sys.argv[3:]))
"""


def the_one(pattern: str) -> Path:
    found = list((ROOT / "dist").glob(pattern))
    if not found:
        pytest.skip("needs what `make wheel` builds")
    assert len(found) == 1, found
    return found[0]


@pytest.fixture(scope="module")
def wheel() -> Path:
    return the_one("*.whl")


@pytest.fixture(scope="module")
def unpacked(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder)
    return folder


def test_it_is_for_every_python_and_one_c_library(wheel: Path, unpacked: Path) -> None:
    tag = re.fullmatch(
        rf"tvm_re2na-{re.escape(__version__)}-py3-none-manylinux_2_(\d+)_(x86_64|aarch64)\.whl", wheel.name
    )
    assert tag is not None, wheel.name
    newest = 0
    for library in unpacked.rglob("*.so"):
        symbols = library.read_bytes()
        assert b"libpython" not in symbols and b"PyObject" not in symbols
        newest = max(newest, *(int(minor) for minor in re.findall(rb"GLIBC_2\.(\d+)", symbols)))
    assert newest <= int(tag[1]), f"symbols of glibc 2.{newest}"


def test_what_is_in_it(unpacked: Path) -> None:
    names = {path.relative_to(unpacked).as_posix() for path in unpacked.rglob("*") if path.is_file()}
    runtime = ("include/re2na.h", "include/re2na_isa.h", "libre2na.so", "libre2na_static.a")
    module = ("libre2na_tvm.so", "libre2na_tvm_static.a")
    demo = ("lenet5_mnist.onnx", "mnist_calibration128.npz", "mnist_test1000.npz")
    expected = {
        *(f"tvm_re2na/runtime/{name}" for name in runtime + module),
        *(f"tvm_re2na/demo/{name}" for name in demo),
    }
    assert expected | {"tvm_re2na.pth", "tvm_re2na/py.typed"} <= names
    packages = {"tvm_re2na": "tvm_re2na", "codegen": "tvm_re2na/codegen", "runtime": "tvm_re2na/runtime"}
    for folder, place in packages.items():
        sources = {f"{place}/{path.relative_to(ROOT / folder)}" for path in (ROOT / folder).rglob("*.py")}
        assert sources <= names
    assert {name.split("/")[0] for name in names} == {
        "tvm_re2na",
        "tvm_re2na.pth",
        f"tvm_re2na-{__version__}.dist-info",
    }


def test_it_stands_alone(unpacked: Path, tmp_path: Path) -> None:
    if frontends.installed() is None:
        pytest.skip("needs the extra [relay] or [relax]")
    places = [str(unpacked), sysconfig.get_path("purelib")]
    command = [sys.executable, "-I", "-S", "-c", ALONE, *places, "demo", "--limit", "10", "--no-cache", "--json"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=300, check=False)
    assert done.returncode == 0, done.stderr
    assert '"bit_identical": true' in done.stdout


def test_the_source_distribution_has_what_the_build_reads() -> None:
    with tarfile.open(the_one("*.tar.gz")) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    tracked = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "runtime").rglob("*")
        if path.suffix in (".c", ".h", ".cc")
    }
    assert tracked and tracked | {"CMakeLists.txt", "pyproject.toml", "LICENSE", "README.md", "Makefile"} <= names
    assert not [name for name in names if name.startswith(("build/", "dist/", ".venv"))]
