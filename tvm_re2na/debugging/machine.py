"""The side of Re²Na: the network as TVM runs it, and what each of its programs computes on the way, instruction by instruction."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt
import onnx

from tvm_re2na import frontends, pipeline
from tvm_re2na.batches import Batch
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.observed import ObservedProgram, ObservedTensor, observe
from tvm_re2na.model_error import ModelError
from tvm_re2na.opinion.sections import Numbers, Section
from tvm_re2na.runtime.library import Simulator

CPU = "CPU"
SIDES = r"\.(up|down)$"  # of an operator that is computed on either side of zero
NUMBER = r"_\d+$"  # of a node that has become several operators


@dataclass(frozen=True)
class Seen:
    """A tensor on Re²Na: its integers, and which of its elements exist."""

    integers: Numbers
    exists: npt.NDArray[np.bool_]


@dataclass(frozen=True)
class MachineRun:
    """One batch: `tensors` by section's tensor, `overflows` by section's tensor, and the network's outputs."""

    tensors: dict[str, Seen]
    overflows: dict[str, int]
    outputs: list[Numbers]


class ObservedMachine:
    """A quantised network that is built for Re²Na, with everything that its programs make visible.

    `places`: by section's tensor where it is: "Re²Na" or "Re²Na/2", "Re²Na, within NAME" of what exists only inside the unit that
    computes NAME, or "CPU". `sums`: how many accumulators an image takes for it.
    """

    def __init__(self, model: onnx.ModelProto, sections: Sequence[Section], arch: Architecture, batch: int) -> None:
        mod, params = pipeline.import_into_tvm(model, batch)
        built = pipeline.build_for_re2na(mod, params, arch)
        lowered = pipeline.lower_for_each(mod, params, [arch])[0]
        graphs = {graph.name: graph for graph in lowered.graphs}
        self._run = frontends.session().watch(built)
        self._regions = [_Region(symbol, graphs[symbol], lowered.ends, sections, arch) for symbol, _ in built.programs]
        for region, (symbol, program) in zip(self._regions, built.programs, strict=True):
            if region.observed.original != program:
                raise ModelError(
                    f"{symbol}: compiled once more it is another program, so that nothing can be seen of it"
                )
        several = len(self._regions) > 1
        self.places = {section.tensor: CPU for section in sections}
        self.sums: dict[str, int] = {}
        for number, region in enumerate(self._regions):
            name = f"Re²Na/{number}" if several else "Re²Na"
            self.places |= {tensor: f"{name}{within}" for tensor, within in region.places.items()}
            self.sums |= {tensor: count // batch for tensor, count in region.sums.items()}

    def run(self, batch: Batch) -> MachineRun:
        outputs, calls = self._run(batch)
        done = MachineRun({}, {}, outputs)
        for region in self._regions:
            region.run(calls[region.symbol], done)
        return done


class _Region:
    """One program. Which tensor of its graph is which section's is known by the names of operators, which are the nodes'."""

    def __init__(
        self, symbol: str, graph: Graph, ends: Mapping[str, str], sections: Sequence[Section], arch: Architecture
    ) -> None:
        self.symbol = symbol
        self._ends = ends
        self.observed: ObservedProgram = observe(graph, arch)
        self._graph = graph
        self._of_node = {node.name: section.tensor for section in sections for node in section.nodes}
        self._seen = {tensor.name: tensor for tensor in self.observed.tensors if tensor.name not in graph.inputs}

    @cached_property
    def _machine(self) -> Simulator:
        return Simulator(self.observed.program)

    @cached_property
    def _tensors(self) -> dict[str, str]:
        """By section's tensor the graph's: what the last of its operators makes."""
        found = ((self._section(self._ends.get(op.name, op.name)), op.output) for op in self._graph.ops)
        return {section: tensor for section, tensor in found if section is not None}

    @cached_property
    def shown(self) -> dict[str, ObservedTensor]:
        return {section: self._seen[name] for section, name in self._tensors.items() if name in self._seen}

    @cached_property
    def places(self) -> dict[str, str]:
        """By section's tensor "", or in which operator it is."""
        found = {}
        for op in self._graph.ops:
            own, end = self._section(op.name), self._ends.get(op.name)
            if own is not None and end is not None and own not in self._tensors:
                found[own] = f", within {end}"
        for section, tensor in self._tensors.items():
            readers = [op.name for op in self._graph.consumers(tensor)]
            found[section] = "" if section in self.shown else f", within {', '.join(readers)}"
        return found

    @cached_property
    def sums(self) -> dict[str, int]:
        """Results of linear operators, by section's tensor."""
        found = {}
        for op in self._graph.ops:
            section = self._section(op.name)
            if section is not None and self._graph.macs(op):
                found[section] = int(np.prod(self._graph.shapes[op.output]))
        return found

    def _section(self, name: str) -> str | None:
        name = re.sub(SIDES, "", name)
        return self._of_node.get(name) or self._of_node.get(re.sub(NUMBER, "", name))

    def run(self, inputs: list[Numbers], done: MachineRun) -> None:
        result = self._machine.run(inputs)
        for section, tensor in self.shown.items():
            done.tensors[section] = Seen(tensor.read(result.outputs), tensor.exists())
        for source, counter in zip(self.observed.program.sources, result.counters.sources, strict=True):
            owner = self._section(source.name)
            if owner is not None:
                done.overflows[owner] = done.overflows.get(owner, 0) + counter.overflows
