"""One form for the many in which ONNX files say the same: in front of all else (docs/onnx.md)."""

from tvm_re2na.onnx_form.normalise import normalise

__all__ = ["normalise"]
