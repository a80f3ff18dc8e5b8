"""Convolutions take over what moves pixels and channels beside them: their weights say where everything lies.

Space to depth, channels that are each every n-th pixel of another tensor, is a larger kernel with a larger stride on that tensor.
Of pixels that are taken twice, first rows and then columns, nothing is stored between.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from tvm_re2na.codegen.graph.channels import Concat, Select
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import ChannelNumbers, Conv2d, Op, Window, four_axes
from tvm_re2na.codegen.graph.pixels import Pad
from tvm_re2na.codegen.isa.table import BY_NAME

_LARGEST = min(
    field.high
    for field in BY_NAME["CONV"].fields
    if field.name in ("kernel_h", "kernel_w", "stride_h", "stride_w", "pad_top", "pad_left")
)


@dataclass(frozen=True)
class _Gathered:
    """A tensor whose channels are every `stride`-th pixel of another one's: `channels` of it, the first pixel of each in `starts`
    (channels, 2)."""

    source: str
    stride: tuple[int, int]
    channels: ChannelNumbers
    starts: npt.NDArray[np.int64]


def absorb(graph: Graph) -> Graph:
    """The same network; operators whose results nobody reads any more are still there."""
    producers: dict[str, Op] = {}
    for op in graph.ops:
        taken = op
        if isinstance(op, Conv2d):
            taken = _on_source(graph, op, producers.get)
        elif isinstance(op, Pad):
            taken = _of_all_pixels(graph, op, producers.get(op.inputs[0]))
        producers[op.output] = taken
    return _in_order(replace(graph, ops=tuple(producers.values())))


def _of_all_pixels(graph: Graph, op: Pad, inner: Op | None) -> Pad:
    """Pixels of what has been left of others, as pixels of those."""
    if not isinstance(inner, Pad) or max(*inner.padding, *op.padding) > 0:
        return op
    padding, stride, image = [0] * 4, [1, 1], graph.shapes[inner.inputs[0]][2:]
    for axis, count in enumerate(graph.shapes[op.output][2:]):
        stride[axis] = inner.stride[axis] * op.stride[axis]
        padding[axis] = inner.padding[axis] + op.padding[axis] * inner.stride[axis]
        padding[axis + 2] = (count - 1) * stride[axis] - padding[axis] + 1 - image[axis]
    if max(stride) > _LARGEST:
        return op
    whole = (padding[0], padding[1], padding[2], padding[3])
    return replace(op, inputs=inner.inputs, padding=whole, stride=(stride[0], stride[1]))


# -- before a convolution


def _on_source(graph: Graph, op: Conv2d, producer: Callable[[str], Op | None]) -> Conv2d:
    gathered = _gathered(graph, op.inputs[0], producer)
    if gathered is None or op.groups > 1 or op.window.dilation != (1, 1):
        return op
    before, image = four_axes(graph.shapes[op.inputs[0]])[2:], four_axes(graph.shapes[gathered.source])[2:]
    window = _window(op.window, gathered, before, image)
    if window is None:
        return op
    outputs, channels = len(op.weight), graph.shapes[gathered.source][1]
    weight = np.zeros((outputs, channels, *window.kernel), np.int8)
    for row, column in np.ndindex(*op.window.kernel):
        rows, columns = (gathered.starts + np.array([row, column]) * gathered.stride).T
        weight[:, gathered.channels, rows, columns] = op.weight[:, :, row, column]
    return replace(op, inputs=(gathered.source,), weight=weight, window=window)


def _gathered(graph: Graph, tensor: str, producer: Callable[[str], Op | None]) -> _Gathered | None:
    """None for any other tensor, and for one that has an element twice."""
    op = producer(tensor)
    if isinstance(op, Pad) and max(op.padding) <= 0 and max(op.stride) > 1:
        count = graph.shapes[tensor][1]
        starts = np.broadcast_to(-np.array(op.padding[:2]), (count, 2))
        inside = -op.padding[0] < op.stride[0] and -op.padding[1] < op.stride[1]
        return _Gathered(op.inputs[0], op.stride, np.arange(count), starts) if inside else None
    if not isinstance(op, (Concat, Select)):
        return None
    parts = [_gathered(graph, name, producer) for name in op.inputs]
    joined = _joined([part for part in parts if part is not None]) if None not in parts else None
    if joined is None or not isinstance(op, Select):
        return joined
    return _distinct(replace(joined, channels=joined.channels[op.channels], starts=joined.starts[op.channels]))


def _joined(parts: Sequence[_Gathered]) -> _Gathered | None:
    if len({(part.source, part.stride) for part in parts}) > 1:
        return None
    channels, starts = (np.concatenate([getattr(part, name) for part in parts]) for name in ("channels", "starts"))
    return _distinct(replace(parts[0], channels=channels, starts=starts))


def _distinct(gathered: _Gathered) -> _Gathered | None:
    places = np.column_stack([gathered.channels, gathered.starts])
    return gathered if len(np.unique(places, axis=0)) == len(places) else None


def _window(window: Window, gathered: _Gathered, before: Sequence[int], image: Sequence[int]) -> Window | None:
    """On the source's `image`, for a window on the gathered tensor's; None where the padding would lie on other pixels, or where
    an instruction has no room for it."""
    starts, outputs = gathered.starts, window.output_size(before[0], before[1])
    kernel, stride, padding = [0, 0], [0, 0], [0, 0, 0, 0]
    for axis, step in enumerate(gathered.stride):
        size = image[axis]
        kernel[axis] = (window.kernel[axis] - 1) * step + int(starts[:, axis].max()) + 1
        stride[axis], padding[axis] = window.stride[axis] * step, window.padding[axis] * step
        reached = (outputs[axis] - 1) * stride[axis] - padding[axis] + kernel[axis]
        padding[axis + 2] = max(reached - size, 0)
        if window.padding[axis + 2] and before[axis] * step + int(starts[:, axis].min()) < size:
            return None
    larger = Window((kernel[0], kernel[1]), (stride[0], stride[1]), (padding[0], padding[1], padding[2], padding[3]))
    fits = max(*kernel, *stride, *padding) <= _LARGEST and larger.output_size(image[0], image[1]) == outputs
    return larger if fits else None


# -- behind a convolution


def _in_order(graph: Graph) -> Graph:
    """A choice of channels of a convolution that nobody else reads is made by its weights."""
    made: dict[str, Conv2d] = {}  # by what the convolution made, that which makes what was chosen
    for op in graph.ops:
        if isinstance(op, Select) and len(np.unique(op.channels)) == len(op.channels):
            producer, name = graph.producer(op.inputs[0]), op.inputs[0]
            alone = name not in graph.outputs and len(graph.consumers(name)) == 1
            if alone and isinstance(producer, Conv2d) and producer.groups == 1:
                made[name] = replace(producer.in_order(op.channels), output=op.output)
    ops = [made.get(op.output, op) for op in graph.ops if not (isinstance(op, Select) and op.inputs[0] in made)]
    return replace(graph, ops=tuple(ops))
