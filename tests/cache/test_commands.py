"""The commands say the same with the cache and without it, with whichever TVM is installed."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Command, Outcome, re2na
from tests.quantize.networks import FloatNet
from tvm_re2na import Dataset, Preprocessing, cache, doctor, frontends, load_dataset, load_model, pipeline
from tvm_re2na import quantize as quantiser
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.doctor import State
from tvm_re2na.preprocessing import stored
from tvm_re2na.progress import silent
from tvm_re2na.survey.measure import SurveyedModel

__all__ = ["re2na"]  # a fixture
FEW = ("--calibration-limit", 8)


def nothing_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(quantiser, "quantize", None)
    for name in ("import_into_tvm", "build_for_cpu", "build_for_re2na"):
        monkeypatch.setattr(pipeline, name, None)


@pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
def test_compare(re2na: Command, tmp_path: Path, kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    net, model, images = FloatNet(), tmp_path / "net.onnx", tmp_path / "images.npz"
    onnx.save(net.build(net.conv("input", 3, 4)), model)
    np.savez(images, x=net.images(20))

    def compare(*options: object) -> Outcome:
        return re2na("compare", model, "--data", images, "--calibration", images, *FEW, "--json", *options)

    without = compare("--no-cache")
    assert without.code == 0, without.stderr
    assert not kept.exists()
    cold = compare()
    whole = {path: path.read_bytes() for path in kept.iterdir()}
    assert len(whole) == 4  # the model, two libraries, and the one that shows its integers
    with monkeypatch.context() as patched:
        nothing_is_made(patched)
        warm = compare()
    assert without.stdout == cold.stdout == warm.stdout
    assert {path: path.read_bytes() for path in kept.iterdir()} == whole


def test_quantize(re2na: Command, demo_data: Path, kept: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def quantize(name: str, *options: object) -> Outcome:
        given = ("--calibration", demo_data / "mnist_calibration128.npz", *FEW, "-o", tmp_path / name)
        return re2na("quantize", demo_data / "lenet5_mnist.onnx", *given, *options)

    assert quantize("one.onnx", "--no-cache").code == 0
    assert not kept.exists()
    assert quantize("two.onnx").code == 0
    monkeypatch.setattr(quantiser, "quantize", None)
    assert quantize("three.onnx").code == 0
    assert len({(tmp_path / f"{name}.onnx").read_bytes() for name in ("one", "two", "three")}) == 1
    images = load_dataset(demo_data / "mnist_calibration128.npz", 8)
    model = load_model(demo_data / "lenet5_mnist.onnx")
    surveyed = SurveyedModel(model, images, images, np.zeros((8, 10), np.float32), silent)
    assert surveyed.quantize(Architecture()).model.graph == load_model(tmp_path / "one.onnx").graph


def test_what_calibration_used_is_no_part_of_an_entry(tmp_path: Path, kept: Path) -> None:
    """The same numbers are the same entry, whoever made them; other numbers are another."""
    net = FloatNet(channels=1)
    model = net.build(net.conv("input", 1, 2))
    x = net.rng.integers(0, 256, (8, 1, 12, 12), np.uint8)
    np.savez(tmp_path / "pixels.npz", x=x)
    how = Preprocessing(0.25, 0.5)
    pixels = load_dataset(tmp_path / "pixels.npz", preprocessing=how)
    np.savez(tmp_path / "floats.npz", x=pixels.x)

    def noted(data: Dataset) -> tuple[onnx.ModelProto, Preprocessing | None, int]:
        made = pipeline.quantize(model, data, Architecture()).model
        return made, stored(made), len(list(kept.iterdir()))

    first, floats = noted(pixels), noted(load_dataset(tmp_path / "floats.npz"))
    assert first[1:] == (how, 1)
    assert floats[1:] == (None, 1)
    assert first[0].graph == floats[0].graph
    assert noted(pixels) == first
    assert noted(load_dataset(tmp_path / "pixels.npz", preprocessing=Preprocessing(0.5, 0.5)))[2] == 2


def test_a_bad_limit_is_one_line(re2na: Command, demo_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RE2NA_CACHE_BYTES", "2G")
    given = (demo_data / "lenet5_mnist.onnx", "--calibration", demo_data / "mnist_calibration128.npz")
    found = re2na("quantize", *given, "-o", "unwritten.onnx")
    assert found.code == 2
    assert found.stderr == "re2na: error: RE2NA_CACHE_BYTES = '2G' is no number of bytes (0 turns the cache off)\n"


# ---- re2na doctor


def test_doctor_shows_and_clears(re2na: Command, kept: Path) -> None:
    store = cache.current()
    assert store is not None
    assert doctor._cache().detail == f"{kept}: 0 entries, 0 bytes of at most 2,147,483,648"
    store.put({"kind": "test"}, {"part": bytes(5000)})
    size = store.size()[1]
    found = doctor._cache()
    assert found.state is State.OK
    assert found.detail == f"{kept}: 1 entries, {size:,} bytes of at most 2,147,483,648"
    (row,) = re2na("doctor", "--clear-cache", "--json").json
    assert row == {"what": "cache", "state": "ok", "detail": f"{kept}: 1 entries removed, {size:,} bytes", "mend": None}
    assert not list(kept.iterdir())


def test_doctor_says_why_there_is_none(kept: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.mkdir()
    kept.chmod(0o777)
    found = doctor._cache()
    assert found.state is State.MISSING
    assert found.detail == f"{kept} can be written by others (mode 777): chmod go-w {kept}"
    assert found.mend is not None and "export RE2NA_CACHE=" in found.mend
    kept.chmod(0o700)
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)
    assert doctor._cache().detail == f"{kept} cannot be written"
    shutil.rmtree(kept)
    assert doctor._cache().detail == f"{kept} cannot be written"
    monkeypatch.setenv("RE2NA_CACHE_BYTES", "0")
    found = doctor._cache()
    assert (found.detail, found.mend) == ("off", "unset RE2NA_CACHE_BYTES")
