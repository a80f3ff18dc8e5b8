"""Quantised models made elsewhere: read as they are where that is exact, requantised on request. Knows no TVM."""

from tvm_re2na.guests.dequantise import Float, dequantise
from tvm_re2na.guests.encoding import Encoding
from tvm_re2na.guests.errors import GuestError
from tvm_re2na.guests.qonnx import to_qdq
from tvm_re2na.guests.report import Cost, RequantizationReport, TensorChange
from tvm_re2na.guests.requantize import Requantized, requantize

__all__ = [
    "Cost",
    "Encoding",
    "Float",
    "GuestError",
    "RequantizationReport",
    "Requantized",
    "TensorChange",
    "dequantise",
    "requantize",
    "to_qdq",
]
