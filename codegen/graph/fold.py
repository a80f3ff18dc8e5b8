"""Pass `fold`: zero padding and what only moves pixels go into the convolution behind them, a clip and a choice of channels into
the operator before them; what nobody reads goes."""

from __future__ import annotations

from dataclasses import replace

from tvm_re2na.codegen.graph.absorb import absorb
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Clip, Conv2d, Op, Window
from tvm_re2na.codegen.graph.pixels import Pad


def fold(graph: Graph) -> Graph:
    """The same network with fewer operators; results are equal to the bit."""
    return _fold_clips(_fold_pads(_without_dead(absorb(graph))))


def _without_dead(graph: Graph) -> Graph:
    read = set(graph.outputs)
    ops = []
    for op in reversed(graph.ops):
        if op.output in read:
            read |= set(op.inputs)
            ops.append(op)
    return _rebuilt(graph, ops[::-1])


def _fold_pads(graph: Graph) -> Graph:
    pads = {
        op.output: op
        for op in graph.ops
        if isinstance(op, Pad) and _is_plain(op) and _feeds_only_convs(graph, op.output)
    }
    ops = []
    for op in graph.ops:
        if op.output in pads:
            continue
        pad = pads.get(op.inputs[0])
        ops.append(_with_padding(op, pad) if pad is not None and isinstance(op, Conv2d) else op)
    return _rebuilt(graph, ops)


def _is_plain(pad: Pad) -> bool:
    """Zeros around all pixels."""
    return pad.value == 0 and pad.stride == (1, 1) and min(pad.padding) >= 0


def _feeds_only_convs(graph: Graph, tensor: str) -> bool:
    return tensor not in graph.outputs and all(isinstance(op, Conv2d) for op in graph.consumers(tensor))


def _with_padding(op: Conv2d, pad: Pad) -> Conv2d:
    old, more = op.window.padding, pad.padding
    padding = (old[0] + more[0], old[1] + more[1], old[2] + more[2], old[3] + more[3])
    window = Window(op.window.kernel, op.window.stride, padding, op.window.dilation)
    return replace(op, inputs=pad.inputs, window=window)


def _fold_clips(graph: Graph) -> Graph:
    clamped: dict[str, Op] = {}  # by a producer's output, what takes its place and the clip's
    for clip in graph.ops:
        taken = _with_clip(graph, clip) if isinstance(clip, Clip) else None
        if taken is not None:
            clamped[clip.inputs[0]] = taken
    ops = [clamped.get(op.output, op) for op in graph.ops if not (isinstance(op, Clip) and op.inputs[0] in clamped)]
    return _rebuilt(graph, ops)


def _with_clip(graph: Graph, clip: Clip) -> Op | None:
    """The operator before a clip, if it can clamp and nobody else reads what it makes."""
    tensor = clip.inputs[0]
    producer = graph.producer(tensor)
    alone = tensor not in graph.outputs and len(graph.consumers(tensor)) == 1
    return producer.clamped(clip.output, clip.lo, clip.hi) if alone and producer is not None else None


def _rebuilt(graph: Graph, ops: list[Op]) -> Graph:
    names = {*graph.inputs, *(op.output for op in ops)}
    return replace(graph, ops=tuple(ops), shapes={name: shape for name, shape in graph.shapes.items() if name in names})
