"""What the programs of a network are called with, as TVM's debug executor sees it."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import numpy.typing as npt
import tvm
from tvm.contrib.graph_executor import GraphModule

from tvm_re2na.batches import Batch, arrays_of
from tvm_re2na.frontends.common.errors import simulator_errors
from tvm_re2na.frontends.interface import Built, Calls


def watch(built: Built) -> Callable[[Batch], tuple[list[npt.NDArray[Any]], Calls]]:
    """As of `interface.Session`. The library is the one that runs otherwise, too; its nodes are executed one by one."""
    library = built.library
    nodes = json.loads(library.get_graph_json())["nodes"]
    given = _given(nodes, built)
    wanted = {source for sources in given.values() for source in sources}
    module = library["debug_create"]("default", tvm.cpu())
    executor = GraphModule(module)

    def run(batch: Batch) -> tuple[list[npt.NDArray[Any]], Calls]:
        for index, array in enumerate(arrays_of(batch)):
            executor.set_input(index, array)
        values: dict[tuple[int, int], npt.NDArray[Any]] = {}
        with simulator_errors():
            for index in range(len(nodes)):
                module["execute_node"](index)
                # only the last node's can be had; its place is another's as soon as nobody needs it
                values |= {key: module["get_node_output"](*key).numpy() for key in wanted if key[0] == index}
        calls = {symbol: [values[key] for key in keys] for symbol, keys in given.items()}
        return [executor.get_output(index).numpy() for index in range(executor.get_num_outputs())], calls

    return run


def _given(nodes: list[dict[str, Any]], built: Built) -> dict[str, list[tuple[int, int]]]:
    """By the symbol of each program, which outputs of which nodes it reads."""
    counts = {symbol: len(program.inputs) for symbol, program in built.programs}
    called = {node.get("attrs", {}).get("func_name", ""): node["inputs"] for node in nodes}
    return {symbol: [(node, output) for node, output, _ in called[symbol][:count]] for symbol, count in counts.items()}
