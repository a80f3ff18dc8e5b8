"""A key changes with everything that its entry depends on, and with nothing else."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

import tvm_re2na
from tvm_re2na import Architecture, Dataset, QuantizeOptions, load_dataset, load_model, packages, pipeline
from tvm_re2na import quantize as quantiser
from tvm_re2na.cache import CacheStore, current, keys, off
from tvm_re2na.quantize import Guarantee, QuantizedModel

OPTIONS: dict[str, Any] = {
    "headroom": 1.5,
    "unseen_images": 500,
    "search_images": 7,
    "weight_bits": 7,
    "activation_bits": 7,
    "guarantee": Guarantee.OFF,
    "rounding": quantiser.WeightRounding.NEAREST,
    "scales": quantiser.ScaleRule.LARGEST,
    "equalise": False,
    "split_layers": False,
    "bias_correction": False,
    "channel_scales": False,
    "keep_float": frozenset({"a", "b"}),
    "skip_from": frozenset({"c"}),
    "full_width": frozenset({"c"}),
}


@pytest.fixture(scope="module")
def model(demo_data: Path) -> onnx.ModelProto:
    return load_model(demo_data / "lenet5_mnist.onnx")


@pytest.fixture(scope="module")
def images(demo_data: Path) -> Dataset:
    return load_dataset(demo_data / "mnist_calibration128.npz", 8)


def other_model(model: onnx.ModelProto) -> onnx.ModelProto:
    """One bit of one weight is another."""
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    weights = max(changed.graph.initializer, key=lambda tensor: len(tensor.raw_data))
    weights.raw_data = bytes([weights.raw_data[0] ^ 1]) + weights.raw_data[1:]
    return changed


def test_quantised_models(model: onnx.ModelProto, images: Dataset, monkeypatch: pytest.MonkeyPatch) -> None:
    """The options are those that exist: who adds one must think of the key."""
    arch, x = Architecture(), images.x
    assert OPTIONS.keys() == {field.name for field in dataclasses.fields(QuantizeOptions)}
    other = x.copy()
    other[-1, -1, -1, -1] += 1
    found = [
        keys.quantized_key(model, x, arch, QuantizeOptions()),
        keys.quantized_key(other_model(model), x, arch, QuantizeOptions()),
        keys.quantized_key(model, other, arch, QuantizeOptions()),
        keys.quantized_key(model, x[:-1], arch, QuantizeOptions()),
        keys.quantized_key(model, x.reshape(-1, 1, 28, 28, 1), arch, QuantizeOptions()),
        keys.quantized_key(model, x, Architecture(acc_bits=18), QuantizeOptions()),
        *(
            keys.quantized_key(model, x, arch, dataclasses.replace(QuantizeOptions(), **{name: value}))
            for name, value in OPTIONS.items()
        ),
    ]
    for package in ("numpy", "onnx", "onnxruntime", "tvm_re2na"):
        with monkeypatch.context() as patched:
            patched.setattr(sys.modules[package], "__version__", "another")
            keys.environment.cache_clear()
            found.append(keys.quantized_key(model, x, arch, QuantizeOptions()))
    for function in ("sources_digest", "processor"):
        with monkeypatch.context() as patched:
            patched.setattr(keys, function, lambda: "another")
            keys.environment.cache_clear()
            found.append(keys.quantized_key(model, x, arch, QuantizeOptions()))
    keys.environment.cache_clear()
    assert len({keys.text(key) for key in found}) == len(found)
    assert keys.quantized_key(model, x.copy(), Architecture(), QuantizeOptions()) == found[0]


def test_libraries(model: onnx.ModelProto, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    found = [
        keys.built_key(model, 1, None),
        keys.built_key(other_model(model), 1, None),
        keys.built_key(model, 2, None),
        keys.built_key(model, 1, Architecture()),
        keys.built_key(model, 1, Architecture(clock_mhz=1)),
    ]
    with monkeypatch.context() as patched:
        patched.setattr(packages, "version_of", lambda package: f"another {package}")
        found.append(keys.built_key(model, 1, None))
        patched.setattr(packages, "version_of", lambda package: None)  # a TVM that no package brought
        patched.setattr(keys, "import_module", lambda name: type("tvm", (), {"__version__": "own"}))
        found.append(keys.built_key(model, 1, None))
        assert found[-1]["tvm"].endswith(" own")
    with monkeypatch.context() as patched:
        patched.setattr(keys.abi, "library_path", lambda: tmp_path / "libre2na.so")
        found.append(keys.built_key(model, 1, None))
    assert len({keys.text(key) for key in found}) == len(found)


def test_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A byte, a name, a new file, a native library: each counts, and nothing else does, in the folder or beside it."""
    (outside := tmp_path / "checkout").mkdir()
    (tmp_path := tmp_path / "package").mkdir()
    monkeypatch.setattr(tvm_re2na, "__path__", [str(tmp_path), str(outside)])
    monkeypatch.setattr(tvm_re2na, "__file__", str(tmp_path / "__init__.py"))
    monkeypatch.setattr(keys.abi, "library_path", lambda: tmp_path / "libre2na.so")
    monkeypatch.setattr(tvm_re2na, "LOADED_AT", time.time() + 3600)
    found = [keys.sources_digest()]

    def step(change: Callable[[], object], counts: bool = True) -> None:
        change()
        digest = keys.sources_digest()
        assert (digest not in found) == counts
        found.append(digest)

    (tmp_path / "deep").mkdir()
    source = tmp_path / "deep" / "code.py"
    step(lambda: source.write_text("1"))
    step(lambda: source.write_text("2"))
    step(lambda: source.rename(source.with_name("other.py")))
    step(lambda: (tmp_path / "libre2na.so").write_bytes(b"1"))
    step(lambda: (tmp_path / "notes.txt").write_text("1"), counts=False)
    step(lambda: (outside / "setup.py").write_text("1"), counts=False)
    # now they are younger than what this process has loaded
    monkeypatch.setattr(tvm_re2na, "LOADED_AT", time.time() - 3600)
    step(lambda: None)
    step(lambda: None)


