"""Quantise, compile and simulate CNNs for the Re²Na accelerator, from plain Apache TVM calls.

The names below and the modules behind them (`tvm_re2na.relay`, `tvm_re2na.pipeline`) are loaded when they are first used:
importing this package imports neither TVM nor ONNX; but TVM, once it is imported, knows the target "re2na" (`autoload.py`). The
quantiser is `tvm_re2na.quantize.quantize`: `tvm_re2na.quantize` is its package, and a name cannot be both.
"""

from __future__ import annotations

import time

from tvm_re2na import autoload

__version__ = "0.1.0"  # pyproject.toml reads it here
LOADED_AT = time.time()  # seconds since 1970: no module of ours was loaded before

TYPE_CHECKING = False  # `typing` is large, and the command's help must be quick
if TYPE_CHECKING:
    from typing import Any

    from tvm_re2na.codegen.arch import Architecture
    from tvm_re2na.codegen.arch_fields import ArchitectureError
    from tvm_re2na.codegen.errors import CompileError
    from tvm_re2na.codegen.program import Program, ProgramError
    from tvm_re2na.data import load_dataset
    from tvm_re2na.dataset import Dataset
    from tvm_re2na.debugging import Debugging, debug
    from tvm_re2na.evaluate import compare
    from tvm_re2na.exploration.run import Exploration, explore
    from tvm_re2na.exploration.sweep import SweepError
    from tvm_re2na.frontends import explain, partition_for_re2na, target  # the installed TVM's
    from tvm_re2na.frontends.common.door import NotOffloadedWarning
    from tvm_re2na.model_error import ModelError
    from tvm_re2na.npz import DataError
    from tvm_re2na.opinion import SecondOpinion, second_opinion
    from tvm_re2na.pipeline import load_model
    from tvm_re2na.preprocessing import Preprocessing, PreprocessingError
    from tvm_re2na.quantize import QuantizedModel, QuantizeError, QuantizeOptions
    from tvm_re2na.reporting import ReportError, RunReport, report
    from tvm_re2na.runtime.library import Simulator
    from tvm_re2na.simulation import Simulation, simulate
    from tvm_re2na.tally import Comparison

_HOMES = {
    "Architecture": "codegen.arch",
    "ArchitectureError": "codegen.arch_fields",
    "CompileError": "codegen.errors",
    "Comparison": "tally",
    "DataError": "npz",
    "Dataset": "dataset",
    "Debugging": "debugging",
    "Exploration": "exploration.run",
    "ModelError": "model_error",
    "NotOffloadedWarning": "frontends.common.door",
    "Preprocessing": "preprocessing",
    "PreprocessingError": "preprocessing",
    "Program": "codegen.program",
    "ProgramError": "codegen.program",
    "QuantizeError": "quantize",
    "QuantizeOptions": "quantize",
    "QuantizedModel": "quantize",
    "ReportError": "reporting",
    "RunReport": "reporting",
    "SecondOpinion": "opinion",
    "Simulation": "simulation",
    "Simulator": "runtime.library",
    "SweepError": "exploration.sweep",
    "compare": "evaluate",
    "debug": "debugging",
    "explain": "frontends",
    "explore": "exploration.run",
    "load_dataset": "data",
    "load_model": "pipeline",
    "partition_for_re2na": "frontends",
    "report": "reporting",
    "second_opinion": "opinion",
    "simulate": "simulation",
    "target": "frontends",
}

_MODULES = ("cache", "codegen", "pipeline", "prequantized", "quantize", "relax", "relay", "runtime", "survey", "torch")

__all__ = [
    "Architecture",
    "ArchitectureError",
    "Comparison",
    "CompileError",
    "DataError",
    "Dataset",
    "Debugging",
    "Exploration",
    "ModelError",
    "NotOffloadedWarning",
    "Preprocessing",
    "PreprocessingError",
    "Program",
    "ProgramError",
    "QuantizeError",
    "QuantizeOptions",
    "QuantizedModel",
    "ReportError",
    "RunReport",
    "SecondOpinion",
    "Simulation",
    "Simulator",
    "SweepError",
    "__version__",
    "compare",
    "debug",
    "explain",
    "explore",
    "load_dataset",
    "load_model",
    "partition_for_re2na",
    "report",
    "second_opinion",
    "simulate",
    "target",
]


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _MODULES:
        return import_module(f"{__name__}.{name}")
    if name not in _HOMES:
        raise AttributeError(f"module '{__name__}' has no attribute '{name}'")
    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


autoload.install()
