"""Writes what derives from the instruction table: `python -m tvm_re2na.codegen.generate`."""
