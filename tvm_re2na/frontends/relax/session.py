"""One network, built for the CPU or for Re²Na, and run: plain TVM calls that the pipeline strings together."""

from __future__ import annotations

import io
import os
import sys
import traceback
from contextlib import redirect_stdout
from typing import Any

import numpy.typing as npt
import onnx
import tvm
from tvm import relax
from tvm.relax.frontend.onnx import from_onnx

from tvm_re2na.batches import Batch, arrays_of
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.frontends.common.errors import simulator_errors
from tvm_re2na.frontends.common.programs import compiled_before
from tvm_re2na.frontends.interface import Built, Dump, Params, Runner
from tvm_re2na.frontends.relax.backend import export_library
from tvm_re2na.frontends.relax.explain import explain as explain
from tvm_re2na.frontends.relax.explain import offloaded_macs_share
from tvm_re2na.frontends.relax.host import host_target
from tvm_re2na.frontends.relax.jobs import JOBS
from tvm_re2na.frontends.relax.names import name_operators
from tvm_re2na.frontends.relax.partition import border_bytes, find, for_cpu, partition
from tvm_re2na.frontends.relax.watch import watch as watch
from tvm_re2na.frontends.relax.written_out import as_one

compile_for_re2na = JOBS.compile_for_re2na
lower_for_each = JOBS.lower_for_each


def import_onnx(model: onnx.ModelProto, shape: dict[str, tuple[int, ...]]) -> tuple[tvm.IRModule, Params]:
    """ONNX -> Relax with inputs of these shapes, by their names; weights become constants, so there are no parameters."""
    given = {name: list(sizes) for name, sizes in shape.items()}
    with io.StringIO() as chatter, redirect_stdout(chatter):  # where it fails, it prints before it raises
        try:
            mod = as_one(from_onnx(model, shape_dict=given, keep_params_in_input=False))
            return name_operators(mod, model), {}
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

    def run(batch: Batch) -> list[npt.NDArray[Any]]:
        with simulator_errors():
            result = machine["main"](*map(tvm.runtime.tensor, arrays_of(batch)))
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
    partitioned = partition(mod, params, arch, target=target)
    programs = JOBS.programs(partitioned, dump)
    with compiled_before(programs):
        library = tvm.compile(relax.transform.RunCodegen()(partitioned.module), target=target)
    mod = partitioned.module
    return Built(library, open_library, tuple(programs.items()), offloaded_macs_share(mod), border_bytes(mod["main"]))
