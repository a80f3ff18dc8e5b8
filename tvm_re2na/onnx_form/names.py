"""Every node with a name of its own, and no tensor named as the quantiser names its own."""

from __future__ import annotations

import copy
from collections import Counter
from collections.abc import Iterator

import onnx

OURS = (".int8", ".float", ".rounded", ".saturated")  # tensors that `quantize/emit.py` makes of a tensor


def unique_names(model: onnx.ModelProto, *, tensors_too: bool) -> onnx.ModelProto:
    """The model itself where nothing is to be renamed. The first of several nodes of one name keeps it."""
    nodes = renamed_nodes(model.graph)
    tensors = _renamed_tensors(model.graph) if tensors_too else {}
    if not nodes and not tensors:
        return model
    changed = copy.deepcopy(model)
    for index, name in nodes.items():
        changed.graph.node[index].name = name
    for graph in _graphs(changed.graph):
        _rename_tensors(graph, tensors)
    return changed


def renamed_nodes(graph: onnx.GraphProto) -> dict[int, str]:
    """New names by index. Nodes without one get theirs elsewhere (`name_all`)."""
    taken = {node.name for node in graph.node}
    seen: set[str] = set()
    found = {}
    for index, node in enumerate(graph.node):
        if node.name and node.name in seen:
            found[index] = free_name(node.name, taken)
        seen.add(node.name)
    return found


def name_all(graph: onnx.GraphProto) -> None:
    """A node without a name gets the one that `quantize.net` would give it, while its number in the file is still known."""
    taken = {node.name for node in graph.node}
    for index, node in enumerate(graph.node):
        if not node.name:
            wanted = f"{node.op_type.lower()}_{index}"
            node.name = free_name(wanted, taken) if wanted in taken else wanted
            taken.add(node.name)


def outputs_apart(graph: onnx.GraphProto) -> None:
    """An input that is listed as an output goes through an Identity: the output gets another name, the input keeps its own."""
    taken = tensor_names(graph)
    inputs = {value.name for value in graph.input}
    for value in graph.output:
        if value.name in inputs:
            name = free_name(value.name, taken)
            graph.node.add(op_type="Identity", name=f"{name}.identity", input=[value.name], output=[name])
            value.name = name


def tensor_names(graph: onnx.GraphProto) -> set[str]:
    """All that are taken in a graph, but for graphs within its nodes."""
    taken = {name for node in graph.node for name in (*node.input, *node.output)}
    taken.update(item.name for item in (*graph.input, *graph.output, *graph.initializer))
    return taken


def free_name(wanted: str, taken: set[str]) -> str:
    """`wanted` with a number behind it; it is taken afterwards."""
    number = 1
    while f"{wanted}_{number}" in taken:
        number += 1
    taken.add(f"{wanted}_{number}")
    return f"{wanted}_{number}"


def _renamed_tensors(graph: onnx.GraphProto) -> dict[str, str]:
    """Those that a tensor of ours would collide with; what the model shows its user, inputs and outputs, keeps its name."""
    every = Counter(name for node in graph.node for name in (*node.input, *node.output))
    every.update(value.name for value in (*graph.input, *graph.output, *graph.initializer))
    shown = {value.name for value in (*graph.input, *graph.output)}
    taken = set(every)
    found = {}
    for name in every:
        for ending in OURS:
            if name.endswith(ending) and name.removesuffix(ending) in every and name not in shown:
                found[name] = free_name(name.replace(".", "_"), taken)
    return found


def _graphs(graph: onnx.GraphProto) -> Iterator[onnx.GraphProto]:
    """The graph and those within it, which see its tensors."""
    yield graph
    for node in graph.node:
        for attribute in node.attribute:
            for inner in (attribute.g, *attribute.graphs) if attribute.HasField("g") else attribute.graphs:
                yield from _graphs(inner)


def _rename_tensors(graph: onnx.GraphProto, names: dict[str, str]) -> None:
    if not names:
        return
    for node in graph.node:
        for field in (node.input, node.output):
            field[:] = [names.get(name, name) for name in field]
    for value in (*graph.initializer, *graph.value_info):
        value.name = names.get(value.name, value.name)
