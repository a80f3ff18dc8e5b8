"""Samples of a layer's work: some of its sums in the float network, and the inputs that the quantised network has for them.

A layer is a product of matrices, group by group: sums (P, O) = rows (P, K) @ weight (O, K) + bias, where a row holds the inputs of
one output pixel of one image. P pixels, drawn once, stand for all.
"""

from __future__ import annotations

import zlib

import numpy as np
import numpy.typing as npt

from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.observe import TensorValues
from tvm_re2na.quantize.transposed import groups_of, is_transposed, transposed_rows, weight_of
from tvm_re2na.runtime.result import Int8Array
from tvm_re2na.runtime.rows import ConvolutionWindow, gather

FloatRows = npt.NDArray[np.float32]
MOST_ROWS = 8192
MOST_VALUES = 2**25  # of a layer's rows: 128 MiB


class Samples:
    """Draws pixels of every layer and keeps the float network's sums there: `targets[name]` is (groups, P, O / groups)."""

    def __init__(self, net: Net, layers: tuple[Layer, ...], images: int) -> None:
        self.net = net
        self.layers = layers
        self.images = images
        self.pixels: dict[str, npt.NDArray[np.int64]] = {}
        self._memory: FloatRows = np.empty(0, np.float32)
        self._sums: dict[str, list[FloatRows]] = {layer.name: [] for layer in layers}

    def add(self, values: TensorValues) -> None:
        """One batch of the float network; images beyond the number promised fill up the last batch."""
        for layer in self.layers:
            sums = values[layer.sums]
            have = sum(map(len, self._sums[layer.name]))
            sums = sums[: self.images - have]
            flat = sums.reshape(*sums.shape[:2], -1)
            if layer.name not in self.pixels:
                self.pixels[layer.name] = self._draw(layer, flat.shape[2])
            pixels = self.pixels[layer.name][have : have + len(flat)]
            self._sums[layer.name].append(np.take_along_axis(flat, pixels[:, None, :], 2).transpose(0, 2, 1))

    def _draw(self, layer: Layer, pixels: int) -> npt.NDArray[np.int64]:
        inputs = weight_of(self.net, layer.node)[0].size * groups(layer)
        rows = max(self.images, min(MOST_ROWS, MOST_VALUES // inputs))
        each = min(pixels, -(-rows // self.images))
        rng = np.random.default_rng(zlib.crc32(layer.name.encode()))
        return np.stack([rng.choice(pixels, each, replace=False) for _ in range(self.images)])

    def targets(self, layer: Layer) -> FloatRows:
        sums = np.concatenate(self._sums[layer.name]).reshape(-1, groups(layer), self._outputs(layer) // groups(layer))
        return np.ascontiguousarray(sums.transpose(1, 0, 2))

    def rows(self, layer: Layer, source: Int8Array) -> Int8Array:
        """(groups, P, K) from the layer's whole int8 input (N, C, H, W) or (N, K)."""
        if source.ndim == 2:
            return np.ascontiguousarray(source)[None]
        weight, attributes = self.net.constants[layer.node.inputs[1]], layer.node.attributes
        names = ("strides", "dilations", "pads")
        given = {name: attributes[name] for name in names if name in attributes}
        pixels = self.pixels[layer.name]
        if is_transposed(layer.node):
            return transposed_rows(layer.node, weight.shape[2:], source, pixels)
        rows = np.empty((groups(layer), pixels.size, weight[0].size), np.int8)
        gather(np.ascontiguousarray(source), pixels, ConvolutionWindow(groups(layer), weight.shape[2:], **given), rows)
        return rows

    def as_floats(self, rows: Int8Array) -> FloatRows:
        """Good until the next ones are asked for. They take the last ones' memory where they fit it and it is not far too large:
        new memory costs more than what is done with it, and others need it more."""
        if not rows.size <= self._memory.size <= 2 * rows.size:
            self.forget_floats()
            self._memory = np.empty(rows.size, np.float32)
        floats = self._memory[: rows.size].reshape(rows.shape)
        np.copyto(floats, rows)
        return floats

    def forget_floats(self) -> None:
        self._memory = np.empty(0, np.float32)

    def _outputs(self, layer: Layer) -> int:
        return len(weight_of(self.net, layer.node))


def groups(layer: Layer) -> int:
    return groups_of(layer.node)
