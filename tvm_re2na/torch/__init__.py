"""Re²Na in PyTorch: layers that compute the machine's bits and can be trained, `convert`, `export` and `from_onnx`."""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("PyTorch is not installed: pip install 'tvm_re2na[torch]'") from error

from tvm_re2na.torch.convert import calibrate, convert
from tvm_re2na.torch.export import ExportError, export, float_onnx
from tvm_re2na.torch.layers import (
    OnnxNode,
    QAdd,
    QClip,
    QConv2d,
    QInput,
    QLayer,
    QLinear,
    QMaxPool2d,
    QReLU,
    QSumPool2d,
)
from tvm_re2na.torch.load import LoadError, from_onnx
from tvm_re2na.torch.replace import ConvertError, replace_layers

__all__ = [
    "ConvertError",
    "ExportError",
    "LoadError",
    "OnnxNode",
    "QAdd",
    "QClip",
    "QConv2d",
    "QInput",
    "QLayer",
    "QLinear",
    "QMaxPool2d",
    "QReLU",
    "QSumPool2d",
    "calibrate",
    "convert",
    "export",
    "float_onnx",
    "from_onnx",
    "replace_layers",
]
