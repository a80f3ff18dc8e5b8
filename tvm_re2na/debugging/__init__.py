"""One network in float, as QDQ in ONNX Runtime, on TVM's CPU and on Re²Na, operator by operator."""

from tvm_re2na.debugging.report import Debugging, OperatorFigures
from tvm_re2na.debugging.run import debug

__all__ = ["Debugging", "OperatorFigures", "debug"]
