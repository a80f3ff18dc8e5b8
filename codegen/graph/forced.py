"""Bytes that cross the DRAM bus because layers do not fit the SRAM together, in any schedule that computes each element once.

docs/bounds.md has the theorems and their proofs; a `Group` is what they speak of, some consecutive layers of a chain. Sizes are
bytes. What a group is proved to move is moved for its own weights and tensors, so that groups without a common layer add up.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from tvm_re2na.codegen.graph.chain import ChainLayer, Link, Places
from tvm_re2na.codegen.graph.ops import Add
from tvm_re2na.codegen.graph.reads import Need

SUM_BYTES = 4  # of a sum that waits in the SRAM
SHARES = (0.75, 0.8, 0.85, 0.9)  # of the first layer's products that are done when the group is looked at
WORTH = (1.0, 1.5, 2.0)  # what a byte of a tensor may count for, where one of weights counts 1: it is stored and loaded
PARTS = (2, 3, 4, 6, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)  # into which a layer alone is cut
LONGEST = 12  # layers of a group
STEPS = 200  # of the search for the cheapest part; it is rounded down


@dataclass(frozen=True)
class Group:
    """Layers that follow each other, seen at pixels that they all have (images included).

    `weights`: of each layer. `tensors`: of what each makes and the next one reads; of the last one, its results. `inputs`: of what
    the first one reads, `inputs_move`: they are the network's inputs or results. `kept`: (s, t, bytes): what layer s makes is added
    to what layer t makes. `in_flight`: share of the first layer's sums that the array holds at most. `share`: DRAM bytes of a
    byte of weights.
    """

    weights: tuple[int, ...]
    tensors: tuple[int, ...]
    inputs: int
    inputs_move: bool = False
    kept: tuple[tuple[int, int, int], ...] = ()
    in_flight: float = 0.0
    share: float = 1.0

    def sums(self, layer: int) -> int:
        """Of a layer, if all of them wait."""
        return SUM_BYTES * self.tensors[layer]


def forced_bytes(group: Group, sram: int) -> float:
    """The better of the two theorems."""
    together = _at_one_moment(group, sram)
    return max(together, _part_by_part(group, sram)) if len(group.weights) == 1 else together


# ---- at one moment


def mixed_share(share: float) -> float:
    """Of a box of products, `share` of them done: at least so many of its lines, the shares of all three directions added, have
    products of both kinds."""
    rest = min(share, 1 - share)
    return min(1.0, 2 * math.sqrt(rest), 3 * math.pow(rest, 2 / 3))


def _at_one_moment(group: Group, sram: int) -> float:
    if _fits(group, sram):
        return 0.0
    shares = (share for share in SHARES if share - group.in_flight >= 1 - share)
    return max((crossing_bytes(group, share, worth) - worth * sram for share in shares for worth in WORTH), default=0.0)


def _fits(group: Group, sram: int) -> bool:
    """Whether nothing can be proved, because all weights are in the SRAM at once, or those of the first layer and its results."""
    own = min(group.weights[0], group.inputs)
    if len(group.weights) == 1:
        return min(own, group.sums(0)) <= sram
    return min(sum(group.weights), own + group.tensors[0]) <= sram


def crossing_bytes(group: Group, share: float, worth: float) -> float:
    """The least that is needed before and after the moment, tensors and sums at `worth` a byte."""
    mixed, low = mixed_share(share), share - group.in_flight
    own, sums = group.share * group.weights[0], worth * group.sums(0)
    inputs = (min(worth, 1.0) if group.inputs_move else worth) * group.inputs
    if len(group.weights) == 1:
        return mixed * min(own, inputs, sums)
    inputs = min(inputs, sums / 2)
    behind, at_most = (_behind(group, part, worth) for part in (low, share))
    tensor, both = worth * min(group.tensors[0], group.sums(1)), own + group.share * group.weights[1]
    return min(
        mixed * min(own, inputs) + low * tensor,
        mixed * both + behind,
        *((mixed - 1 + part) * both + (1 - part) * inputs + behind for part in (low, share)),
        mixed * inputs + (low - 1 + mixed) * tensor + (1 - mixed) / share * at_most,
    )


def _behind(group: Group, share: float, worth: float) -> float:
    """Of the layers behind the second one: weights of those that go along, and the tensor behind the last of these."""
    last, cost = len(group.weights) - 1, 0.0
    for layer in range(last - 1, 0, -1):
        waits = min(group.tensors[layer], group.sums(layer + 1)) + _kept(group, layer)
        cost = min(share * worth * waits, group.share * group.weights[layer + 1] + cost)
    return cost


def _kept(group: Group, layer: int) -> int:
    """What has to be added later on, while nothing behind `layer` is done."""
    found, last = 0, len(group.weights) - 1
    for start, end, size in group.kept:
        if start < layer < end - 1:
            found = max(found, size)
        elif start < layer == end - 1 and end < last:
            found = max(found, min(size, group.sums(end + 1)))
    return found


# ---- a layer alone, part by part


def _part_by_part(group: Group, sram: int) -> float:
    weights, inputs, sums = group.share * group.weights[0], group.inputs, group.sums(0)
    best = 0.0
    for parts in PARTS:
        volume = 1 / parts - group.in_flight
        if volume <= 0:
            break
        best = max(best, parts * _cheapest(volume, weights, inputs, sums) - (parts - 1) * sram - weights - inputs)
    return best


def _cheapest(volume: float, weights: float, inputs: float, sums: float) -> float:
    """The least bytes that a part of this share of the products touches: shares x of the weights and y of the inputs, and half of
    the sums that it has in common with other parts."""
    high = np.arange(1, STEPS + 1) * (volume / STEPS)  # x * y lies between two of these
    low = np.maximum(high - volume / STEPS, 1e-12)
    x = np.clip(np.sqrt(inputs * low / max(weights, 1)), low, 1)
    rest = np.maximum(volume - high, 0)
    return float((weights * x + inputs * low / x + sums / 2 * np.maximum(rest, rest**2 / high)).min())


# ---- all of a chain


def most_forced(chain: list[ChainLayer], sram: int, pes: int) -> int:
    """The most that groups without a common layer are proved to move together."""
    most = [0.0]
    for end in range(len(chain)):
        found = [most[first] + forced_bytes(group, sram) for first, group in groups_until(chain, end, pes)]
        most.append(max([most[-1], *found]))
    return math.floor(most[-1])


def groups_until(chain: list[ChainLayer], end: int, pes: int) -> Iterator[tuple[int, Group]]:
    """Each group whose last layer is `end`, with its first one."""
    places = _ends(chain[end].read)
    if places is None:
        return
    walk = _Walk(chain, end, places, pes)
    for first in range(end, max(end - LONGEST, -1), -1):
        group = walk.group(first)
        if group is None:
            return
        yield first, group
        if not chain[first].joined:
            return
        walk.step(first)


def _ends(read: Need) -> tuple[Places, Places] | None:
    """What is read of a layer's results, where that is every n-th row and column."""
    found = []
    for flags in (read.rows, read.columns):
        indices = np.flatnonzero(flags)
        steps = set(np.diff(indices).tolist())
        if not len(indices) or len(steps) > 1:
            return None
        found.append(Places(int(indices[0]), steps.pop() if steps else 1, 0, len(indices)))
    return found[0], found[1]


