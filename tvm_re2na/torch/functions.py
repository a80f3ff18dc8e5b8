"""Functions of single numbers: between two quantised tensors such a function is a table of 256 bytes, and the table is its meaning.

The table is ONNX Runtime's answer for each byte, as it is on the machine and on TVM's CPU. The gradient is the float function's.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import Tensor, nn

from tvm_re2na.onnx_runtime import session
from tvm_re2na.torch import arithmetic
from tvm_re2na.torch.layers import QLayer
from tvm_re2na.torch.onnx_nodes import OnnxNode, to_constant, write

OPSET = 17
TABLES = 1024  # that are remembered


class QFunction(QLayer):
    """Each element of the result depends on one element of the input: `activation` in float, `nodes` in ONNX.

    nn.Sigmoid, nn.SiLU and others are known to `from_float`. For a function of your own derive from it, with an `__init__` that
    takes nothing. Until exponents are set, and where the input is no quantised tensor, it is the float function, rounded to even.
    """

    input_exponent: int | None

    def __init__(self, activation: nn.Module, nodes: OnnxNode | Sequence[OnnxNode] | None = None) -> None:
        super().__init__()
        self.init_machine()
        self.input_exponent = None
        self.activation = copy.deepcopy(activation)
        if hasattr(activation, "inplace"):
            self.activation.inplace = False  # the input is read again, for the table
        self._nodes = nodes

    @classmethod
    def from_float(cls, module: nn.Module) -> QFunction:
        """Of a module in `FUNCTIONS`; a class of your own is made without arguments."""
        if cls is QFunction:
            return cls(module)
        return cls()  # type: ignore[call-arg]

    def get_extra_state(self) -> dict[str, Any]:
        return super().get_extra_state() | {"input_exponent": self.input_exponent}

    def set_extra_state(self, state: dict[str, Any]) -> None:
        super().set_extra_state(state)
        self.input_exponent = state["input_exponent"]

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.activation(x)
        if self.exponent is None:
            return y
        steps = arithmetic.quantise_constant(y, self.exponent, self.limits)
        if self.input_exponent is not None:
            table = _table(self._model(self.input_exponent, self.exponent)).to(x.device)
            bytes_ = arithmetic.scale(x.detach(), -self.input_exponent).long()
            exact = table[bytes_ + 128].to(x.dtype).clamp(*self.limits)
            steps = steps + (exact - steps).detach()
        return arithmetic.scale(steps, self.exponent)

    def onnx(self) -> OnnxNode | Sequence[OnnxNode]:
        return self._nodes if self._nodes is not None else FUNCTIONS[type(self.activation)](self.activation)

    def _model(self, e_x: int, e_y: int) -> bytes:
        """int8 (256,) -> int8 (256,), the function between its scales."""
        constants: list[onnx.TensorProto] = []
        nodes = write(self.onnx(), "f", ["x"], lambda name, value: constants.append(to_constant(name, value)))
        for name, exponent in (("from", e_x), ("to", e_y)):
            constants.append(numpy_helper.from_array(np.array(math.ldexp(1.0, exponent), np.float32), name))
        constants.append(numpy_helper.from_array(np.array(0, np.int8), "zero"))
        nodes.insert(0, helper.make_node("DequantizeLinear", ["bytes", "from", "zero"], ["x"]))
        nodes.append(helper.make_node("QuantizeLinear", ["f:0", "to", "zero"], ["entries"]))
        ends = [helper.make_tensor_value_info(name, TensorProto.INT8, [1, 256]) for name in ("bytes", "entries")]
        graph = helper.make_graph(nodes, "table", ends[:1], ends[1:], constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)])
        model.ir_version = 8
        serialized: bytes = model.SerializeToString()
        return serialized


@lru_cache(TABLES)
def _table(model: bytes) -> Tensor:
    """What becomes of -128, of -127, and so on: integers (256,)."""
    entries = session(model).run(None, {"bytes": np.arange(-128, 128, dtype=np.int8).reshape(1, 256)})[0]
    return torch.from_numpy(entries.reshape(256).astype(np.float32))


def _plain(op: str) -> Callable[[Any], OnnxNode]:
    return lambda module: OnnxNode(op)


def _gelu(module: Any) -> list[OnnxNode]:
    half, one, three = torch.tensor(0.5), torch.tensor(1.0), torch.tensor(3.0)
    if module.approximate == "none":
        bent = [OnnxNode("Mul", (torch.tensor(math.sqrt(0.5)),)), OnnxNode("Erf")]
    else:
        bent = [
            OnnxNode("Pow", (three,)),
            OnnxNode("Mul", (torch.tensor(0.044715),)),
            OnnxNode("Add", (), {}, (0, 2)),
            OnnxNode("Mul", (torch.tensor(math.sqrt(2 / math.pi)),)),
            OnnxNode("Tanh"),
        ]
    return [*bent, OnnxNode("Add", (one,)), OnnxNode("Mul", (), {}, (0, len(bent) + 1)), OnnxNode("Mul", (half,))]


FUNCTIONS: dict[type[nn.Module], Callable[[Any], OnnxNode | Sequence[OnnxNode]]] = {
    nn.Sigmoid: _plain("Sigmoid"),
    nn.Tanh: _plain("Tanh"),
    nn.Hardswish: _plain("HardSwish"),
    nn.Hardsigmoid: lambda module: OnnxNode("HardSigmoid", (), {"alpha": 1 / 6, "beta": 0.5}),
    nn.SiLU: lambda module: (OnnxNode("Sigmoid"), OnnxNode("Mul", (), {}, (0, 1))),
    nn.GELU: _gelu,
    nn.Mish: lambda module: (OnnxNode("Softplus"), OnnxNode("Tanh"), OnnxNode("Mul", (), {}, (0, 2))),
    nn.ELU: lambda module: OnnxNode("Elu", (), {"alpha": float(module.alpha)}),
    nn.SELU: _plain("Selu"),
    nn.Softsign: _plain("Softsign"),
    nn.LeakyReLU: lambda module: OnnxNode("LeakyRelu", (), {"alpha": float(module.negative_slope)}),
    nn.PReLU: lambda module: OnnxNode("PRelu", (module.weight,)),
}
