"""ZigZag, KU Leuven's mapping search: what it makes of the layers of a graph on an array like Re²Na's, one layer at a time."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

from benchmarks.peers_row import Row, check_package, run
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import Conv2d, Dense

RUNNER = Path(__file__).with_name("peers_zigzag_run.py")
LINKS = {"O": "O", "W": "I2", "I": "I1"}
Layer = tuple[str, tuple[tuple[str, int], ...], tuple[int, int, int, int, int, int], tuple[int, int, int, int]]


class ZigZag:
    """`python`: an interpreter with the package zigzag-dse. `factors`: of a layer's loops, how many its search permutes."""

    def __init__(self, python: Path, folder: Path, factors: int) -> None:
        self.version = check_package(python, "zigzag.api", "zigzag-dse")
        self.python, self.folder, self.factors = python, folder, factors

    def row(self, network: str, graph: Graph, arch: Architecture, sram_bytes: int) -> Row:
        """`arch`: whose array, DRAM and energies it gets; its MACs take one cycle each."""
        counts = Counter(distinct_layers(graph))
        layers = [_workload(layer, f"layer{index}") for index, layer in enumerate(counts)]
        mapping = [{"name": "default", "memory_operand_links": LINKS}]  # it wants one, though every layer has its own
        mapping += [_mapping(layer, f"layer{index}", arch) for index, layer in enumerate(counts)]
        # JSON is YAML
        (self.folder / "layers.json").write_text(json.dumps(layers))
        (self.folder / "mapping.yaml").write_text(json.dumps(mapping))
        (self.folder / "machine.yaml").write_text(json.dumps(machine(arch, sram_bytes)))
        printed, seconds = run([self.python, RUNNER, self.folder, self.factors], self.folder)
        costs = json.loads(printed.splitlines()[-1])
        cycles = sum(count * cost["cycles"] for count, cost in zip(counts.values(), costs, strict=True))
        traffic = sum(count * cost["dram_bits"] for count, cost in zip(counts.values(), costs, strict=True))
        energy = sum(count * cost["energy_pj"] for count, cost in zip(counts.values(), costs, strict=True))
        return Row(
            network,
            sram_bytes,
            "ZigZag",
            arch.pe_count,
            round(cycles),
            round(traffic / 8),
            None,
            seconds,
            note=f"{energy / 1e6:,.0f} µJ",
        )


def distinct_layers(graph: Graph) -> list[Layer]:
    """Of each convolution and dense layer what ZigZag knows of it, in order, with repetitions."""
    graph = fold(graph)
    found: list[Layer] = []
    for op in graph.ops:
        if isinstance(op, Dense):
            outputs, inputs = op.weight.shape
            sizes = (("B", 1), ("K", outputs), ("C", inputs))
            found.append(("dense", sizes, (1, 1, 1, 1, 1, 1), (0, 0, 0, 0)))
        elif isinstance(op, Conv2d):
            _, channels, height, width = graph.shapes[op.inputs[0]]
            _, outputs, rows, columns = graph.shapes[op.output]
            window = op.window
            depth = (("G", outputs),) if op.groups > 1 else (("K", outputs), ("C", channels))
            sizes = (("B", 1), *depth, ("OY", rows), ("OX", columns), *zip(("FY", "FX"), window.kernel, strict=True))
            form = (*window.stride, *window.dilation, height, width)
            found.append(("depthwise" if op.groups > 1 else "conv", sizes, form, window.padding))
    return found


def _workload(layer: Layer, name: str) -> dict[str, Any]:
    kind, sizes, (stride_y, stride_x, dilation_y, dilation_x, height, width), (top, left, bottom, right) = layer
    equations = {
        "dense": "O[b][k]+=W[k][c]*I[b][c]",
        "conv": "O[b][k][oy][ox]+=W[k][c][fy][fx]*I[b][c][iy][ix]",
        "depthwise": "O[b][g][oy][ox]+=W[g][fy][fx]*I[b][g][iy][ix]",
    }
    found: dict[str, Any] = {
        "id": 0,
        "name": name,
        "operator_type": "Gemm" if kind == "dense" else "Conv",
        "equation": equations[kind],
        "loop_dims": [dimension for dimension, _ in sizes],
        "loop_sizes": [size for _, size in sizes],
        "operand_precision": {"W": 8, "I": 8, "O": 17, "O_final": 8},
        "operand_source": {"W": 0, "I": 0},
    }
    if kind != "dense":
        found["dimension_relations"] = [
            f"ix={stride_x}*ox+{dilation_x}*fx",
            f"iy={stride_y}*oy+{dilation_y}*fy",
        ]
        found |= {"pr_loop_dims": ["IX", "IY"], "pr_loop_sizes": [width, height]}
        found["padding"] = [[left, right], [top, bottom]]
    return found


