"""Where each operator runs and what it takes, for viewers that other people make: Google's Model Explorer and Netron."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import onnx

from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.plot.style import BLUE, ORANGE, RED
from tvm_re2na.reporting.wiring import owners_of

PREFIX = "re2na."  # of the keys in a model
IR_VERSION = 10  # the first in which nodes have metadata
NEEDED = "#5C5C5C"  # dark enough for white letters
COLD, HOT = "#F7FBFF", ORANGE
SHOWN = {  # of a layer's costs; Netron has room for short names
    "macs": "macs",
    "cycles": "cycles",
    "bound": "cycles_bound",
    "dram_bytes": "dram_bytes",
    "use": "utilisation",
    "loss": "loss",
}


def node_data(
    model: onnx.ModelProto, operators: Sequence[Explanation], costs: Sequence[dict[str, Any]]
) -> tuple[bytes, bytes]:
    """Two files of Model Explorer's node data, which holds one value a node: where it runs, and cycles. Nodes go by their names, as
    its adapter for ONNX has them. `costs`: the layers of `compile_report`."""
    owners, by_name = owners_of(model, operators), {row["name"]: row for row in costs}
    places = {
        name: {"value": _place(operators[at]), "bgColor": _color(operators[at]), "textColor": "#FFFFFF"}
        for name, at in (owners.by_node | owners.inner).items()
    }
    cycles = {
        name: {"value": by_name[operators[at].name]["cycles"]}
        for name, at in owners.by_node.items()
        if operators[at].name in by_name
    }
    gradient = [{"stop": 0, "bgColor": COLD}, {"stop": 1, "bgColor": HOT}]
    graph = model.graph.name
    found = (
        {graph: {"name": "Re²Na: place", "results": places}},
        {graph: {"name": "Re²Na: cycles", "results": cycles, "gradient": gradient}},
    )
    place, cycle = (json.dumps(each, indent=2, ensure_ascii=False).encode() for each in found)
    return place, cycle


def annotated(
    model: onnx.ModelProto, operators: Sequence[Explanation], costs: Sequence[dict[str, Any]]
) -> onnx.ModelProto:
    """The model with properties at its nodes, which Netron lists where a node is chosen; it computes what it did."""
    made = onnx.ModelProto()
    made.CopyFrom(model)
    made.ir_version = max(made.ir_version, IR_VERSION)
    owners, by_name = owners_of(model, operators), {row["name"]: row for row in costs}
    for node in made.graph.node:
        for name, value in _properties(node.name, owners.by_node, owners.inner, operators, by_name).items():
            node.metadata_props.add(key=f"{PREFIX}{name}", value=value)
    return made


def _properties(
    name: str,
    by_node: dict[str, int],
    inner: dict[str, int],
    operators: Sequence[Explanation],
    costs: dict[str, dict[str, Any]],
) -> dict[str, str]:
    if name in inner:
        owner = operators[inner[name]]
        return {"place": _place(owner), "computed_with": owner.name}
    if name not in by_node:
        return {}
    at = operators[by_node[name]]
    found = {"place": _place(at), "kind": at.op}
    if not at.offloaded:
        known = {"reason": at.reason, "rule": at.rule, "value": at.value, "limit": at.limit}
        return found | {key: str(value) for key, value in known.items() if value is not None}
    row = costs.get(at.name, {})
    return found | {key: _text(row[name]) for key, name in SHOWN.items() if row.get(name) is not None}


def _text(value: Any) -> str:
    return f"{value:.1%}" if isinstance(value, float) else str(value)


def _place(operator: Explanation) -> str:
    return f"Re²Na, region {operator.region}" if operator.offloaded else f"CPU: {operator.rule}"


def _color(operator: Explanation) -> str:
    if operator.offloaded:
        return BLUE
    return NEEDED if operator.rule == "host_boundary" else RED
