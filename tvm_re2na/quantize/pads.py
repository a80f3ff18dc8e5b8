"""Padding before a maximum: what it must hold, and what it becomes in integers.

Rounding and saturating keep order, so that max(round(x), round(v)) is round(max(x, v)): a padding value far below all data need
not be held, it may saturate. Only the maxima themselves, where they are nothing but padding, have to be.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from tvm_re2na.quantize.net import Net, Node
from tvm_re2na.quantize.options import IntegerRange

EXTREME = 1e9


def padding_value(net: Net, node: Node) -> float | None:
    """What a Pad fills with, where that is one constant."""
    value = net.constant(node, 2)
    if node.attributes.get("mode", b"constant") != b"constant":
        return None
    if value is None:
        return None if len(node.inputs) > 2 and node.inputs[2] else 0.0
    return float(value.item()) if value.size == 1 else None


def is_number(value: float | None) -> bool:
    """Whether data may have that value, so that it has a say in their exponent; the others stand for less than any, or more."""
    return value is not None and abs(value) < EXTREME


def feeds_maxima(net: Net, node: Node) -> bool:
    """Whether nothing but MaxPool reads what a Pad fills up."""
    consumers = net.consumers(node.output)
    only = all(other.op == "MaxPool" and len(other.outputs) == 1 and not other.domain for other in consumers)
    return only and bool(consumers) and node.output not in net.output_names


def integer_value(value: float, exponent: int, limits: IntegerRange) -> int:
    """The padding value in steps of 2**exponent, saturated at what data can be."""
    return round(min(max(math.ldexp(value, -exponent), limits[0]), limits[1]))


def settle_pad(net: Net, node: Node, exponent: int, limits: IntegerRange) -> None:
    """Make a Pad before maxima fill with an integer, or where that is less than no value, part of the poolings: those pad with the
    lowest value anyway."""
    value = integer_value(padding_value(net, node) or 0.0, exponent, limits)
    consumers = net.consumers(node.output)
    pads = _image_pads(net, node) if value == limits[0] else None
    if pads is not None and all(_can_take(pool, pads) for pool in consumers):
        for pool in consumers:
            pool.attributes = {**pool.attributes, "pads": _sum(pool, pads)}
        net.remove(node)
        return
    filled = np.array(math.ldexp(value, exponent), np.float32)
    node.inputs = [*node.inputs[:2], net.add_constant(f"{node.name}.value", filled), *node.inputs[3:]]


def _image_pads(net: Net, node: Node) -> list[int] | None:
    """Of rows and columns; None where others are padded, or cut."""
    pads = net.constant(node, 1)
    if pads is None or len(pads) != 8 or len(node.inputs) > 3 or pads.min() < 0:
        return None
    return None if any(pads[index] for index in (0, 1, 4, 5)) else [int(pads[index]) for index in (2, 3, 6, 7)]


def _can_take(pool: Node, pads: Collection[int]) -> bool:
    """Whether every window keeps a value that is no padding."""
    kernel = pool.attributes["kernel_shape"]
    plain = not pool.attributes.get("ceil_mode", 0) and all(step == 1 for step in pool.attributes.get("dilations", [1]))
    return plain and all(pad < kernel[index % 2] for index, pad in enumerate(_sum(pool, pads)))


def _sum(pool: Node, pads: Collection[int]) -> list[int]:
    return [own + more for own, more in zip(pool.attributes.get("pads", [0, 0, 0, 0]), pads, strict=True)]
