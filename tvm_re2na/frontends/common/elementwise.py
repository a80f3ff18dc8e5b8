"""Operators in floating point that work element by element, in NumPy: as ONNX defines them, each result rounded to 32 bits.

They have Relax's names without `relax.`; Relay's are the same but for a few. One more function is one more line.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

Floats: TypeAlias = npt.NDArray[np.float32]  # of a comparison, truth values
Doubles: TypeAlias = npt.NDArray[np.float64]
Function: TypeAlias = Callable[..., Floats]

# what leaves the elements of its first operand as they are, in their order
MOVES = frozenset(
    ("reshape", "squeeze", "expand_dims", "flatten", "nn.batch_flatten", "copy", "broadcast_to", "broadcast_to_like")
)


def _precise(function: Callable[..., Doubles]) -> Function:
    """Computed in 64 bits: the nearest of 32 bits whatever the processor, where a library's own may be the one beside it."""

    def rounded(*operands: Floats) -> Floats:
        return function(*(operand.astype(np.float64) for operand in operands)).astype(np.float32)

    return rounded


def _sigmoid(x: Doubles) -> Doubles:
    share: Doubles = 1 / (1 + np.exp(-x))
    return share


def _erf(x: Doubles) -> Doubles:
    return np.array([math.erf(value) for value in x.flat], np.float64).reshape(x.shape)


def _gelu(x: Doubles) -> Doubles:
    return x * (1 + _erf(x / math.sqrt(2))) / 2


def _gelu_tanh(x: Doubles) -> Doubles:
    bent: Doubles = np.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3))
    return x * (1 + bent) / 2


FUNCTIONS: dict[str, Function] = {
    # exact, or rounded as the processor rounds
    "abs": np.abs,
    "negative": np.negative,
    "sign": np.sign,
    "floor": np.floor,
    "ceil": np.ceil,
    "trunc": np.trunc,
    "round": np.rint,
    "add": np.add,
    "subtract": np.subtract,
    "multiply": np.multiply,
    "divide": np.divide,
    "mod": np.fmod,
    "square": np.square,
    "sqrt": np.sqrt,
    "maximum": np.maximum,
    "minimum": np.minimum,
    "nn.relu": lambda x: np.maximum(x, np.float32(0)),
    "nn.prelu": lambda x, slope: np.where(x < 0, slope * x, x),
    "greater": np.greater,
    "greater_equal": np.greater_equal,
    "less": np.less,
    "less_equal": np.less_equal,
    "where": np.where,
    # rounded once
    "rsqrt": _precise(lambda x: 1 / np.sqrt(x)),
    "power": _precise(np.power),
    "exp": _precise(np.exp),
    "log": _precise(np.log),
    "log2": _precise(np.log2),
    "log10": _precise(np.log10),
    "sin": _precise(np.sin),
    "cos": _precise(np.cos),
    "tan": _precise(np.tan),
    "asin": _precise(np.arcsin),
    "acos": _precise(np.arccos),
    "atan": _precise(np.arctan),
    "sinh": _precise(np.sinh),
    "cosh": _precise(np.cosh),
    "tanh": _precise(np.tanh),
    "asinh": _precise(np.arcsinh),
    "acosh": _precise(np.arccosh),
    "atanh": _precise(np.arctanh),
    "erf": _precise(_erf),
    "sigmoid": _precise(_sigmoid),
    "nn.silu": _precise(lambda x: x * _sigmoid(x)),
    "nn.gelu": _precise(_gelu),
    "nn.gelu_tanh": _precise(_gelu_tanh),
}


def leaky_relu(x: Floats, slope: float) -> Floats:
    return np.where(x < 0, np.float32(slope) * x, x)


def clip(x: Floats, low: float, high: float) -> Floats:
    return np.clip(x, np.float32(low), np.float32(high))
