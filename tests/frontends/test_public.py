"""`tvm_re2na.relay` and `tvm_re2na.relax` are what users import; the code is in `tvm_re2na.frontends`."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import onnx
import pytest

import tvm_re2na
from tests.frontends.harness import FrontEnd
from tvm_re2na.codegen.errors import Re2naError

ROOT = Path(tvm_re2na.__file__).parent
NAMED = """
import sys, tvm_re2na
assert not {"tvm", "onnx", "numpy", "tvm_re2na.pipeline"} & set(sys.modules)
for name in sys.argv[1:]:
    assert getattr(tvm_re2na, name) is sys.modules[f"tvm_re2na.{name}"]
tvm_re2na.cache.off, tvm_re2na.pipeline.load_model, tvm_re2na.quantize.quantize
with getattr(tvm_re2na, sys.argv[1]).collect_programs() as programs:
    assert programs == []
"""


def test_every_public_module_hands_on_what_the_front_end_has(front_end: FrontEnd) -> None:
    folder = ROOT / front_end.name
    assert {path.stem for path in folder.glob("*.py")} >= {"__init__", "session"}
    for path in folder.glob("*.py"):
        name = "" if path.stem == "__init__" else f".{path.stem}"
        if name == ".pt2e" and find_spec("torch") is None:
            continue
        public = import_module(f"tvm_re2na.{front_end.name}{name}")
        for known in public.__all__:
            assert getattr(public, known) is not None
            if name:
                assert getattr(public, known) is getattr(
                    import_module(f"tvm_re2na.frontends.{front_end.name}{name}"), known
                )


def test_importing_the_public_name_registers_the_target(front_end: FrontEnd) -> None:
    import_module(f"tvm_re2na.{front_end.name}")
    tvm = pytest.importorskip("tvm")
    assert "re2na" in tvm.target.Target("re2na").keys


def test_modules_are_there_without_an_import_of_their_own(front_end: FrontEnd) -> None:
    """As docs/relax.md names them; what importing the package does not load, naming a module does."""
    others = ("cache", "codegen", "pipeline", "prequantized", "quantize", "runtime", "survey", "torch")
    command = [sys.executable, "-c", NAMED, front_end.name, *others]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    with pytest.raises(AttributeError, match="no attribute 'relays'"):
        _ = tvm_re2na.relays


@pytest.mark.parametrize(
    ("given", "kind"), [(5, "int"), (onnx.ModelProto(), "ModelProto"), ("net.onnx", "str"), ((None, {}), "tuple")]
)
def test_what_is_no_module_is_said_in_one_line(front_end: FrontEnd, given: object, kind: str) -> None:
    importer = {"relay": "relay.frontend.from_onnx", "relax": "relax.frontend.onnx.from_onnx"}[front_end.name]
    for call in (tvm_re2na.partition_for_re2na, tvm_re2na.explain):
        with pytest.raises(TypeError, match=f"is expected, this is {kind}; .*{importer}") as said:
            call(given)
        assert "\n" not in str(said.value)


def test_where_no_library_can_be_written(front_end: FrontEnd, tmp_path: Path) -> None:
    """It is said before TVM is asked, whatever the library."""
    export = import_module(f"tvm_re2na.{front_end.name}").export_library
    for name, why in (("net.tar", "shared libraries, whose names end in .so"), ("none/net.so", "none does not exist")):
        with pytest.raises(Re2naError, match=why):
            export(None, tmp_path / name)
        assert not list(tmp_path.iterdir())
