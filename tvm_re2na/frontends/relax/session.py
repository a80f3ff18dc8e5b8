"""One network, built for the CPU or for Re²Na, and run: plain TVM calls that the pipeline strings together."""

from __future__ import annotations

import io
import os
import sys
import traceback
from collections.abc import Sequence
from contextlib import redirect_stdout
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.frontends.common.errors import simulator_errors
from tvm_re2na.frontends.interface import Built, Compiled, Dump, Lowered, Params, Runner
from tvm_re2na.frontends.relax.backend import collect_programs, export_library
from tvm_re2na.frontends.relax.explain import explain, offloaded_macs_share
from tvm_re2na.frontends.relax.host import host_target
from tvm_re2na.frontends.relax.lower import lower
from tvm_re2na.frontends.relax.names import name_operators
from tvm_re2na.frontends.relax.partition import (
    Found,
    find,
    for_cpu,
    judge,
    offloaded_functions,
    partition_for_re2na,
    partition_found,
)

__all__ = [
    "build_for_cpu",
    "build_for_re2na",
    "compile_for_re2na",
    "explain",
    "import_onnx",
    "import_tflite",
    "load_library",
    "lower_for_each",
    "save_library",
]


def import_onnx(model: onnx.ModelProto, shape: dict[str, tuple[int, ...]]) -> tuple[tvm.IRModule, Params]:
    given = {name: list(sizes) for name, sizes in shape.items()}
    with io.StringIO() as chatter, redirect_stdout(chatter):  # where it fails, it prints before it raises
        try:
            return name_operators(from_onnx(model, shape_dict=given, keep_params_in_input=False), model), {}
        except Exception as error:
            _let_go(error)
            raise


def _let_go(error: Exception) -> None:
    """Free what a failed import leaves behind, whose destructor would complain on the standard error."""
    sys.stderr.flush()
    saved, nowhere = os.dup(2), os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 2)
    try:
        traceback.clear_frames(error.__traceback__)
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(nowhere)


def import_tflite(content: bytes) -> tuple[tvm.IRModule, Params]:
    """TVM's importer for Relax knows no quantised TFLite operators."""
    del content
    raise NotImplementedError("today's TVM reads no quantised TFLite; TVM 0.19 does, in an environment of its own")


def open_library(library: Any) -> Runner:
    """Runs what `tvm.compile` made, in the virtual machine."""
    machine = relax.VirtualMachine(library, tvm.cpu())

    def run(images: npt.NDArray[np.float32]) -> list[npt.NDArray[Any]]:
        with simulator_errors():
            result = machine["main"](tvm.runtime.tensor(np.ascontiguousarray(images)))
        return [output.numpy() for output in ([result] if hasattr(result, "numpy") else result)]

    return run


def save_library(library: Any, path: str | os.PathLike[str]) -> None:
    """What `tvm.compile` made, as a shared library."""
    export_library(library, path)


def load_library(path: str | os.PathLike[str]) -> Runner:
    """Runs what `save_library` wrote."""
    return open_library(tvm.runtime.load_module(os.fspath(path)))


def build_for_cpu(mod: tvm.IRModule, params: Params, target: Any = None) -> Built:
    """Every quantised operator in integers for `target`, by default this processor; "llvm" is what the others are judged by."""
    target = host_target() if target is None else tvm.target.Target(target)
    return Built(tvm.compile(for_cpu(find(mod, params), target), target=target), open_library)


def build_for_re2na(mod: tvm.IRModule, params: Params, arch: Architecture, dump: Dump | None = None) -> Built:
    """The same, partitioned; raises CompileError where the machine is too small."""
    target = host_target()
    partitioned = partition_for_re2na(mod, params, arch=arch, target=target)
    if dump is not None:
        for symbol, function in offloaded_functions(partitioned):
            compile_graph(lower(function, symbol, arch), arch, dump=dump)
    with collect_programs() as programs:
        library = tvm.compile(relax.transform.RunCodegen()(partitioned), target=target)
    return Built(library, open_library, tuple(programs), offloaded_macs_share(partitioned))


def compile_for_re2na(mod: tvm.IRModule, params: Params, arch: Architecture, dump: Dump | None = None) -> Compiled:
    """Its programs alone; raises CompileError where the machine is too small."""
    partitioned = partition_for_re2na(mod, params, arch=arch)
    programs = tuple(
        (symbol, compile_graph(lower(function, symbol, arch), arch, dump=dump))
        for symbol, function in offloaded_functions(partitioned)
    )
    return Compiled(programs, offloaded_macs_share(partitioned))


def lower_for_each(mod: tvm.IRModule, params: Params, archs: Sequence[Architecture]) -> list[Lowered]:
    """What each machine takes of one network; the machines may differ in anything but their arithmetic.

    The network is analysed once, and partitioned once for each set of operators that some machine has to reject; machines
    with the same set get the same object.
    """
    found = find(mod, params)
    known: dict[frozenset[str], Lowered] = {}
    lowered = []
    for arch in archs:
        rejected = frozenset(judge(found, arch))
        if rejected not in known:
            known[rejected] = _lowered(found, arch)
        lowered.append(known[rejected])
    return lowered


def _lowered(found: Found, arch: Architecture) -> Lowered:
    partitioned = partition_found(found, judge(found, arch), arch)
    graphs = tuple(lower(function, symbol, arch) for symbol, function in offloaded_functions(partitioned))
    return Lowered(graphs, offloaded_macs_share(partitioned))
