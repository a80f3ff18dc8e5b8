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
    """`value(tensor)`: a tensor of the quantised network on all images, under the plan as it stands when it is first asked for.

    Of the network only what lies between what is known and what is asked for is emitted and run, so that a long network costs no
    more for each layer than a short one. What a piece reads is quantised once more on its way in, which changes nothing.
    """

    def __init__(self, net: Net, plan: QuantizationPlan, images: Calibration) -> None:
        self.net = net
        self.plan = plan
        self.images = images
        self._given = by_name(images, net.input_names)
        self._known: dict[str, Int8Array] = {}

    def value(self, tensor: str, later: Collection[str]) -> Int8Array:
        """int8 (N, ...); whatever the tensors in `later` do not need any more is forgotten."""
        if tensor not in self._known:
            self._known[tensor] = self._run(tensor)
        value = self._known[tensor]
        needed = self._piece(later)[1]
        self._known = {name: known for name, known in self._known.items() if name in needed}
        return value

    def _run(self, tensor: str) -> Int8Array:
        piece, read = self._piece([tensor])
        floats = {name: self._float(name) for name in sorted(read)}
        piece.inputs = [
            onnx.helper.make_tensor_value_info(name, TensorProto.FLOAT, [None, *values.shape[1:]])
            for name, values in floats.items()
        ]
        emitted = emit(piece, self.plan, half_up=True)
        emitted.outputs = [onnx.helper.make_tensor_value_info(int8_name(tensor), TensorProto.INT8, None)]
        running = session(to_onnx(emitted).SerializeToString(), fast=True)
        size, parts = batch_size(self.net, self.images), []
        for start, _ in batches(self.net, self.images):
            feeds = {name: _filled(values[start : start + size], size) for name, values in floats.items()}
            parts.append(running.run(None, feeds)[0])
        return np.concatenate(parts)[: len(self.images)]

    def _float(self, name: str) -> npt.NDArray[np.float32]:
        """What the quantised network knows of a tensor, or an input as it was given."""
        if name not in self._known:
            return self._given[name]
        return np.ldexp(self._known[name].astype(np.float32), self.plan.exponent(name))

    def _piece(self, targets: Collection[str]) -> tuple[Net, set[str]]:
        """The nodes between what is known and the targets, and which known tensors and inputs they read."""
        net = self.net
        read, nodes = set(targets) & self._known.keys(), []
        wanted = set(targets) - read
        for node in reversed(net.nodes):
            if wanted.isdisjoint(node.outputs):
                continue
            nodes.append(node)
            names = {name for name in node.inputs if name and name not in net.constants}
            read |= names & self._known.keys()
            wanted |= names - self._known.keys()
        piece = copy.copy(net)
        piece.nodes, piece.outputs = nodes[::-1], []
        return piece, read | (wanted & self._given.keys())


def _filled(batch: npt.NDArray[np.float32], size: int) -> npt.NDArray[np.float32]:
    return np.concatenate([batch, np.repeat(batch[-1:], size - len(batch), axis=0)]) if len(batch) < size else batch
