"""A network built for the CPU and for Re²Na: taken from the cache, or built now and kept there."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable
from contextlib import suppress
from dataclasses import astuple, dataclass, replace
from functools import cache
from pathlib import Path

import onnx

from tvm_re2na import frontends, pipeline
from tvm_re2na.cache import current, keys
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.files import naming
from tvm_re2na.frontends.interface import Built, Module, Params, Runner
from tvm_re2na.progress import Progress, silent
from tvm_re2na.runtime.network_traffic import NetworkTraffic, network_traffic

LIBRARY, SHARE, TRAFFIC = "library", "offloaded_macs_share", "traffic"  # the parts of an entry


@dataclass(frozen=True)
class Artefact:
    """A network for one processor: `built` in this process, or `content`, a shared library that was kept, or both."""

    offloaded_macs_share: float
    traffic: NetworkTraffic
    build: Callable[[], Built]
    built: Built | None = None
    content: bytes | None = None

    def library(self) -> bytes:
        """The shared library, for `Session.load_library` in other processes. Where none is kept, this takes a C++ linker."""
        return self.content if self.content is not None else _exported(self.built or self.build())

    def executor(self) -> Runner:
        """A function that runs one batch of float images in this process and returns all outputs."""
        if self.built is None and self.content is not None:
            # whole, but it may be of no use here any more, as when a system library has gone; TVM raises anything then
            with suppress(Exception):
                return open_library(self.content)
        return (self.built or self.build()).executor()


def artefacts(
    model: onnx.ModelProto, arch: Architecture, batch: int = 1, progress: Progress = silent
) -> tuple[Artefact, Artefact]:
    """A quantised model for the CPU and for Re²Na. Where both are kept, TVM imports and builds nothing.

    Raises ModelError or CompileError, as `pipeline.import_into_tvm` and `pipeline.build_for_re2na`.
    """

    @cache
    def imported() -> tuple[Module, Params]:
        return pipeline.import_into_tvm(model, batch)

    progress("build", 0, 2)
    cpu = _artefact(lambda: keys.built_key(model, batch, None), lambda: pipeline.build_for_cpu(*imported()))
    progress("build", 1, 2)
    re2na = _artefact(lambda: keys.built_key(model, batch, arch), lambda: pipeline.build_for_re2na(*imported(), arch))
    progress("build", 2, 2)
    return cpu, re2na


def for_cpu(model: onnx.ModelProto, batch: int = 1, progress: Progress = silent) -> Artefact:
    """A quantised model for the CPU alone; raises as `artefacts`."""
    progress("build", 0, 1)
    found = _artefact(
        lambda: keys.built_key(model, batch, None),
        lambda: pipeline.build_for_cpu(*pipeline.import_into_tvm(model, batch)),
    )
    progress("build", 1, 1)
    return found


def _artefact(key: Callable[[], dict[str, str]], build: Callable[[], Built]) -> Artefact:
    place = current()
    if place is None:
        return _fresh(build)
    known = key()
    kept = place.get(known)
    if kept is not None:
        return Artefact(float(kept[SHARE]), NetworkTraffic(*json.loads(kept[TRAFFIC])), build, None, kept[LIBRARY])
    fresh = _fresh(build)
    try:
        content = fresh.library()
    except Exception:  # no linker, or no room: TVM raises anything, and the network runs in this process all the same
        return fresh
    traffic = json.dumps(astuple(fresh.traffic)).encode()
    place.put(known, {LIBRARY: content, SHARE: repr(fresh.offloaded_macs_share).encode(), TRAFFIC: traffic})
    return replace(fresh, content=content)


def _fresh(build: Callable[[], Built]) -> Artefact:
    built = build()
    traffic = network_traffic([program for _, program in built.programs], built.border_bytes)
    return Artefact(built.offloaded_macs_share, traffic, build, built)


def _exported(built: Built) -> bytes:
    with tempfile.TemporaryDirectory(prefix="re2na.") as folder:
        path = Path(folder) / "network.so"
        frontends.session().save_library(built.library, path)
        return path.read_bytes()


def open_library(content: bytes) -> Runner:
    """The file may go as soon as it is loaded."""
    with tempfile.TemporaryDirectory(prefix="re2na.") as folder:
        path = Path(folder) / "network.so"
        with naming(path):
            path.write_bytes(content)
        return frontends.session().load_library(path)