def test_options_are_told_alike_in_every_process() -> None:
    """The order of a set is not."""
    code = (
        "from tvm_re2na.cache import keys\nfrom tvm_re2na.quantize import QuantizeOptions\n"
        "print(keys.text(QuantizeOptions(keep_float=frozenset(map(str, range(20))))))"
    )
    told = {
        subprocess.run([sys.executable, "-c", code], env={"PYTHONHASHSEED": seed}, capture_output=True).stdout
        for seed in "12"
    }
    assert len(told) == 1 and told != {b""}
    with pytest.raises(TypeError, match="object"):
        keys.text(object())


# ---- quantised models are kept


def as_bytes(made: QuantizedModel) -> tuple[bytes, quantiser.QuantizationReport]:
    return made.model.SerializeToString(deterministic=True), made.report


def test_what_was_quantised_is_not_quantised_again(
    model: onnx.ModelProto, images: Dataset, kept: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Bits and report are those of a fresh one; without the cache, or with a damaged entry, it is made anew."""
    with off():
        fresh = pipeline.quantize(model, images, Architecture())
    assert not kept.exists()
    first = pipeline.quantize(model, images, Architecture())
    (path,) = kept.iterdir()
    whole = path.read_bytes()

    def fail(*_: object, **__: object) -> None:
        raise AssertionError("quantised again")

    with monkeypatch.context() as patched:
        patched.setattr(quantiser, "quantize", fail)
        second = pipeline.quantize(model, images, Architecture())
        same = pipeline.quantize(model, images, Architecture(), options=QuantizeOptions())
        assert pipeline.quantized_model(model, images, Architecture()) == first.model
        with off(), pytest.raises(AssertionError, match="quantised again"):
            pipeline.quantize(model, images, Architecture())
        path.write_bytes(whole[:-1])
        with pytest.raises(AssertionError, match="quantised again"):
            pipeline.quantize(model, images, Architecture())
    third = pipeline.quantize(model, images, Architecture())
    assert path.read_bytes() == whole
    assert as_bytes(fresh) == as_bytes(first) == as_bytes(second) == as_bytes(same) == as_bytes(third)


def test_other_options_are_other_entries(model: onnx.ModelProto, images: Dataset, kept: Path) -> None:
    pipeline.quantize(model, images, Architecture())
    narrow = pipeline.quantize(model, images, Architecture(), options=QuantizeOptions(weight_bits=4))
    assert narrow.report != pipeline.quantize(model, images, Architecture()).report
    store = current()
    assert isinstance(store, CacheStore) and store.size()[0] == 2