class _Walk:
    """From the last layer of a group to its first: pixels that all of them share, and what is known of the layers so far."""

    def __init__(self, chain: list[ChainLayer], end: int, places: tuple[Places, Places], pes: int) -> None:
        self.chain, self.end, self.pes = chain, end, pes
        self.places = places
        self.weights: list[int] = []  # of the layers behind, the last one first
        self.outputs = [int(np.count_nonzero(chain[end].read.channels))]  # the same, the layer at hand included
        self.waiting: dict[str, tuple[int, tuple[Places, Places]]] = {}  # operands of additions
        self.kept: list[tuple[int, int, int]] = []  # layers, channels

    def group(self, first: int) -> Group | None:
        """With `first` as its first layer; None where nothing is left of it."""
        layer = self.chain[first]
        window = layer.link.window
        rows, columns = (place.inside(window, axis, layer.link.sizes[axis]) for axis, place in enumerate(self.places))
        pixels = rows.count * columns.count * layer.images
        if not pixels or not self.outputs[-1]:
            return None
        uses = rows.uses(window, 0) * columns.uses(window, 1)
        outputs = self.outputs[::-1]
        layers = self.chain[first : self.end + 1]
        return Group(
            weights=(outputs[0] * layer.steps, *self.weights[::-1]),
            tensors=tuple(count * pixels for count in outputs),
            inputs=layer.steps * pixels // uses if layer.has_input else 0,
            inputs_move=layer.input_bytes_move,
            kept=tuple((start - first, end - first, count * pixels) for start, end, count in self.kept),
            in_flight=self.pes / (outputs[0] * pixels),
            share=min(layer.weight_share for layer in layers),
        )

    def step(self, index: int) -> None:
        """Take the layer into the group as one behind others; then the layer before is at hand."""
        layer = self.chain[index]
        window, sizes = layer.link.window, layer.link.sizes
        (rows, down), (columns, across) = (
            place.shared(window, axis, sizes[axis]) for axis, place in enumerate(self.places)
        )
        self.places = rows.inside(window, 0, sizes[0]), columns.inside(window, 1, sizes[1])
        used = int(np.count_nonzero(layer.used))
        self.weights.append(max(self.outputs[-1] * (used * down * across - layer.missing_steps), 0))
        self.outputs.append(used)
        self._through(layer.link)
        self._meet(layer.link.source, index - 1)
        for link in reversed(layer.links):
            if isinstance(link.op, Add) and layer.used.all():
                other = link.op.inputs[link.op.inputs[0] == link.source]
                self.waiting.setdefault(other, (index - 1, self.places))
            self._through(link)
            self._meet(link.source, index - 1)

    def _through(self, link: Link) -> None:
        rows, columns = (place.through(link.window, axis, link.sizes[axis]) for axis, place in enumerate(self.places))
        # pixels that are left out along the way are left out everywhere
        self.places = rows, columns

    def _meet(self, tensor: str, index: int) -> None:
        """A tensor behind layer `index`: perhaps it is added later on, pixel by pixel."""
        if tensor in self.waiting and self.chain[index + 1].used.all():
            end, places = self.waiting[tensor]
            if all(
                (one.offset, one.step) == (other.offset, other.step)
                for one, other in zip(places, self.places, strict=True)
            ):
                self.kept.append((index, end, self.outputs[-1]))
