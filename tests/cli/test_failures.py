"""Every expected failure: its exit code, one line on stderr, nothing on stdout, no file left behind."""

from __future__ import annotations

import dataclasses
import shutil
import stat
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

import tvm_re2na
from tests.cli.conftest import Command, Outcome
from tests.runtime.programs import changed
from tvm_re2na.cli.errors import Failure, explain_failure
from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.codegen.program import Program
from tvm_re2na.pipeline import ModelError
from tvm_re2na.runtime.result import Timing
from tvm_re2na.runtime.timing import timing


@pytest.fixture
def images(tmp_path: Path) -> Path:
    path = tmp_path / "images.npz"
    np.savez(path, x=np.zeros((2, 3, 8, 8), np.float32), y=np.array([0, 1]))
    return path


def assert_failure(found: Outcome, code: int, *words: str) -> None:
    assert found.code == code, found.stderr
    assert found.stdout == ""
    assert found.stderr.startswith("re2na: error: ")
    assert found.stderr.count("\n") == 1
    for word in words:
        assert word in found.stderr


def test_no_onnx(re2na: Command, images: Path, tmp_path: Path) -> None:
    for content in (b"", b"no model at all", bytes(range(256))):
        model = tmp_path / "broken.onnx"
        model.write_bytes(content)
        assert_failure(re2na("compare", model, "--data", images), 2, str(model), "no valid ONNX model")


def test_missing_files(re2na: Command, images: Path, tmp_path: Path, program: Path) -> None:
    missing = tmp_path / "missing"
    assert_failure(re2na("compare", missing, "--data", images), 2, f"{missing}: No such file")
    assert_failure(re2na("disasm", missing), 2, f"{missing}: No such file")
    assert_failure(re2na("run", program, "--data", missing), 2, f"{missing}: No such file")


@pytest.mark.parametrize(("threads", "message"), [("0", "no number of at least 1"), ("257", "more than 256")])
def test_threads_out_of_range(re2na: Command, program: Path, images: Path, threads: str, message: str) -> None:
    found = re2na("run", program, "--data", images, "--threads", threads)
    assert found.code == 2
    assert f"argument --threads: '{threads}' is {message}" in found.stderr


def test_float_model_without_calibration(re2na: Command, demo_data: Path) -> None:
    found = re2na("compile", demo_data / "lenet5_mnist.onnx")
    assert_failure(found, 2, "needs calibration images (--calibration)")


def test_calibration_of_the_wrong_shape(re2na: Command, demo_data: Path, images: Path, tmp_path: Path) -> None:
    output = tmp_path / "out.onnx"
    arguments = ("quantize", demo_data / "lenet5_mnist.onnx", "--calibration", images, "--output", output)
    assert_failure(re2na(*arguments), 2, str(images), "3x8x8", "1x28x28")
    assert not output.exists()


def test_test_images_of_the_wrong_shape(re2na: Command, quantized: Path, images: Path) -> None:
    assert_failure(re2na("compare", quantized, "--data", images), 2, str(images), "3x8x8", "1x28x28")


@pytest.mark.usefixtures("shared")
def test_labels_out_of_range(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "labels.npz", x=np.zeros((2, 1, 28, 28), np.float32), y=np.array([3, 10]))
    assert_failure(re2na("compare", quantized, "--data", tmp_path / "labels.npz"), 2, "class 10", "10 classes")


