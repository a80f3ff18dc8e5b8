"""Compiles and times one network for a grid of machines: `tvm_re2na.explore`. No TVM in here, nor in the worker processes."""
