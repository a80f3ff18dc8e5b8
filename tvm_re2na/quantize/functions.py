"""Functions of single numbers: nodes each of whose results depends on one element of one tensor, and on constants.

They stay in float, and nothing between them is quantised, only what they begin with and what they end with, where anything else
asks for it. So each is one function of a byte: a table (docs/quantisation.md).
"""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from tvm_re2na.element_wise import OF_ONE, OF_TWO
from tvm_re2na.quantize.net import Net, Node

CLAMPS = ("Relu", "Clip")  # which alone are no such function: they keep the exponent


def find_functions(net: Net, fused: Collection[int]) -> frozenset[str]:
    """The names of the nodes that are part of one; none is among `fused`, the activations that layers compute."""
    members = [node for node in net.nodes if id(node) not in fused and _is_candidate(net, node)]
    consumers: dict[str, set[int]] = {}
    for node in net.nodes:
        for name in node.inputs:
            consumers.setdefault(name, set()).add(id(node))
    while True:
        known = {id(node) for node in members}
        inner = {
            node.output
            for node in members
            if node.output not in net.output_names and consumers.get(node.output, set()) <= known
        }
        kept = _of_one_tensor(net, members, inner)
        if len(kept) == len(members):
            return _beside_others(members, inner)
        members = kept


def _is_candidate(net: Net, node: Node) -> bool:
    """Whether it works element by element, on numbers that are the same for all of them."""
    if node.domain or len(node.outputs) > 1 or node.op not in OF_ONE | OF_TWO:
        return False
    data = _data(net, node)
    once = len(set(data)) == len(data)
    return treats_all_alike(net, node) and once and (node.op != "Clip" or node.name in net.bounds)


def treats_all_alike(net: Net, node: Node) -> bool:
    """Whether each of its constants is one number, which may be repeated."""
    numbers = [net.constants[name] for name in node.inputs if name in net.constants]
    return all(number.size and np.all(number == number.flat[0]) for number in numbers)


def _data(net: Net, node: Node) -> list[str]:
    return [name for name in node.inputs if name and name not in net.constants]


def _of_one_tensor(net: Net, members: list[Node], inner: Collection[str]) -> list[Node]:
    """Those whose operands all come from one tensor, which lies before them or is read by others as well."""
    origins: dict[str, str] = {}
    kept = []
    for node in members:
        found = {origins.get(name, name) for name in _data(net, node)}
        if len(found) == 1:
            kept.append(node)
            if node.output in inner:
                origins[node.output] = found.pop()
    return kept


def _beside_others(members: list[Node], inner: Collection[str]) -> frozenset[str]:
    """Without what only clamps, and is not part of anything that does more."""
    found = {node.name for node in members if node.op not in CLAMPS}
    while True:
        within = {name for node in members if node.name in found for name in (*node.inputs, node.output)} & set(inner)
        more = {node.name for node in members if not within.isdisjoint((*node.inputs, node.output))} - found
        if not more:
            return frozenset(found)
        found |= more
