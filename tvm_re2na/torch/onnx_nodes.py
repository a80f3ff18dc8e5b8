"""How layers are written in float ONNX."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import onnx
from onnx import helper, numpy_helper
from torch import Tensor


@dataclass(frozen=True)
class OnnxNode:
    """How a layer is written in float ONNX: the operator, constant inputs behind the data, attributes.

    Of a layer of several operators `operands` says what one reads: 0, 1, ... are the layer's inputs, then come the results of the
    operators before it. By default the first reads all inputs, any other the result before it.
    """

    op: str
    constants: tuple[Tensor | None, ...] = ()
    attributes: Mapping[str, Any] = field(default_factory=dict)
    operands: tuple[int, ...] | None = None


def write(
    written: OnnxNode | Sequence[OnnxNode], name: str, inputs: Sequence[str], constant: Callable[[str, Tensor], None]
) -> list[onnx.NodeProto]:
    """A layer's nodes, of which the last is called `name` and makes `name:0`; `constant` is told its constants, by name."""
    nodes = [written] if isinstance(written, OnnxNode) else list(written)
    values, protos = list(inputs), []
    for index, node in enumerate(nodes):
        own = name if node is nodes[-1] else f"{name}.step{index}"
        read = range(len(inputs)) if not index else [len(values) - 1]
        names = [values[operand] for operand in (read if node.operands is None else node.operands)]
        for number, value in enumerate(node.constants):
            names.append("" if value is None else f"{own}.{number}")
            if value is not None:
                constant(names[-1], value)
        while not names[-1]:
            names.pop()
        protos.append(helper.make_node(node.op, names, [f"{own}:0"], name=own, **node.attributes))
        values.append(f"{own}:0")
    return protos


def to_constant(name: str, value: Tensor) -> onnx.TensorProto:
    """float32, or int64 for whole numbers."""
    array = value.detach().cpu().numpy()
    return numpy_helper.from_array(array.astype(np.float32 if array.dtype.kind == "f" else np.int64), name)