def test_nan_in_the_weights(re2na: Command, demo_data: Path, tmp_path: Path) -> None:
    model = onnx.load(demo_data / "lenet5_mnist.onnx")
    weight = next(tensor for tensor in model.graph.initializer if len(tensor.dims) == 4)
    values = onnx.numpy_helper.to_array(weight).copy()
    values.flat[0] = np.nan
    weight.CopyFrom(onnx.numpy_helper.from_array(values, weight.name))
    onnx.save(model, tmp_path / "nan.onnx")
    calibration = demo_data / "mnist_calibration128.npz"
    found = re2na("quantize", tmp_path / "nan.onnx", "--calibration", calibration, "--output", tmp_path / "out.onnx")
    assert_failure(found, 2, weight.name)
    assert not (tmp_path / "out.onnx").exists()


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("array_rows = 0", ("array_rows = 0 is outside",)),
        ("rows = 64", ("unknown field 'rows'", "known: array_rows, ")),
        ("mac_intervall = 1", ("unknown field 'mac_intervall'; did you mean mac_interval?",)),
        ("acc_overflow = 'explode'", ("acc_overflow", "wrap, saturate")),
        ("no toml", ("no TOML file",)),
    ],
)
def test_bad_architecture(re2na: Command, quantized: Path, tmp_path: Path, text: str, words: tuple[str, ...]) -> None:
    arch = tmp_path / "arch.toml"
    arch.write_text(text)
    output = tmp_path / "net.re2na"
    assert_failure(re2na("compile", quantized, "--arch", arch, "--output", output), 2, str(arch), *words)
    assert not output.exists()


def test_the_file_of_a_model_is_named() -> None:
    named = explain_failure(ModelError("model 'g': 2 inputs, expected one"), Path("a/net.onnx"))
    assert named is not None
    assert named.message == "a/net.onnx: model 'g': 2 inputs, expected one"
    assert explain_failure(ModelError("a/net.onnx: no valid ONNX model"), "a/net.onnx") == Failure(
        "a/net.onnx: no valid ONNX model", 2
    )


def test_network_that_does_not_fit() -> None:
    failure = explain_failure(CompileError("conv1: needs 2000 bytes of SRAM,\n1024 are available"))
    assert failure is not None
    assert failure.code == 3
    assert failure.message == "conv1: needs 2000 bytes of SRAM, 1024 are available"


