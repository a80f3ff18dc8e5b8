"""Damaged ONNX files: a good model with a few fields changed, each by what is at stake there, or with its bytes changed."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from onnx import helper, numpy_helper

from tests.fuzz.good_models import models

Rng = np.random.Generator

INTEGERS = (
    0,
    1,
    -1,
    2,
    3,
    5,
    7,
    8,
    13,
    255,
    4096,
    65536,
    2**24,
    2**31 - 1,
    2**31,
    -(2**31),
    2**40,
    2**63 - 1,
    -(2**63),
)
FLOATS = (0.0, -0.0, 1.0, -1.0, 0.5, 1e-45, 1e-38, 1e10, 1e22, 3e38, -3e38, float("inf"), float("-inf"), float("nan"))
STRINGS = ("", "input", "x", "ai.onnx", "com.microsoft", "SAME_LOWER", "constant_0", "a/b", "..", "\n", "é", "n" * 5000)
OPERATORS = (
    *("Conv", "Gemm", "MatMul", "Relu", "Clip", "Add", "Mul", "Concat", "MaxPool", "AveragePool", "GlobalAveragePool"),
    *("Flatten", "Reshape", "Transpose", "Pad", "Squeeze", "Unsqueeze", "BatchNormalization", "Dropout", "Identity"),
    *("Constant", "Cast", "Resize", "ReduceMean", "Softmax", "If", "Loop", "QuantizeLinear", "DequantizeLinear"),
    *("QLinearConv", "ConvInteger", "Shape", "Gather", "TopK", "LSTM", "Unknown"),
)
MARK = "utf-8-goes-here"
KINDS = FieldDescriptor


def mutated(rng: Rng) -> bytes:
    """One damaged file; the same for the same state of `rng`."""
    content = models()[rng.integers(len(models()))]
    if rng.random() < 0.1:
        return damaged_bytes(rng, content)
    model = onnx.ModelProto.FromString(content)
    for _ in range(_pick(rng, (1, 1, 1, 1, 2, 3))):
        MUTATIONS[rng.integers(len(MUTATIONS))](rng, model)
    content = model.SerializeToString()
    return content.replace(MARK.encode(), b"\xff\xfe\x80" * (len(MARK) // 3))


def damaged_bytes(rng: Rng, content: bytes) -> bytes:
    """Bits flipped, a piece cut out, doubled or overwritten."""
    found = bytearray(content)
    for _ in range(int(rng.integers(1, 6))):
        first, length = int(rng.integers(len(found) + 1)), int(rng.integers(1, 64))
        match rng.integers(5):
            case 0 if first < len(found):
                found[first] ^= 1 << int(rng.integers(8))
            case 1:
                del found[first : first + length]
            case 2:
                found[first:first] = found[first : first + length]
            case 3:
                found[first : first + length] = rng.bytes(length)
            case _:
                del found[first if rng.random() < 0.2 else len(found) :]
    return bytes(found)


# ---- any field of any message


def _messages(message: Message) -> Iterator[Message]:
    yield message
    for field, value in message.ListFields():
        if field.type == KINDS.TYPE_MESSAGE:
            for item in value if _repeated(field) else [value]:
                yield from _messages(item)


def _repeated(field: FieldDescriptor) -> bool:
    return isinstance(field.default_value, list)


def _value(rng: Rng, field: FieldDescriptor) -> Any:
    match field.cpp_type:
        case KINDS.CPPTYPE_INT32 | KINDS.CPPTYPE_UINT64 | KINDS.CPPTYPE_INT64:
            low, high = {1: (-(2**31), 2**31 - 1), 4: (0, 2**64 - 1)}.get(field.cpp_type, (-(2**63), 2**63 - 1))
            return min(max(_pick(rng, INTEGERS), low), high)
        case KINDS.CPPTYPE_FLOAT | KINDS.CPPTYPE_DOUBLE:
            return _pick(rng, FLOATS)
        case KINDS.CPPTYPE_ENUM:
            return _pick(rng, [item.number for item in field.enum_type.values])
        case _:
            text = _pick(rng, (*STRINGS, MARK, *OPERATORS))
            return rng.bytes(int(rng.integers(0, 40))) if field.type == KINDS.TYPE_BYTES else text


def _any_field(rng: Rng, model: onnx.ModelProto) -> None:
    """A value, a repetition, a removal, anywhere; values of fields that are not there, too."""
    message = _pick(rng, list(_messages(model)))
    field = _pick(rng, list(message.DESCRIPTOR.fields) if rng.random() < 0.2 else [f for f, _ in message.ListFields()])
    if field is None:
        return
    if not _repeated(field):
        if field.type == KINDS.TYPE_MESSAGE or rng.random() < 0.15:
            message.ClearField(field.name)
        else:
            setattr(message, field.name, _value(rng, field))
        return
    items = getattr(message, field.name)
    what = rng.integers(4)
    if what == 0 and len(items):
        del items[int(rng.integers(len(items)))]
    elif what == 1 and len(items):
        items.extend([_pick(rng, items)] * int(rng.integers(1, 3)))
    elif field.type == KINDS.TYPE_MESSAGE:
        items.add()
    elif len(items):
        items[int(rng.integers(len(items)))] = _value(rng, field)
    else:
        items.append(_value(rng, field))


# ---- what is at stake in ONNX


def _tensor_size(rng: Rng, model: onnx.ModelProto) -> None:
    """Dims that the data has not, or data that the dims have not."""
    tensor = _pick(rng, model.graph.initializer)
    if tensor is None:
        return
    if rng.random() < 0.5:
        length = int(rng.integers(0, len(tensor.raw_data) + 9))
        tensor.raw_data = (tensor.raw_data + b"\x01" * 9)[:length]
    elif tensor.dims:
        tensor.dims[int(rng.integers(len(tensor.dims)))] = _pick(rng, INTEGERS)


def _tensor(rng: Rng, model: onnx.ModelProto) -> None:
    """Another tensor, whole and sound: extreme values, another type or another shape."""
    tensor = _pick(rng, model.graph.initializer)
    if tensor is None or tensor.data_type != onnx.TensorProto.FLOAT:
        return
    try:
        value = numpy_helper.to_array(tensor).copy()
    except Exception:
        return  # damaged already
    what = rng.integers(5)
    if what == 0 and value.size:
        value.flat[int(rng.integers(value.size))] = _pick(rng, FLOATS)
    elif what == 1:
        value = np.full_like(value, _pick(rng, FLOATS))
    elif what == 2:
        value = value.astype(_pick(rng, (np.float64, np.float16, np.int8, np.int64, np.uint8, np.bool_)))
    elif what == 3:
        value = value[: int(rng.integers(0, 4))] if value.ndim else value[None]
    else:
        value = value.reshape(_pick(rng, [(-1,), (1, *value.shape), (*value.shape, 1), value.shape[::-1]]))
    tensor.CopyFrom(numpy_helper.from_array(value, tensor.name))


def _shape(rng: Rng, model: onnx.ModelProto) -> None:
    """A size of the input or the output, its element type, or its rank."""
    value = _pick(rng, [*model.graph.input, *model.graph.output])
    if value is None:
        return
    dims = value.type.tensor_type.shape.dim
    if rng.random() < 0.2:
        value.type.tensor_type.elem_type = int(rng.integers(0, 24))
    elif rng.random() < 0.3 or not dims:
        dims.add().dim_value = _pick(rng, INTEGERS)
    else:
        _pick(rng, dims).dim_value = _pick(rng, INTEGERS)


def _edge(rng: Rng, model: onnx.ModelProto) -> None:
    """An input or an output of a node becomes another name of the graph, none, or one more."""
    nodes = model.graph.node
    node = _pick(rng, nodes)
    if node is None:
        return
    names = [name for other in nodes for name in (*other.input, *other.output)] or ["x"]
    side = node.input if rng.random() < 0.7 else node.output
    what = rng.integers(4)
    if what == 0 and len(side):
        side[int(rng.integers(len(side)))] = _pick(rng, (*names, "", "nowhere"))
    elif what == 1 and len(side):
        del side[int(rng.integers(len(side)))]
    elif what == 2:
        side.append(_pick(rng, names))
    else:
        node.op_type = _pick(rng, OPERATORS)


def _attribute(rng: Rng, model: onnx.ModelProto) -> None:
    """An attribute of another value, length or kind, or one that the operator may not have."""
    node = _pick(rng, model.graph.node)
    if node is None:
        return
    known = [item.name for other in model.graph.node for item in other.attribute]
    name = _pick(rng, [item.name for item in node.attribute] or known) if rng.random() < 0.8 else _pick(rng, known)
    length = int(rng.integers(1, 6))
    value = _pick(
        rng,
        [
            _pick(rng, INTEGERS),
            [_pick(rng, INTEGERS) for _ in range(length)],
            [int(rng.integers(0, 4)) for _ in range(length)],
            _pick(rng, FLOATS),
            [_pick(rng, FLOATS) for _ in range(length)],
            _pick(rng, STRINGS),
            numpy_helper.from_array(rng.normal(size=length).astype(np.float32), "t"),
        ],
    )
    if name is None or "branch" in name:
        return
    for index in reversed([i for i, item in enumerate(node.attribute) if item.name == name]):
        del node.attribute[index]
    node.attribute.append(helper.make_attribute(name, value))


def _nodes(rng: Rng, model: onnx.ModelProto) -> None:
    """A node more, less, twice, or elsewhere in the order."""
    nodes = list(model.graph.node)
    if not nodes:
        return
    at = int(rng.integers(len(nodes)))
    node = nodes.pop(at) if rng.random() < 0.7 else nodes[at]
    if rng.random() < 0.6:
        nodes.insert(int(rng.integers(len(nodes) + 1)), node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)


def _functions(rng: Rng, model: onnx.ModelProto) -> None:
    """Local functions that call each other: in a ring, in a long chain, each one the next twice; or graphs within graphs."""
    length = int(_pick(rng, (1, 2, 20, 3000)))
    twice, ring = rng.random() < 0.4, rng.random() < 0.5
    for index in range(length):
        following = (index + 1) % length if ring else index + 1
        op = f"F{following}" if ring or following < length else "Relu"
        domain = "local" if op != "Relu" else ""
        body = [helper.make_node(op, ["a"], ["b"], domain=domain)]
        body.append(helper.make_node(op if twice else "Relu", ["b"], ["c"], domain=domain if twice else ""))
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("local", 1)]
        model.functions.append(helper.make_function("local", f"F{index}", ["a"], ["c"], body, opsets, []))
    if all(item.domain != "local" for item in model.opset_import):
        model.opset_import.append(helper.make_opsetid("local", 1))
    node = _pick(rng, model.graph.node)
    if node is not None and len(node.input) and rng.random() < 0.8:
        name = node.input[0]
        model.graph.node.insert(0, helper.make_node("F0", [name], ["called"], domain="local"))
        node.input[0] = "called"


def _opset(rng: Rng, model: onnx.ModelProto) -> None:
    if rng.random() < 0.7 and model.opset_import:
        model.opset_import[0].version = int(_pick(rng, (*range(1, 30), -1, 2**40)))
    else:
        model.ir_version = _pick(rng, (-1, 0, 1, 2, 3, 4, 9, 13, 1000, 2**40))


def _external(rng: Rng, model: onnx.ModelProto) -> None:
    """The data of a tensor in another file, which is not there, or outside the folder."""
    tensor = _pick(rng, model.graph.initializer)
    if tensor is None:
        return
    tensor.data_location = onnx.TensorProto.EXTERNAL
    del tensor.external_data[:]
    for key in ("location", "offset", "length"):
        if rng.random() < 0.8:
            text = _pick(rng, ("weights.bin", "../x", "/dev/zero", ".", "")) if key == "location" else "abc"
            number = str(_pick(rng, INTEGERS)) if rng.random() < 0.8 else text
            tensor.external_data.add(key=key, value=text if key == "location" else number)


def _pick(rng: Rng, items: Any) -> Any:
    return items[int(rng.integers(len(items)))] if len(items) else None


MUTATIONS: tuple[Callable[[Rng, onnx.ModelProto], None], ...] = (
    *[_any_field] * 6,
    *[_tensor_size, _tensor, _shape] * 2,
    *[_edge, _attribute] * 4,
    *[_nodes, _functions, _opset, _external],
)
