"""What is wrong with a model file, in one line."""

from __future__ import annotations

from tvm_re2na.codegen.errors import Re2naError


class ModelError(Re2naError, ValueError):
    """A model file cannot be used; the message names the file and what is wrong."""

    of_model = True


def first_line(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
