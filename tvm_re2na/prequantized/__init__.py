"""Pre-quantised models, those that another tool quantised: read as they are, re-quantised on request. Knows no TVM."""

from tvm_re2na.prequantized.dequantise import DequantisedModel, dequantise
from tvm_re2na.prequantized.encoding import Encoding
from tvm_re2na.prequantized.errors import PrequantizedError
from tvm_re2na.prequantized.qonnx import to_qdq
from tvm_re2na.prequantized.report import RequantizationCost, RequantizationReport, TensorChange
from tvm_re2na.prequantized.requantize import Requantized, requantize

__all__ = [
    "DequantisedModel",
    "Encoding",
    "PrequantizedError",
    "RequantizationCost",
    "RequantizationReport",
    "Requantized",
    "TensorChange",
    "dequantise",
    "requantize",
    "to_qdq",
]
