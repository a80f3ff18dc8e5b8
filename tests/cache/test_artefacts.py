"""What is built for the CPU and for Re²Na is kept; TVM is a stand-in here, so that every way to fail can be had."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from tvm_re2na import Architecture, artefacts, cache, frontends, pipeline
from tvm_re2na.frontends.interface import Built

IMAGE = np.zeros((1, 1, 2, 2), np.float32)
MODEL = onnx.helper.make_model(onnx.helper.make_graph([], "nothing", [], []))


@dataclass
class Tvm:
    """Counts what it is asked for. A library is a name, and its runner returns the name's letters."""

    calls: list[str] = field(default_factory=list)
    linker: bool = True
    loads: bool = True

    def import_into_tvm(self, model: onnx.ModelProto, batch: int) -> tuple[str, dict[str, Any]]:
        self.calls.append("import")
        return f"model {batch}", {}

    def build_for_cpu(self, mod: str, params: dict[str, Any]) -> Built:
        self.calls.append("cpu")
        return Built(f"{mod} on the CPU", runner)

    def build_for_re2na(self, mod: str, params: dict[str, Any], arch: Architecture) -> Built:
        self.calls.append("re2na")
        return Built(f"{mod} on Re2Na {arch.acc_bits}", runner, (), 0.1 + 0.2)

    def save_library(self, library: str, path: str | os.PathLike[str]) -> None:
        if not self.linker:
            raise RuntimeError("cannot find g++")
        Path(path).write_text(library)

    def load_library(self, path: str | os.PathLike[str]) -> Any:
        if not self.loads:
            raise OSError("libstdc++.so is not there")
        return runner(Path(path).read_text())

    def done(self) -> list[str]:
        """What it was asked for since the last time."""
        calls, self.calls = self.calls, []
        return calls


def runner(library: str) -> Callable[[npt.NDArray[np.float32]], list[npt.NDArray[Any]]]:
    return lambda images: [np.frombuffer(library.encode(), np.uint8)]


@pytest.fixture
def tvm(monkeypatch: pytest.MonkeyPatch) -> Tvm:
    stand_in = Tvm()
    for name in ("import_into_tvm", "build_for_cpu", "build_for_re2na"):
        monkeypatch.setattr(pipeline, name, getattr(stand_in, name))
    monkeypatch.setattr(frontends, "session", lambda: stand_in)
    return stand_in


def get(batch: int = 1, arch: Architecture | None = None) -> list[tuple[str, float, bytes]]:
    """Of both artefacts: what runs, the share, and the library."""
    made = artefacts.artefacts(MODEL, arch or Architecture(), batch)
    return [(runs(one), one.offloaded_macs_share, one.library()) for one in made]


def runs(one: artefacts.Artefact) -> str:
    return one.executor()(IMAGE)[0].tobytes().decode()


def test_the_second_time_tvm_is_asked_for_nothing(tvm: Tvm, kept: Path) -> None:
    with cache.off():
        without = get()
    assert not kept.exists() and tvm.done() == ["import", "cpu", "re2na"]
    cold = get()
    assert tvm.done() == ["import", "cpu", "re2na"]
    assert get() == cold == without
    assert tvm.done() == []
    assert [runs for runs, _, _ in cold] == ["model 1 on the CPU", "model 1 on Re2Na 17"]
    assert [share for _, share, _ in cold] == [0.0, 0.1 + 0.2]


def test_what_differs_is_built(tvm: Tvm, kept: Path) -> None:
    get()
    tvm.done()
    assert get(arch=Architecture(acc_bits=18))[1][0] == "model 1 on Re2Na 18"
    assert tvm.done() == ["import", "re2na"]  # the CPU is that of any machine
    assert get(batch=2)[0][0] == "model 2 on the CPU"
    assert tvm.done() == ["import", "cpu", "re2na"]
    assert len(list(kept.iterdir())) == 5


def test_a_damaged_library_is_built_anew(tvm: Tvm, kept: Path) -> None:
    expected = get()
    whole = {path: path.read_bytes() for path in kept.iterdir()}
    for path, content in whole.items():
        path.write_bytes(content.replace(b"on the", b"in the").replace(b"on Re2Na", b"in Re2Na"))
    tvm.done()
    assert get() == expected
    assert tvm.done() == ["import", "cpu", "re2na"]
    assert {path: path.read_bytes() for path in kept.iterdir()} == whole


def test_a_library_that_does_not_load_is_built_anew(tvm: Tvm, kept: Path) -> None:
    expected = get()
    tvm.done()
    tvm.loads = False
    assert get() == expected
    assert tvm.done() == ["import", "cpu", "re2na"]


def test_without_a_linker_nothing_is_kept(tvm: Tvm, kept: Path) -> None:
    tvm.linker = False
    for one in artefacts.artefacts(MODEL, Architecture()):
        assert runs(one).startswith("model 1 on")
        with pytest.raises(RuntimeError, match="cannot find g"):
            one.library()
    assert tvm.done() == ["import", "cpu", "re2na"]
    assert not kept.exists()
