"""Runs the quantised network piece by piece as its layers are decided: what was computed once is kept as int8."""

from __future__ import annotations

import copy
from collections.abc import Collection

import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto

from tvm_re2na.batches import by_name
from tvm_re2na.onnx_runtime import session
from tvm_re2na.quantize.emit import emit, int8_name
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.observe import batch_size, batches
from tvm_re2na.quantize.plan import QuantizationPlan
from tvm_re2na.runtime.result import Int8Array


class Segments:
    """`value(tensor)`: a tensor of the quantised network on all images, under the plan as it stands when it is first asked for."""

    def __init__(self, net: Net, plan: QuantizationPlan, images: Calibration) -> None:
        self.net = net
        self.plan = plan
        self.images = images
        self._known: dict[str, npt.NDArray[np.generic]] = {**by_name(images, net.input_names)}

    def value(self, tensor: str, later: Collection[str]) -> Int8Array:
        """int8 (N, ...); whatever the tensors in `later` do not need any more is forgotten."""
        name = int8_name(tensor)
        emitted = emit(self.net, self.plan, half_up=True)
        if name not in self._known:
            self._known[name] = self._run(_piece(emitted, [name], self._known))
        value = self._known[name].astype(np.int8, copy=False)
        needed = _piece(emitted, [int8_name(other) for other in later], self._known)[1]
        self._known = {known: self._known[known] for known in self._known if known in needed}
        return value

    def _run(self, piece: tuple[Net, set[str]]) -> npt.NDArray[np.generic]:
        net, inputs = piece
        running = session(_typed(net, inputs, self._known).SerializeToString(), fast=True)
        size, parts = batch_size(self.net, self.images), []
        for start, _ in batches(self.net, self.images):
            feeds = {name: _filled(self._known[name][start : start + size], size) for name in inputs}
            parts.append(running.run(None, feeds)[0])
        return np.concatenate(parts)[: len(self.images)]


def _filled(batch: npt.NDArray[np.generic], size: int) -> npt.NDArray[np.generic]:
    return np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)]) if len(batch) < size else batch


def _piece(net: Net, targets: list[str], known: Collection[str]) -> tuple[Net, set[str]]:
    """The part of `net` between the known tensors and the targets, and which known tensors it reads."""
    wanted, inputs, nodes = set(targets) - set(known), set(targets) & set(known), []
    for node in reversed(net.nodes):
        if wanted.isdisjoint(node.outputs):
            continue
        nodes.append(node)
        read = {name for name in node.inputs if name and name not in net.constants}
        inputs |= read & set(known)
        wanted |= read - set(known)
    piece = copy.copy(net)
    piece.nodes = nodes[::-1]
    piece.outputs = [onnx.helper.make_tensor_value_info(name, TensorProto.INT8, None) for name in targets]
    return piece, inputs


def _typed(net: Net, inputs: set[str], known: dict[str, npt.NDArray[np.generic]]) -> onnx.ModelProto:
    net.inputs = [
        onnx.helper.make_tensor_value_info(
            name, onnx.helper.np_dtype_to_tensor_dtype(known[name].dtype), [None, *known[name].shape[1:]]
        )
        for name in sorted(inputs)
    ]
    return to_onnx(net)
