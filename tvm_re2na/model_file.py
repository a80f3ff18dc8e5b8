"""ONNX models, read and checked: what is wrong with a file is told here, before native code that trusts it sees it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import onnx
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message
from onnx import numpy_helper

from tvm_re2na.codegen.files import naming
from tvm_re2na.external_data import check_bytes, check_files
from tvm_re2na.model_error import ModelError, first_line
from tvm_re2na.onnx_form import normalise
from tvm_re2na.onnx_form.inputs import Constants, InputShape

ModelSource: TypeAlias = onnx.ModelProto | str | os.PathLike[str]  # a model, or the file that holds it
MOST_NODES = 100_000  # every call of a local function written out
DEEPEST = 32  # graphs and functions within each other; ONNX Runtime goes through them with as many frames of its stack


def read_model(
    path: str | os.PathLike[str], input_shape: InputShape | None = None, constants: Constants | None = None
) -> onnx.ModelProto:
    """A checked model, in the form of `onnx_form`, its inputs as `normalise` is told. Raises ModelError if it is none, or its
    inputs cannot be so, OSError if it cannot be read."""
    try:
        with naming(path):
            model = _loaded(Path(path))
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error
    except (DecodeError, onnx.checker.ValidationError, ValueError) as error:
        raise ModelError(f"{path}: no valid ONNX model ({first_line(error)})") from error
    try:
        return checked(model, input_shape, constants)
    except ModelError as error:
        raise ModelError(f"{path}: {error}") from error


def _loaded(path: Path) -> onnx.ModelProto:
    size = path.stat().st_size
    check_bytes(size)
    model = onnx.load(path, load_external_data=False)
    tensors = (message for message in _messages(model) if isinstance(message, onnx.TensorProto))
    check_files(tensors, path.parent, size)
    onnx.load_external_data_for_model(model, str(path.parent))
    return model


def checked(
    model: onnx.ModelProto, input_shape: InputShape | None = None, constants: Constants | None = None
) -> onnx.ModelProto:
    """The model in the form that everything behind expects (`onnx_form`), after `check_model`."""
    check_model(model)
    return normalise(model, input_shape, constants)


def check_model(model: onnx.ModelProto) -> None:
    """Raises ModelError unless names are text, tensors hold what their shapes say, functions end, and ONNX's checker agrees."""
    if not model.graph.node:
        raise ModelError("no valid ONNX model (its graph has no nodes)")
    try:
        for message in _messages(model):
            if isinstance(message, onnx.TensorProto):
                _check_tensor(message)
        _check_calls(model)
        onnx.checker.check_model(model)
    except onnx.checker.ValidationError as error:
        raise ModelError(f"no valid ONNX model ({first_line(error)})") from error


def dimensions(value: onnx.ValueInfoProto) -> tuple[int | None, ...]:
    """The sizes of a tensor; None for one that the model leaves open: by a name, by nothing, or by a number that is no size."""
    sizes = value.type.tensor_type.shape.dim
    return tuple(size.dim_value if size.dim_value > 0 else None for size in sizes)


def scores_of(model: onnx.ModelProto) -> int:
    """Which output tells the classes apart: the first of floats with two axes; where there is none, the first."""
    for index, value in enumerate(model.graph.output):
        tensor = value.type.tensor_type
        if tensor.elem_type == onnx.TensorProto.FLOAT and len(tensor.shape.dim) == 2:
            return index
    return 0


def _messages(message: Message) -> Iterator[Message]:
    """Every message in a message. Raises ModelError where one has a text that is none."""
    yield message
    for field, value in message.ListFields():
        if field.type == FieldDescriptor.TYPE_MESSAGE:
            for item in (value,) if isinstance(value, Message) else value:
                yield from _messages(item)
        elif field.type == FieldDescriptor.TYPE_STRING:
            for text in (value,) if isinstance(value, str | bytes) else value:
                if isinstance(text, bytes):  # what protobuf makes of a text that it cannot decode
                    raise ModelError(f"no valid ONNX model ({field.full_name} = {text[:80]!r} is no UTF-8)")


def _check_tensor(tensor: onnx.TensorProto) -> None:
    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        raise ModelError(f"tensor '{tensor.name}': its data is in another file, and was not loaded")
    if tensor.data_type not in onnx.helper.get_all_tensor_dtypes():
        raise ModelError(f"tensor '{tensor.name}': data type {tensor.data_type}, which ONNX does not know")
    shape = "x".join(map(str, tensor.dims)) or "one number"
    if any(size < 0 for size in tensor.dims):  # NumPy takes one of them for unknown
        raise ModelError(f"tensor '{tensor.name}' of shape {shape}: a negative size")
    try:
        numpy_helper.to_array(tensor)
    except (ValueError, TypeError) as error:
        raise ModelError(f"tensor '{tensor.name}' of shape {shape}: {first_line(error)}") from error


# ---- local functions, and graphs within graphs


@dataclass(frozen=True)
class _Size:
    """Of a list of nodes, every call written out."""

    nodes: int
    depth: int


def _check_calls(model: onnx.ModelProto) -> None:
    functions = {(item.domain, item.name): item.node for item in model.functions}
    if len(functions) < len(model.functions):
        raise ModelError(f"{len(model.functions)} local functions with {len(functions)} names")
    size = _CallTree(functions).size(model.graph.node, 0)
    if size.nodes > MOST_NODES:
        raise ModelError(
            f"{size.nodes} nodes with all calls of local functions written out, at most {MOST_NODES} are read"
        )


class _CallTree:
    def __init__(self, functions: dict[tuple[str, str], list[onnx.NodeProto]]) -> None:
        self._functions = functions
        self._known: dict[tuple[str, str], _Size] = {}
        self._open: dict[tuple[str, str], None] = {}

    def size(self, nodes: list[onnx.NodeProto], level: int) -> _Size:
        """Raises ModelError where a function comes to call itself, or the nesting is deeper than DEEPEST."""
        if level > DEEPEST:
            raise ModelError(f"graphs or local functions more than {DEEPEST} deep within each other")
        count, depth = 0, 0
        for node in nodes:
            for part in self._parts(node, level + 1):
                count, depth = count + part.nodes, max(depth, part.depth + 1)
            count += 1
        if level + depth > DEEPEST:
            raise ModelError(f"graphs or local functions more than {DEEPEST} deep within each other")
        return _Size(count, depth)

    def _parts(self, node: onnx.NodeProto, level: int) -> Iterator[_Size]:
        name = (node.domain, node.op_type)
        if name in self._functions:
            yield self._function(name, level)
        for attribute in node.attribute:
            for graph in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield self.size(graph.node, level)

    def _function(self, name: tuple[str, str], level: int) -> _Size:
        if name in self._open:
            ring = [*list(self._open)[list(self._open).index(name) :], name]
            raise ModelError("local functions that call themselves: " + " -> ".join(op for _, op in ring))
        if name not in self._known:
            self._open[name] = None
            self._known[name] = self.size(self._functions[name], level)
            del self._open[name]
        return self._known[name]
