"""TVM's ONNX importer in a fraction of its time."""

from tvm_re2na.frontends.relay.importer import import_onnx

__all__ = ["import_onnx"]
