"""Padding: as numbers, and with the operator that it belongs to."""

from __future__ import annotations

import math

import onnx_ir as ir

from tvm_re2na.onnx_form.parts import attribute, constant, sizes

NOTHING = -1e9  # what exporters write for "less than any value": this, the lowest float32, or -inf


def explicit_padding(node: ir.Node) -> None:
    mode = attribute(node, "auto_pad", "NOTSET")
    if mode == "NOTSET":
        return
    image, kernel = sizes(node.inputs[0])[2:], _kernel(node)
    if not kernel or len(image) != len(kernel):
        return
    pads = [0] * (2 * len(kernel))
    if mode != "VALID":
        if any(size is None for size in image):
            return
        pads = _same(node, [int(size or 0) for size in image], kernel, upper=mode == "SAME_UPPER")
    node.attributes.pop("auto_pad")
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)


def explicit_cut(node: ir.Node) -> None:
    """Of a ConvTranspose, whose padding is cut off its result: what is left is as large as `output_shape` says, or as the input
    times the stride."""
    mode, wanted = attribute(node, "auto_pad", "NOTSET"), attribute(node, "output_shape")
    image, kernel = sizes(node.inputs[0])[2:], _kernel(node)
    if (mode == "NOTSET" and wanted is None) or not kernel or len(image) != len(kernel):
        return
    pads = [0] * (2 * len(kernel))
    if mode != "VALID" or wanted is not None:
        ones = [1] * len(kernel)
        strides, dilations = attribute(node, "strides", ones), attribute(node, "dilations", ones)
        more = attribute(node, "output_padding", [0] * len(kernel))
        if wanted is not None and any(size is None for size in image):
            return
        for axis, k in enumerate(kernel):
            made = int(image[axis] or 0) * strides[axis] if wanted is not None else 0
            left = wanted[axis] if wanted is not None else 0
            total = made - strides[axis] + (k - 1) * dilations[axis] + 1 + more[axis] - left
            small, large = total // 2, total - total // 2
            pads[axis], pads[axis + len(kernel)] = (small, large) if mode == "SAME_UPPER" else (large, small)
    if min(pads) < 0:
        return
    for name in ("auto_pad", "output_shape"):
        node.attributes.pop(name, None)
    node.attributes["pads"] = ir.AttrInt64s("pads", pads)


def drop_window_in_padding(model: ir.Model) -> bool:
    """Of the first pooling that has one; whether there was one: ONNX 1.18 takes its result, and all that follows, to be larger."""
    return any(_drop_window(node) for node in model.graph if node.op_type == "MaxPool" and not node.domain)


def _drop_window(node: ir.Node) -> bool:
    """ONNX rounds the number of windows up (ceil_mode), but leaves out one that would begin behind the image; TVM 0.19 does not."""
    image, kernel = sizes(node.inputs[0])[2:], _kernel(node)
    if not attribute(node, "ceil_mode", 0) or len(image) != len(kernel) or any(size is None for size in image):
        return False
    ones, pads = [1] * len(kernel), list(attribute(node, "pads", [0] * (2 * len(kernel))))
    strides, dilations = attribute(node, "strides", ones), attribute(node, "dilations", ones)
    changed = list(pads)
    dropped = False
    for axis, (size, k, stride, dilation) in enumerate(zip(image, kernel, strides, dilations, strict=True)):
        before, behind, window = pads[axis], pads[axis + len(kernel)], (k - 1) * dilation + 1
        real = int(size or 0) + before
        count = math.ceil((real + behind - window) / stride) + 1
        if (count - 1) * stride >= real:
            count, dropped = count - 1, True
        changed[axis + len(kernel)] = max((count - 1) * stride + window - real, 0)
    if dropped:
        node.attributes["pads"] = ir.AttrInt64s("pads", changed)
        node.attributes.pop("ceil_mode")
    return dropped


def _same(node: ir.Node, image: list[int], kernel: list[int], *, upper: bool) -> list[int]:
    """As many outputs as strides fit; where the padding is odd, the more of it at the end (upper) or at the start."""
    ones = [1] * len(kernel)
    strides, dilations = attribute(node, "strides", ones), attribute(node, "dilations", ones)
    before, after = [], []
    for size, k, stride, dilation in zip(image, kernel, strides, dilations, strict=True):
        total = max((math.ceil(size / stride) - 1) * stride + (k - 1) * dilation + 1 - size, 0)
        small, large = total // 2, total - total // 2
        before.append(small if upper else large)
        after.append(large if upper else small)
    return before + after


def _kernel(node: ir.Node) -> list[int]:
    told = attribute(node, "kernel_shape")
    if told is not None:
        return list(told)
    weight = sizes(node.inputs[1]) if len(node.inputs) > 1 else ()
    return [] if any(size is None for size in weight) else [int(size or 0) for size in weight[2:]]


def pad_into_pool(node: ir.Node) -> None:
    """Padding that is never a maximum becomes the pooling's own: by less than any value, or by one of at most 0 behind a Relu."""
    pads, value, uses = constant(node, 1), constant(node, 2), node.outputs[0].uses()
    if pads is None or value is None or value.size != 1 or len(pads) != 8 or len(node.inputs) > 3 or len(uses) != 1:
        return
    pool = next(iter(uses)).node
    alone = pool.op_type == "MaxPool" and len(pool.outputs) == 1 and not node.outputs[0].is_graph_output()
    if (
        not alone
        or attribute(node, "mode", "constant") != "constant"
        or attribute(pool, "auto_pad", "NOTSET") != "NOTSET"
    ):
        return
    filled = float(value.item())
    if not (filled <= NOTHING or (filled <= 0 and _not_negative(node.inputs[0]))):
        return
    old = attribute(pool, "pads", [0, 0, 0, 0])
    more = [int(pads[index]) for index in (2, 3, 6, 7)]
    new = [a + b for a, b in zip(old, more, strict=True)]
    kernel = attribute(pool, "kernel_shape")
    outside = any(pads[index] for index in (0, 1, 4, 5)) or min(more) < 0
    # a window without a real number would have the padding's as its maximum; dilated ones may leave out all real ones
    dilated = any(step != 1 for step in attribute(pool, "dilations", [1, 1]))
    if outside or dilated or attribute(pool, "ceil_mode", 0) or any(p >= kernel[i % 2] for i, p in enumerate(new)):
        return
    pool.attributes["pads"] = ir.AttrInt64s("pads", new)
    pool.replace_input_with(0, node.inputs[0])
    graph = node.graph
    if isinstance(graph, ir.Graph):
        graph.remove(node, safe=True)


def _not_negative(value: ir.Value | None) -> bool:
    producer = None if value is None else value.producer()
    if producer is None:
        return False
    if producer.op_type in ("Relu", "Sigmoid"):
        return True
    low = constant(producer, 1) if producer.op_type == "Clip" else None
    return low is not None and low.size == 1 and low.item() >= 0
