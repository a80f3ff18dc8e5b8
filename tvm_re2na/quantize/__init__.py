"""Float ONNX to ONNX QDQ with power-of-two scales that respect the accumulator. Knows nothing of TVM."""

from tvm_re2na.quantize.errors import QuantizeError
from tvm_re2na.quantize.options import Guarantee, QuantizeOptions, ScaleRule, WeightRounding
from tvm_re2na.quantize.quantizer import QuantizedModel, quantize
from tvm_re2na.quantize.report import ImagesReport, LayerReport, OutputReport, QuantizationReport

__all__ = [
    "Guarantee",
    "ImagesReport",
    "LayerReport",
    "OutputReport",
    "QuantizationReport",
    "QuantizeError",
    "QuantizeOptions",
    "QuantizedModel",
    "ScaleRule",
    "WeightRounding",
    "quantize",
]
