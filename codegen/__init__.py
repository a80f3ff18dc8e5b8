"""From the accelerator graph to a `.re2na` program; knows neither TVM nor ONNX."""