def _mapping(layer: Layer, name: str, arch: Architecture) -> dict[str, Any]:
    """Channels along the rows, pixels along the columns, as Re²Na has them; of a dense layer, outputs along both."""
    sizes = dict(layer[1])
    rows, columns = arch.array_rows, arch.array_columns
    if layer[0] == "dense":
        across = [f"K, {rows}"]
        along = [f"K, {min(columns, max(1, sizes['K'] // rows))}"]
    else:
        channel = "G" if layer[0] == "depthwise" else "K"
        across = [f"{channel}, {min(rows, sizes[channel])}"]
        width = min(columns, sizes["OX"])
        along = [f"OX, {width}", f"OY, {min(columns // width, sizes['OY'])}"]
    return {"name": name, "spatial_mapping": {"D1": across, "D2": along}, "memory_operand_links": LINKS}


def machine(arch: Architecture, sram_bytes: int) -> dict[str, Any]:
    """As ZigZag describes one: an accumulator in each PE, the SRAM, the DRAM behind one port; energies in pJ an access."""
    word = 8 * arch.sram_bytes_per_cycle
    port = 8 * arch.dram_bytes_per_cycle
    sram_pj, dram_pj = arch.sram_energy_fj * word / 8000, arch.dram_energy_fj * port / 8000
    inputs, sums = ["I1", "I2"], "O"
    return {
        "name": "array",
        "memories": {
            "accumulator": _memory(
                arch.acc_bits,
                0.0,
                [sums],
                [
                    _port("r_port_1", arch.acc_bits, [f"{sums}, tl"]),
                    _port("r_port_2", arch.acc_bits, [f"{sums}, th"]),
                    _port("w_port_1", arch.acc_bits, [f"{sums}, fh"]),
                    _port("w_port_2", arch.acc_bits, [f"{sums}, fl"]),
                ],
                [],
            ),
            "sram": _memory(
                8 * sram_bytes,
                sram_pj,
                [*inputs, sums],
                [
                    _port("r_port_1", word, [*(f"{name}, tl" for name in (*inputs, sums)), f"{sums}, th"], least=8),
                    _port("w_port_1", word, [*(f"{name}, fh" for name in (*inputs, sums)), f"{sums}, fl"], least=8),
                ],
                ["D1", "D2"],
            ),
            "dram": _memory(
                10**11,
                dram_pj,
                [*inputs, sums],
                [
                    _port(
                        "rw_port_1",
                        port,
                        [f"{name}, {way}" for name in (*inputs, sums) for way in ("fh", "tl")]
                        + [f"{sums}, fl", f"{sums}, th"],
                    )
                ],
                ["D1", "D2"],
            ),
        },
        "operational_array": {
            "unit_energy": arch.mac_energy_fj / 1000,
            "unit_area": 1,
            "dimensions": ["D1", "D2"],
            "sizes": [arch.array_rows, arch.array_columns],
        },
    }


def _memory(
    bits: int, picojoules: float, operands: list[str], ports: list[dict[str, Any]], served: list[str]
) -> dict[str, Any]:
    costs = {"size": bits, "r_cost": picojoules, "w_cost": picojoules, "area": 0, "latency": 1}
    return costs | {"operands": operands, "ports": ports, "served_dimensions": served}


def _port(name: str, bits: int, ways: list[str], least: int = 0) -> dict[str, Any]:
    kind = {"r": "read", "w": "write", "rw": "read_write"}[name.split("_")[0]]
    return {
        "name": name,
        "type": kind,
        "bandwidth_min": least or bits,
        "bandwidth_max": bits,
        "allocation": ways,
    }
