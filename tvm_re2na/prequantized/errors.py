"""The one error of this package."""

from tvm_re2na.codegen.errors import Re2naError


class PrequantizedError(Re2naError, ValueError):
    """A pre-quantised model cannot be read; the message names the operator, what it has and what is known."""
