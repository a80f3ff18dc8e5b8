"""TVM's language of loops, by the same names in TVM 0.19 and in later ones, which call it `tirx`."""

from __future__ import annotations

from functools import partial
from typing import Any

try:
    from tvm import tirx as tir
    from tvm.script.ir_builder import tirx as T
except ImportError:  # TVM 0.19
    from tvm import tir
    from tvm.script.ir_builder import tir as T

__all__ = ["NOALIAS", "T", "bind", "intrinsic", "scratch", "tir"]

MODERN = hasattr(T, "bind")
NOALIAS = "tirx.noalias" if MODERN else "tir.noalias"


def bind(value: Any) -> Any:
    """The value of a vector, computed once. TVM 0.19 cannot describe a variable for a vector to LLVM's debugger."""
    if MODERN:
        return T.bind(value)
    element, lanes = str(value.dtype).split("x")
    kept = scratch((int(lanes),), element, "local")
    whole = tir.Ramp(0, 1, int(lanes))
    T.buffer_store(kept, value, [whole])
    return kept[whole]


def scratch(shape: tuple[int, ...], dtype: str, scope: str = "global") -> Any:
    """A buffer that exists until the end of the surrounding loop."""
    if MODERN:
        return T.alloc_buffer(shape, dtype, scope=scope)
    return _open(T.decl_buffer(shape, dtype, scope=scope))


def intrinsic(dtype: str, name: str, *operands: Any) -> Any:
    """A call of a pure function of LLVM's, whose types follow from those of its operands or from its name."""
    if MODERN:
        return tir.call_llvm_pure_intrin(dtype, name, *operands)
    return tir.call_llvm_pure_intrin(dtype, name, tir.const(0, "uint32"), *operands)


def _open(frame: Any) -> Any:
    """Enters a frame that ends with the one around it."""
    frame.add_callback(partial(frame.__exit__, None, None, None))
    return frame.__enter__()
