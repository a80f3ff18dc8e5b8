"""Golden vectors for people who build the chip: memories before and after instructions, as files (docs/vectors.md)."""

from tvm_re2na.vectors.choice import ChoiceError
from tvm_re2na.vectors.write import write_vectors

__all__ = ["ChoiceError", "write_vectors"]