def test_damaged_programs(re2na: Command, program: Path, tmp_path: Path) -> None:
    good = program.read_bytes()
    flipped = bytearray(good)
    flipped[len(good) // 2] ^= 4
    damaged = {"truncated": good[:-100], "checksum": bytes(flipped), "RE2NAPRG": b"\x7fELF" + good, "no Re2Na": b""}
    for word, content in damaged.items():
        path = tmp_path / "damaged.re2na"
        path.write_bytes(content)
        assert_failure(re2na("disasm", path), 2, str(path), word)
        assert_failure(re2na("run", path, "--data", path), 2, str(path), word)


def test_programs_that_fail_the_check(
    re2na: Command, program: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    good, path = Program.open(program), tmp_path / "bad.re2na"
    first = good.instructions[0]
    changed(good, 0, sram_addr=good.arch.sram_bytes).save(path)
    assert_failure(re2na("check", path), 3, "instruction 0 (LOAD)", "the SRAM has")
    changed(good, 0, signal=first.signal ^ 0b010).save(path)
    assert_failure(re2na("check", path), 3, "waits for ever" if first.signal & 0b010 else "never taken")
    for engine in (0b001, 0b010):  # LOAD, then the array: nobody waits for it, and it tells nobody
        tokens = [(at.wait & ~engine, 0 if 1 << at.engine == engine else at.signal) for at in good.instructions]
        code = [at.with_tokens(*pair) for at, pair in zip(good.instructions, tokens, strict=True)]
        dataclasses.replace(good, instructions=tuple(code)).save(path)
        assert_failure(re2na("check", path, "--json"), 3, "instruction ", "SRAM address", "no token orders the two")
    slow = timing(good)
    later = dataclasses.replace(slow.instructions[-1], finish=slow.cycles + 1)
    for wrong in (Timing((*slow.instructions[:-1], later), slow.cycles), Timing(slow.instructions, slow.cycles + 1)):
        monkeypatch.setattr("tvm_re2na.cli.check.timing", lambda _, wrong=wrong: wrong)
        assert_failure(re2na("check", program), 3, f"{slow.cycles}", f"{slow.cycles + 1}", "in Python")


def test_output_that_cannot_be_written(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    assert_failure(re2na("compile", quantized, "--output", tmp_path), 2, str(tmp_path), "is a folder")
    assert_failure(re2na("compile", quantized, "--output", tmp_path / "no" / "net.re2na"), 2, "does not exist")
    missing = tmp_path / "missing.onnx"  # what cannot be written is told before what cannot be read
    for command, *words in (("compile",), ("quantize",), ("requantize",), ("disasm",), ("run", "--data", missing)):
        found = re2na(command, missing, *words, "--output", "/proc/net.re2na")
        assert_failure(found, 2, "/proc/net.re2na: cannot be written: its folder takes no file")


def test_a_full_disk_is_told_with_the_file(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    full = tmp_path / "full"
    full.symlink_to("/dev/full")  # a device, which is written to, and not replaced: so it was /dev/full until then
    assert_failure(re2na("compile", quantized, "--output", full), 2, f"{full}: No space left on device")
    assert stat.S_ISCHR(full.stat().st_mode) and full.is_symlink()


@pytest.mark.parametrize("kind", ["text", "zip", "model", "program", "array", "other arrays", "numbers", "cut off"])
def test_calibration_of_another_kind(
    re2na: Command, small_float: tuple[Path, Path], program: Path, tmp_path: Path, kind: str
) -> None:
    model, good = small_float
    path, x = tmp_path / "calibration", np.zeros((2, 3, 12, 12))
    if kind == "zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("read.me", "no images")
    elif kind in ("other arrays", "numbers"):
        with path.open("wb") as stream:
            np.savez(stream, **({"images": x} if kind == "other arrays" else {"x": x}))
    elif kind == "array":
        with path.open("wb") as stream:
            np.save(stream, x)
    else:
        files = {"model": model, "program": program, "cut off": good}
        path.write_bytes(b"text" if kind == "text" else files[kind].read_bytes()[:3000])
    words = {"zip": "no field 'x'; it has read.me", "other arrays": "no field 'x'; it has images"}
    words |= dict.fromkeys(("array", "numbers"), "x is float64, expected uint8 (with mean and std) or float32")
    found = re2na("quantize", model, "--calibration", path, "--output", tmp_path / "out.onnx")
    assert_failure(found, 2, str(path), words.get(kind, "no readable .npz file"))
    assert not (tmp_path / "out.onnx").exists()


def test_pictures_without_pillow(
    re2na: Command, small_float: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "images" / "cat").mkdir(parents=True)
    (tmp_path / "images" / "cat" / "1.png").touch()
    monkeypatch.setitem(sys.modules, "PIL", None)
    found = re2na("quantize", small_float[0], "--calibration", tmp_path / "images", "--output", tmp_path / "out.onnx")
    assert_failure(found, 4, str(tmp_path / "images"), "need Pillow: pip install 'tvm_re2na[images]'")


def test_figures_that_cannot_be_drawn(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    arguments = ("compile", quantized, "--output", tmp_path / "net.re2na", "--plot")
    assert_failure(re2na(*arguments, tmp_path / "net.gif"), 2, "net.gif", ".png or .svg")
    assert_failure(re2na(*arguments, tmp_path / "no" / "net.png"), 2, "does not exist")
    assert not list(tmp_path.iterdir())


def test_without_matplotlib(re2na: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    found = re2na("compile", small, "--output", tmp_path / "net.re2na", "--plot", tmp_path / "net.png")
    assert_failure(found, 4, "matplotlib is not installed: pip install 'tvm_re2na[plot]'")


def test_timelines_that_cannot_be_written(
    re2na: Command, program: Path, demo_data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments = ("run", program, "--data", demo_data / "mnist_test1000.npz", "--limit", 1, "--trace")
    named = "a trace's name ends in .pftrace or .pftrace.gz, not in '.json'"
    assert_failure(re2na(*arguments, tmp_path / "net.json"), 2, f"{tmp_path / 'net.json'}: {named}")
    assert_failure(re2na(*arguments, tmp_path / "no" / "net.pftrace"), 2, "does not exist")
    assert_failure(re2na(*arguments, "/proc/net.pftrace"), 2, "/proc/net.pftrace: cannot be written")
    full = tmp_path / "full.pftrace"
    full.symlink_to("/dev/full")
    assert_failure(re2na(*arguments, full), 2, f"{full}: No space left on device")
    full.unlink()
    monkeypatch.setitem(sys.modules, "perfetto.protos.perfetto.trace.perfetto_trace_pb2", None)
    found = re2na(*arguments, tmp_path / "net.pftrace")
    assert_failure(found, 4, "perfetto is not installed: pip install 'tvm_re2na[trace]'")
    monkeypatch.delitem(sys.modules, "perfetto.protos.perfetto.trace.perfetto_trace_pb2")
    (tmp_path / "older").mkdir()
    (tmp_path / "older" / "perfetto.py").write_text("raise RuntimeError('protobuf 5 is older\\nthan 6')\n")
    monkeypatch.syspath_prepend(tmp_path / "older")
    for name in [name for name in sys.modules if name.split(".")[0] == "perfetto"]:
        monkeypatch.delitem(sys.modules, name)
    found = re2na(*arguments, tmp_path / "net.pftrace")
    assert_failure(found, 4, "perfetto cannot be loaded (protobuf 5 is older than 6): pip install 'tvm_re2na[trace]'")
    shutil.rmtree(tmp_path / "older")
    assert not list(tmp_path.iterdir())


def test_quantized_twice(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    assert_failure(re2na("quantize", quantized, "--output", tmp_path / "out.onnx"), 2, "is quantised already")


def quantise_and_back(path: Path, broken: bool = False) -> Path:
    """A model of fixed batch with nothing to offload; `broken`: an operator that neither TVM knows."""
    value = [helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, 3, 8, 8]) for name in ("x", "y")]
    dequantize = helper.make_node("DequantizeLinear", ["q", "scale", "zero"], ["r"])
    node = helper.make_node("Det", ["r"], ["y"]) if broken else helper.make_node("MatMul", ["r", "matrix"], ["y"])
    quantize = helper.make_node("QuantizeLinear", ["x", "scale", "zero"], ["q"])
    weights = [
        helper.make_tensor("scale", TensorProto.FLOAT, [], [0.5]),
        helper.make_tensor("zero", TensorProto.INT8, [], [0]),
        helper.make_tensor("matrix", TensorProto.FLOAT, [8, 8], [1.0] * 64),
    ]
    graph = helper.make_graph([quantize, dequantize, node], "fixed", value[:1], value[1:], weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    onnx.save(model, path)
    return path


def test_models_that_cannot_be_compiled(re2na: Command, tmp_path: Path) -> None:
    model, output = tmp_path / "fixed.onnx", tmp_path / "net.re2na"
    arguments = ("compile", quantise_and_back(model), "--output", output)
    assert_failure(re2na(*arguments, "--batch", 4), 2, "batch is fixed to 1, 4 was asked for")
    assert_failure(re2na(*arguments), 3, "no operator can be offloaded; `re2na explain` says why\n")
    quantise_and_back(model, broken=True)
    assert_failure(re2na(*arguments), 2, "TVM cannot import it")
    assert not output.exists()


def test_usage(re2na: Command) -> None:
    for arguments in ((), ("compare",), ("compare", "m", "--data", "d", "--limit", "0"), ("unknown",)):
        found = re2na(*arguments)
        assert found.code == 2
        assert found.stdout == ""


def test_interrupt_and_bugs() -> None:
    interrupted = explain_failure(KeyboardInterrupt())
    assert interrupted is not None
    assert interrupted.code == 130
    assert explain_failure(AssertionError("a bug")) is None


def test_without_tvm(demo_data: Path) -> None:
    """A hint instead of a traceback, and exit code 4."""
    code = (
        "import sys; sys.modules['tvm'] = None\n"
        "from tvm_re2na.cli import main\n"
        "sys.exit(main(['demo', '--limit', '1']))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert found.returncode == 4, found.stderr
    assert found.stderr.startswith("re2na: error: TVM is not installed: pip install 'tvm_re2na[relax]'")


def test_importing_the_package_imports_no_tvm() -> None:
    code = (
        "import sys, tvm_re2na\n"
        "assert 'Architecture' in dir(tvm_re2na)\n"
        "tvm_re2na.Architecture, tvm_re2na.load_dataset\n"
        "bad = {'tvm', 'onnx', 'onnxruntime'} & set(sys.modules)\n"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_every_public_name_is_there() -> None:
    for name in tvm_re2na.__all__:
        assert getattr(tvm_re2na, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = tvm_re2na.nonsense
