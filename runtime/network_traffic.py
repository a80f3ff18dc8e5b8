"""The regions of a network together: what crosses their borders, and what would cross the DRAM bus if they were one.

A region's own bound (`codegen.graph.bounds`) counts its inputs and outputs as what they are for it: bytes that must move. So each
of many regions can reach its bound while the network moves its activations in and out again and again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from tvm_re2na.codegen.program import Program


@dataclass(frozen=True)
class NetworkTraffic:
    """Of one inference. `crossing_bytes`: inputs and outputs of all regions, which the CPU writes and reads.

    `dram_bytes_compulsory`: the regions' weights and biases at their packed size, and the elements of the network's own inputs and
    outputs, a byte each.
    """

    regions: int
    crossing_bytes: int
    dram_bytes_compulsory: int

    def ratio(self, dram_bytes: float) -> float | None:
        """How often as much as is compulsory `dram_bytes` of one inference are; None where nothing is."""
        return dram_bytes / self.dram_bytes_compulsory if self.dram_bytes_compulsory else None

    def to_json(self, dram_bytes: float) -> dict[str, Any]:
        """The contract of docs/json.md."""
        return {
            "regions": self.regions,
            "crossing_bytes": self.crossing_bytes,
            "network_dram_bytes_compulsory": self.dram_bytes_compulsory,
            "network_dram_ratio": self.ratio(dram_bytes),
        }


def network_traffic(programs: Sequence[Program], border_bytes: int) -> NetworkTraffic:
    """Of the programs of all regions; `border_bytes`: the elements of the network's inputs and outputs for one run."""
    if not programs:
        return NetworkTraffic(0, 0, 0)
    batch = programs[0].inputs[0].shape[0] if programs[0].inputs else 1
    tensors = (tensor for program in programs for tensor in (*program.inputs, *program.outputs))
    weights = sum(program.meta.get("total", {}).get("weight_bytes", 0) for program in programs)
    return NetworkTraffic(
        len(programs), sum(math.prod(tensor.shape) for tensor in tensors) // batch, (weights + border_bytes) // batch
    )
