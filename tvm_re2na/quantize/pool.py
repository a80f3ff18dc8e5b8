"""Stage 3: average pooling as depthwise convolutions.

The mean of n values is no integer operation unless n is a power of two. The sum is: a depthwise convolution with weights 1. The
factor 1 / n moves into the float weights of the linear layers behind it, before those are quantised. Where something else reads
the average, the weights are 1 / n, and are rounded so that their sum stays what it is (`scales.rounded`).

No sum may be longer than the accumulator holds, and the fewer bits are left to weights 1 / n the longer the window is. What is
too long is taken in steps: along the columns, then along the rows; an axis that is reduced to one value, in parts if need be.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from tvm_re2na.quantize.fold import has_explicit_padding, is_linear
from tvm_re2na.quantize.net import Net, Node

HOMOGENEOUS = ("Flatten", "Reshape", "Relu", "MaxPool", "Squeeze", "Unsqueeze", "Transpose", "Identity", "Dropout")
LONGEST_AXIS = 255  # of the machine's windows
# values: weights 1 / n keep four of the eight bits that 17-bit sums leave them; longer ones gain by two steps
LONGEST_AVERAGE = 16


class _Axis(NamedTuple):
    """A window along one axis."""

    kernel: int
    stride: int = 1
    before: int = 0
    behind: int = 0

    def outputs(self, size: int) -> int:
        return (size + self.before + self.behind - self.kernel) // self.stride + 1


class _Window(NamedTuple):
    rows: _Axis
    columns: _Axis

    @property
    def values(self) -> int:
        return self.rows.kernel * self.columns.kernel


def pools_to_convolutions(net: Net, longest: int) -> None:
    """Rewrite every pooling that has such a form; `longest`: how many values the accumulator holds the sum of."""
    for node in list(net.nodes):
        window = _window(net, node)
        if window is None or _channels(net, node) is None:
            continue
        if window == (_Axis(1), _Axis(1)):
            net.remove(node)
            continue
        takers = _takers(net, node.output)
        steps = _steps(window, net.shapes[node.inputs[0]][2:], longest, sums=takers is not None)
        if not steps:
            continue
        left = 1.0 if takers is not None else 1 / window.values
        for step in steps[:-1]:
            own = 1.0 if takers is not None else 1 / step.values
            _insert(net, node, step, own)
            left /= own
        _become(net, node, steps[-1], left)
        for taker in takers or ():
            scaled = net.constants[taker.inputs[1]] / np.float32(window.values)
            taker.inputs[1] = net.add_constant(f"{taker.name}.weight", scaled.astype(np.float32))


def _window(net: Net, node: Node) -> _Window | None:
    """The window of an average over a constant number of values; None for anything else."""
    image = net.shapes.get(node.inputs[0], ()) if node.inputs else ()
    if len(image) != 4 or None in image[2:] or node.domain or not has_explicit_padding(node):
        return None
    rows, columns = (size or 0 for size in image[2:])
    if node.op == "GlobalAveragePool" or (node.op == "ReduceMean" and _reduces_image(net, node)):
        return _Window(_Axis(rows), _Axis(columns)) if rows * columns > 0 else None
    if node.op != "AveragePool" or any(d != 1 for d in node.attributes.get("dilations", [1])):
        return None
    pads = list(node.attributes.get("pads", [0, 0, 0, 0]))
    if any(pads) and not node.attributes.get("count_include_pad", 0):
        return None
    kernel, strides = list(node.attributes["kernel_shape"]), list(node.attributes.get("strides", [1, 1]))
    window = _Window(*(_Axis(kernel[i], strides[i], pads[i], pads[i + 2]) for i in range(2)))
    return None if node.attributes.get("ceil_mode", 0) and not _divides(window, (rows, columns)) else window


def _divides(window: _Window, image: tuple[int, int]) -> bool:
    """Whether rounding the number of windows up (ceil_mode) and down is the same."""
    return all(
        (size + axis.before + axis.behind - axis.kernel) % axis.stride == 0
        for axis, size in zip(window, image, strict=True)
    )


def _reduces_image(net: Net, node: Node) -> bool:
    axes = node.attributes.get("axes")
    if axes is None:
        constant = net.constant(node, 1)
        axes = constant.tolist() if constant is not None else []
    return sorted(axis % 4 for axis in axes) == [2, 3] and bool(node.attributes.get("keepdims", 1))


def _takers(net: Net, tensor: str) -> list[Node] | None:
    """The linear layers that see `tensor` through operators with f(a x) = a f(x); None if anything else sees it."""
    if tensor in net.output_names:
        return None
    takers: list[Node] = []
    for node in net.consumers(tensor):
        if is_linear(net, node) and node.inputs[0] == tensor:
            takers.append(node)
        elif node.op in HOMOGENEOUS and node.inputs[0] == tensor:
            behind = _takers(net, node.output)
            if behind is None:
                return None
            takers += behind
        else:
            return None
    return takers or None


def _channels(net: Net, node: Node) -> int | None:
    return net.shapes[node.inputs[0]][1]


# ---- steps


def _steps(window: _Window, image: tuple[int | None, ...], longest: int, *, sums: bool) -> list[_Window]:
    """Windows to apply one after the other; none where no window is short enough."""
    exact = sums or window.values.bit_count() == 1  # 2**-k is a weight as good as 1
    most = longest if exact else min(longest, LONGEST_AVERAGE)
    if window.values <= most and max(axis.kernel for axis in window) <= LONGEST_AXIS:
        return [window]
    one = _Axis(1)
    rows, columns = (
        _parts(axis, size or 0, min(longest, LONGEST_AXIS)) for axis, size in zip(window, image, strict=True)
    )
    if not rows or not columns:
        return []
    steps = [*(_Window(one, part) for part in columns), *(_Window(part, one) for part in rows)]
    return [step for step in steps if step != (one, one)]


def _parts(axis: _Axis, size: int, longest: int) -> list[_Axis]:
    """Windows of at most `longest` values that do the same one after the other: an axis that is reduced to one value falls into
    parts, with zeros behind the last; any other is one window, or none."""
    if axis.kernel <= longest:
        return [axis]
    if axis.outputs(size) > 1 or longest < 2:
        return []
    parts = math.ceil(axis.kernel / longest)
    length = math.ceil(axis.kernel / parts)
    first = _Axis(length, length, axis.before, axis.behind + parts * length - axis.kernel)
    return [first, *_parts(_Axis(parts), parts, longest)]


def _insert(net: Net, node: Node, window: _Window, weight: float) -> None:
    """A convolution before `node`, called after it."""
    taken = {name for other in net.nodes for name in (other.name, *other.outputs)}
    parts = (f".part{number}" for number in range(1, len(taken) + 2))
    part = next(part for part in parts if taken.isdisjoint((node.name + part, node.output + part)))
    before = Node(node.op, node.name + part, [node.inputs[0]], [node.output + part])
    batch, channels, *image = net.shapes[node.inputs[0]]
    sizes = (axis.outputs(size or 0) for axis, size in zip(window, image, strict=True))
    net.shapes[before.output] = (batch, channels, *sizes)
    _become(net, before, window, weight)
    net.nodes.insert(net.nodes.index(node), before)
    node.inputs = [before.output]


def _become(net: Net, node: Node, window: _Window, weight: float) -> None:
    channels = _channels(net, node) or 0
    kernel = [axis.kernel for axis in window]
    weights = net.add_constant(f"{node.name}.weight", np.full((channels, 1, *kernel), weight, np.float32))
    bias = net.add_constant(f"{node.name}.bias", np.zeros(channels, np.float32))
    node.op, node.inputs = "Conv", [node.inputs[0], weights, bias]
    pads = [*(axis.before for axis in window), *(axis.behind for axis in window)]
    strides = [axis.stride for axis in window]
    node.attributes = {"group": channels, "kernel_shape": kernel, "strides": strides, "pads": pads}
