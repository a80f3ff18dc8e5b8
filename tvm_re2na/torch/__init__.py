"""Re²Na in PyTorch: layers that compute the machine's bits and can be trained, `convert`, `export` and `from_onnx`."""

try:
    import torch as _torch  # noqa: F401
except ImportError as error:
    raise ImportError("PyTorch is not installed: pip install 'tvm_re2na[torch]'") from error

from tvm_re2na.torch.augment import Augment
from tvm_re2na.torch.convert import calibrate, convert
from tvm_re2na.torch.distill import Distillation, DistillError, distill
from tvm_re2na.torch.export import ExportError, export, float_onnx
from tvm_re2na.torch.finetune import FineTuneError, FineTuning, fine_tune
from tvm_re2na.torch.functions import QFunction
from tvm_re2na.torch.layers import (
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
from tvm_re2na.torch.moves import QChannels, QMul, QUpsample2d
from tvm_re2na.torch.onnx_nodes import OnnxNode
from tvm_re2na.torch.prune import PrunedLayer, PruneError, prune
from tvm_re2na.torch.replace import ConvertError, replace_layers
from tvm_re2na.torch.transposed import QConvTranspose2d

__all__ = [
    "Augment",
    "ConvertError",
    "DistillError",
    "Distillation",
    "ExportError",
    "FineTuneError",
    "FineTuning",
    "LoadError",
    "OnnxNode",
    "PruneError",
    "PrunedLayer",
    "QAdd",
    "QChannels",
    "QClip",
    "QConv2d",
    "QConvTranspose2d",
    "QFunction",
    "QInput",
    "QLayer",
    "QLinear",
    "QMaxPool2d",
    "QMul",
    "QReLU",
    "QSumPool2d",
    "QUpsample2d",
    "calibrate",
    "convert",
    "distill",
    "export",
    "fine_tune",
    "float_onnx",
    "from_onnx",
    "prune",
    "replace_layers",
]
