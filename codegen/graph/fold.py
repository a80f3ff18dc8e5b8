"""Pass `fold`: zero padding moves into the convolution behind it, a clip into the operator before it; what nobody reads goes."""

from __future__ import annotations

from dataclasses import replace

from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Add, Clip, Conv2d, Dense, MaxPool2d, Op, Pad, Window


def fold(graph: Graph) -> Graph:
    """The same network with fewer operators; results are equal to the bit."""
    return _fold_clips(_fold_pads(_without_dead(graph)))


def _without_dead(graph: Graph) -> Graph:
    read = set(graph.outputs)
    ops = []
    for op in reversed(graph.ops):
        if op.output in read:
            read |= set(op.inputs)
            ops.append(op)
    return _rebuilt(graph, ops[::-1])


def _fold_pads(graph: Graph) -> Graph:
    pads = {op.output: op for op in graph.ops if isinstance(op, Pad) and _feeds_only_convs(graph, op.output)}
    ops = []
    for op in graph.ops:
        if op.output in pads:
            continue
        pad = pads.get(op.inputs[0])
        ops.append(_with_padding(op, pad) if pad is not None and isinstance(op, Conv2d) else op)
    return _rebuilt(graph, ops)


def _feeds_only_convs(graph: Graph, tensor: str) -> bool:
    return tensor not in graph.outputs and all(isinstance(op, Conv2d) for op in graph.consumers(tensor))


def _with_padding(op: Conv2d, pad: Pad) -> Conv2d:
    old, more = op.window.padding, pad.padding
    padding = (old[0] + more[0], old[1] + more[1], old[2] + more[2], old[3] + more[3])
    window = Window(op.window.kernel, op.window.stride, padding, op.window.dilation)
    return replace(op, inputs=pad.inputs, window=window)


def _fold_clips(graph: Graph) -> Graph:
    clips = {op.inputs[0]: op for op in graph.ops if isinstance(op, Clip) and _can_take_clip(graph, op.inputs[0])}
    ops = []
    for op in graph.ops:
        if op.inputs[0] in clips and isinstance(op, Clip):
            continue
        clip = clips.get(op.output)
        ops.append(_with_clip(op, clip) if clip is not None else op)
    return _rebuilt(graph, ops)


def _can_take_clip(graph: Graph, tensor: str) -> bool:
    producer = graph.producer(tensor)
    alone = tensor not in graph.outputs and len(graph.consumers(tensor)) == 1
    return alone and isinstance(producer, Conv2d | Dense | MaxPool2d | Add)


def _with_clip(op: Op, clip: Clip) -> Op:
    def clamp(value: int) -> int:
        return max(clip.lo, min(clip.hi, value))

    if isinstance(op, Conv2d | Dense):
        return replace(op, output=clip.output, cut=replace(op.cut, lo=clamp(op.cut.lo), hi=clamp(op.cut.hi)))
    if isinstance(op, MaxPool2d | Add):
        return replace(op, output=clip.output, lo=clamp(op.lo), hi=clamp(op.hi))
    raise TypeError(f"{op.name}: {op.kind} takes no clip")


def _rebuilt(graph: Graph, ops: list[Op]) -> Graph:
    names = {*graph.inputs, *(op.output for op in ops)}
    return replace(graph, ops=tuple(ops), shapes={name: shape for name, shape in graph.shapes.items() if name in names})
