"""Who is raced: every side as a function that runs one image."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import tvm
from tvm import relay
from tvm.contrib import graph_executor

from tvm_re2na import Architecture, pipeline
from tvm_re2na.codegen.program import Program
from tvm_re2na.relay import prepare
from tvm_re2na.relay.session import build_for_cpu
from tvm_re2na.runtime import library
from tvm_re2na.runtime.library import Simulator

Outputs: TypeAlias = list[npt.NDArray[Any]]
Side: TypeAlias = Callable[[], Outputs]
AVX2 = "llvm -mcpu=core-avx2"


def sides(path: Path, image: npt.NDArray[np.float32], threads: int, kernel: str) -> tuple[dict[str, Side], Program]:
    """By name, and the program of the network's one offloaded region.

    re2na: the TVM module of the offloaded network, with the kernel that RE2NA_KERNEL names. simulator: its program alone, without
    TVM, with `kernel`. ort, ort_precise: ONNX Runtime on the same QDQ file, as it comes and with `session.x64quantprecision`.
    tvm: the same QNN graph on plain llvm, exact. tvm_avx2: on llvm for AVX2, whose int8 kernels saturate.
    """
    model = onnx.load(path)
    mod, params = pipeline.import_into_tvm(model)
    library.bridge_set_threads(threads)
    built = pipeline.build_for_re2na(mod, params, Architecture())
    (_, program), *others = built.programs
    if others:
        raise RuntimeError(f"{path.name}: {len(others) + 1} offloaded regions, one was expected")
    simulator = Simulator(program, kernel=kernel, threads=threads)
    values = [np.random.default_rng(1).integers(-128, 128, port.shape).astype(np.int8) for port in simulator.inputs]
    found: dict[str, Side] = {
        "re2na": _bound(built.executor(), image),
        "simulator": lambda: list(simulator.run(values).outputs),
        "ort": _ort(model, image, threads, precise=False),
        "ort_precise": _ort(model, image, threads, precise=True),
        "tvm": _bound(build_for_cpu(mod, params, "llvm").executor(), image),
        "tvm_avx2": _tvm_avx2(mod, params, image),
    }
    return found, program


def _bound(run: Callable[[npt.NDArray[np.float32]], Outputs], image: npt.NDArray[np.float32]) -> Side:
    return lambda: run(image)


def _ort(model: onnx.ModelProto, image: npt.NDArray[np.float32], threads: int, precise: bool) -> Side:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    if precise:
        options.add_session_config_entry("session.x64quantprecision", "1")
    session = onnxruntime.InferenceSession(model.SerializeToString(), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda: session.run(None, {name: image})


def _tvm_avx2(mod: Any, params: dict[str, Any], image: npt.NDArray[np.float32]) -> Side:
    with tvm.transform.PassContext(opt_level=3):
        built = relay.build(prepare(mod, params), target=AVX2)
    module = graph_executor.GraphModule(built["default"](tvm.cpu()))

    def run() -> Outputs:
        module.set_input(0, image)
        module.run()
        return [module.get_output(index).numpy() for index in range(module.get_num_outputs())]

    return run
