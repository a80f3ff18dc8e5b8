"""The calls of the ecosystem: `import tvm` knows "re2na", and a build for it offloads what nobody has partitioned, or says so."""

from __future__ import annotations

import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

import tvm_re2na
from tests.frontends.harness import FrontEnd
from tests.frontends.qdq import QdqBuilder, biases, lenet, small_weights
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arch_fields import ArchitectureError
from tvm_re2na.codegen.program import Program

RNG = np.random.default_rng(3)
SHAPE = (2, 1, 12, 12)
KNOWN = """
import sys
loader = type(tvm.__spec__.loader).__module__
ours = [name for name in sys.modules if name.startswith("tvm_re2na.")]
large = [name for name in ours if any(part in name for part in ("offload", "compiler", "partition", "backend"))]
print(*tvm.target.Target("re2na").keys, loader, large)
"""
Image = npt.NDArray[np.float32]


def python(code: str, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@contextmanager
def silence() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error", tvm_re2na.NotOffloadedWarning)
        yield


def ours(said: pytest.WarningsRecorder) -> list[str]:
    return [str(one.message) for one in said if one.category is tvm_re2na.NotOffloadedWarning]


@pytest.fixture(scope="module")
def module(front_end: FrontEnd) -> Any:
    return front_end.load(lenet(np.random.default_rng(0), batch=2))


@pytest.fixture(scope="module")
def image() -> Image:
    return RNG.normal(size=SHAPE).astype(np.float32)


def build(front_end: FrontEnd, module: Any, target: Any = "re2na", **options: Any) -> tuple[Any, list[Program]]:
    """By TVM's own call, and the programs that it carries."""
    tvm = import_module("tvm")
    with import_module(f"tvm_re2na.{front_end.name}").collect_programs() as programs:
        if front_end.name == "relay":
            with tvm.transform.PassContext(opt_level=3):
                library = tvm.relay.build(module, target=target, **options)
        else:
            library = tvm.compile(module, target=target, **options)
    return library, [program for _, program in programs]


def run(front_end: FrontEnd, library: Any, image: Image) -> npt.NDArray[Any]:
    session = import_module(f"tvm_re2na.{front_end.name}.session")
    (output,) = session.open_library(library)(image)
    return np.asarray(output)


@pytest.mark.parametrize("imports", ["import tvm", "import tvm, tvm_re2na", "import tvm_re2na, tvm"])
def test_tvm_knows_the_target(front_end: FrontEnd, imports: str) -> None:
    """Nothing large of ours is loaded, and TVM's module has the loader that it always has."""
    found = python(f"import warnings; warnings.simplefilter('error', UserWarning)\n{imports}\n{KNOWN}")
    assert found.stdout == "re2na cpu _frozen_importlib_external []\n", found.stderr


def test_tvm_works_where_we_do_not(front_end: FrontEnd) -> None:
    found = python("import sys; sys.modules['tvm_re2na.runtime.abi'] = None\nimport tvm\nprint(tvm.__version__)")
    assert found.returncode == 0, found.stderr
    assert found.stdout.startswith("0.")
    (said,) = [line for line in found.stderr.splitlines() if "Warning: " in line]
    assert "TVM does not know the target 're2na': " in said
    assert "tvm_re2na.runtime.abi" in said


def test_a_module_that_nobody_partitioned(front_end: FrontEnd, module: Any, image: Image) -> None:
    """Relay's is partitioned in the build, Relax' by the pipeline that the warning names."""
    expected = front_end.run_cpu(front_end.integers(module), [image])[0]
    before = str(module)
    options = {}
    if front_end.name == "relax":
        with pytest.warns(tvm_re2na.NotOffloadedWarning, match="7 of the module's 7 .* not partitioned; call") as said:
            library, programs = build(front_end, module)
        (one,) = ours(said)
        assert not programs
        options = {"relax_pipeline": "re2na"}
        assert 'tvm.compile(mod, target="re2na", relax_pipeline="re2na")' in one
    for _ in range(2):
        with silence():
            library, programs = build(front_end, module, **options)
        assert len(programs) == 1
        np.testing.assert_array_equal(run(front_end, library, image), expected)
    assert str(module) == before


def test_what_stays_on_the_cpu_is_what_it_is_in_a_partitioned_module(front_end: FrontEnd) -> None:
    b = QdqBuilder((1, 4, 8, 8), -6)
    b.conv(small_weights(RNG, 4, 4, 3, 3), biases(RNG, 4), exponent=-4)
    b.conv(small_weights(RNG, 4, 4, 1, 1), biases(RNG, 4), weight_scale=0.013, exponent=-4)
    b.conv(small_weights(RNG, 4, 4, 3, 3), biases(RNG, 4), exponent=-4)
    b.node("Sigmoid", b.current.shape, -6)
    module, image = front_end.load(b.build()), RNG.normal(size=(1, 4, 8, 8)).astype(np.float32)
    options = {"relax_pipeline": "re2na"} if front_end.name == "relax" else {}
    with silence():
        library, programs = build(front_end, module, **options)
    assert len(programs) == 2
    expected = front_end.run_re2na(front_end.partition(module), [image])[0]
    np.testing.assert_array_equal(run(front_end, library, image), expected)


def test_nothing_is_said_of_what_was_partitioned(front_end: FrontEnd, module: Any, image: Image) -> None:
    partitioned = front_end.partition(module)
    with silence():
        front_end.run_re2na(partitioned, [image])
        build(front_end, module, target="llvm")


def test_nothing_is_said_of_the_pipelines_own_builds(front_end: FrontEnd) -> None:
    mod, params = pipeline.import_into_tvm(lenet(np.random.default_rng(0)), batch=1)
    with silence():
        pipeline.build_for_cpu(mod, params)
        pipeline.build_for_re2na(mod, params, Architecture())


def in_floating_point() -> onnx.ModelProto:
    return pipeline.load_model(Path(tvm_re2na.__file__).parent / "demo" / "lenet5_mnist.onnx")


def that_cannot_go() -> onnx.ModelProto:
    b = QdqBuilder((1, 4, 8, 8), -6)
    b.conv(small_weights(RNG, 4, 4, 1, 1), biases(RNG, 4), weight_scale=0.013, exponent=-4)
    return b.build()


ONE = r"the module's only quantised operator cannot; tvm_re2na.explain\(mod\) says why; `re2na requantize MODEL.onnx --cal"


@pytest.mark.parametrize(
    ("model", "why"),
    [
        (in_floating_point, r"in floating point \(convolutions and dense layers: \d\); `re2na quantize"),
        (that_cannot_go, ONE),
    ],
)
def test_why_nothing_is_offloaded(front_end: FrontEnd, model: Callable[[], onnx.ModelProto], why: str) -> None:
    """Once in every build: a second in the same context says it again."""
    module = front_end.load(model(), {"input": (1, 1, 28, 28)} if model is in_floating_point else None)
    with import_module("tvm").transform.PassContext(opt_level=3):
        for _ in range(2):
            with pytest.warns(tvm_re2na.NotOffloadedWarning, match=why) as said:
                build(front_end, module)
            assert len(ours(said)) == 1


def test_of_a_partitioned_module_that_cannot_go_the_same_is_said(front_end: FrontEnd) -> None:
    """Of one operator and of two, by Relax' pipeline and by its RunCodegen."""
    tvm = import_module("tvm")
    two = QdqBuilder((1, 4, 8, 8), -6)
    for _ in range(2):
        two.conv(small_weights(RNG, 4, 4, 1, 1), biases(RNG, 4), weight_scale=0.013, exponent=-4)
    several = ONE.replace(
        "the module's only quantised operator cannot", "none of the module's 2 quantised operators can"
    )
    for model, why in ((that_cannot_go(), ONE), (two.build(), several)):
        module = front_end.partition(front_end.load(model))
        ways = [(module, {})]
        if front_end.name == "relax":
            generated = import_module("tvm.relax").transform.RunCodegen()(module)
            ways = [(module, {"relax_pipeline": "re2na"}), (generated, {})]
        for way, options in ways:
            with tvm.transform.PassContext(opt_level=3), pytest.warns(tvm_re2na.NotOffloadedWarning, match=why) as said:
                build(front_end, way, **options)
            assert len(ours(said)) == 1


def test_a_target_names_a_machine(front_end: FrontEnd, module: Any, image: Image, tmp_path: Path) -> None:
    (tmp_path / "machine.toml").write_text("mac_interval = 1\nsram_bytes = 524288\n")
    arch = Architecture(mac_interval=1, sram_bytes=524288)
    options = {"relax_pipeline": "re2na"} if front_end.name == "relax" else {}
    (expected,) = front_end_programs(front_end, module, arch)
    for machine in (arch, tmp_path / "machine.toml", str(tmp_path / "machine.toml")):
        _, programs = build(front_end, module, tvm_re2na.target(machine), **options)
        assert [(program.arch, program.instructions) for program in programs] == [(arch, expected.instructions)]
    _, default = build(front_end, module, tvm_re2na.target(), **options)
    assert default[0].arch == Architecture()
    (tmp_path / "machine.txt").write_text("mac_interval = 1\n")
    wrong = ((tmp_path / "machine.txt", "must end in .toml"), (tmp_path / "none.toml", "none.toml"))
    for given, said in (*wrong, ("mac_interval=2", r"mac_interval=2: .*; fields are those of .*Architecture\(")):
        with pytest.raises((ArchitectureError, OSError), match=said):
            tvm_re2na.target(given)


def front_end_programs(front_end: FrontEnd, module: Any, arch: Architecture) -> list[Program]:
    compiled = import_module(f"tvm_re2na.{front_end.name}.session").compile_for_re2na(module, {}, arch)
    return [program for _, program in compiled.programs]
