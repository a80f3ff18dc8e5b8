"""One network, built for the CPU or for Re²Na, and run: plain TVM calls that the pipeline strings together."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy.typing as npt
import onnx
import tvm
from tvm import relay
from tvm.contrib import graph_executor
from tvm.ir import diagnostics

from tvm_re2na.batches import Batch, arrays_of
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.frontends.common.errors import simulator_errors
from tvm_re2na.frontends.common.programs import compiled_before
from tvm_re2na.frontends.interface import Built, Dump, Params, Runner
from tvm_re2na.frontends.relay import importer
from tvm_re2na.frontends.relay.backend import export_library, without_bodies
from tvm_re2na.frontends.relay.exact import exact_build, host_target
from tvm_re2na.frontends.relay.explain import explain as explain_operators
from tvm_re2na.frontends.relay.explain import offloaded_macs_share
from tvm_re2na.frontends.relay.jobs import JOBS
from tvm_re2na.frontends.relay.native import with_kernels
from tvm_re2na.frontends.relay.partition import border_bytes, partition, prepare
from tvm_re2na.frontends.relay.watch import watch as watch

logging.getLogger("autotvm").setLevel(logging.ERROR)  # it would advise to tune the CPU's kernels


@contextmanager
def _diagnostics_raised() -> Iterator[None]:
    """TVM prints why types do not fit, and raises that it has done so; here the reason is in the exception."""
    said: list[str] = []
    diagnostics.override_renderer(lambda context: said.extend(str(item.message) for item in context.diagnostics))
    try:
        yield
    except tvm.error.DiagnosticError as error:
        raise tvm.error.DiagnosticError("".join(said[:1]) or str(error)) from error
    finally:
        diagnostics.override_renderer(None)


explain = _diagnostics_raised()(explain_operators)
compile_for_re2na = _diagnostics_raised()(JOBS.compile_for_re2na)
lower_for_each = _diagnostics_raised()(JOBS.lower_for_each)


@_diagnostics_raised()
def import_onnx(model: onnx.ModelProto, shape: dict[str, tuple[int, ...]]) -> tuple[tvm.IRModule, Params]:
    """ONNX -> Relay with inputs of these shapes, by their names; weights become constants, so there are no parameters."""
    return importer.import_onnx(model, shape), {}


def import_tflite(content: bytes) -> tuple[tvm.IRModule, Params]:
    """A TFLite model, weights as constants, NHWC brought to NCHW, which is what Re²Na's operators are written in.

    Raises ImportError without the package `tflite`, and whatever TVM raises, which may be any exception.
    """
    import tflite

    mod, params = relay.frontend.from_tflite(tflite.Model.GetRootAsModel(content, 0))
    mod["main"] = relay.build_module.bind_params_by_name(mod["main"], params)
    layouts = {"qnn.conv2d": ["NCHW", "OIHW"], "nn.max_pool2d": ["NCHW"]}
    with tvm.transform.PassContext(opt_level=3):
        mod = tvm.transform.Sequential([relay.transform.ConvertLayout(layouts), relay.transform.FoldConstant()])(mod)
    return mod, {}


def open_library(library: Any) -> Runner:
    """Runs what `relay.build` made, in the graph executor."""
    module = graph_executor.GraphModule(library["default"](tvm.cpu()))

    def run(batch: Batch) -> list[npt.NDArray[Any]]:
        for index, array in enumerate(arrays_of(batch)):
            module.set_input(index, array)
        with simulator_errors():
            module.run()
        return [module.get_output(index).numpy() for index in range(module.get_num_outputs())]

    return run


def save_library(library: Any, path: str | os.PathLike[str]) -> None:
    """What `relay.build` made, as a shared library."""
    export_library(library, path)


def load_library(path: str | os.PathLike[str]) -> Runner:
    """Runs what `save_library` wrote."""
    return open_library(tvm.runtime.load_module(os.fspath(path)))


@_diagnostics_raised()
def build_for_cpu(mod: tvm.IRModule, params: Params, target: Any = None) -> Built:
    """The integer graph for `target`, by default this processor's vector units; "llvm" is what the others are judged by."""
    mod = prepare(mod, params)
    if target is None:
        target = host_target()
        mod = with_kernels(mod, target)
    with exact_build():
        return Built(relay.build(mod, target=target), open_library)


@_diagnostics_raised()
def build_for_re2na(mod: tvm.IRModule, params: Params, arch: Architecture, dump: Dump | None = None) -> Built:
    """The same graph, partitioned; raises CompileError where the machine is too small."""
    partitioned = partition(mod, params, arch)
    target, programs = host_target(), JOBS.programs(partitioned, dump)
    with compiled_before(programs), exact_build():
        library = relay.build(with_kernels(without_bodies(partitioned.module), target), target=target)
    mod = partitioned.module
    return Built(library, open_library, tuple(programs.items()), offloaded_macs_share(mod), border_bytes(mod["main"]))
