"""Reports without TVM: of graphs that the compiler gets, with what the other steps would have found."""

from __future__ import annotations

from dataclasses import replace
from functools import cache
from typing import Any

from tests.models.resnets import resnet_graph
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.offload.explanation import Explanation, foreign, offloaded
from tvm_re2na.codegen.program import Program, SourceOperator
from tvm_re2na.reporting.assemble import Findings, assemble
from tvm_re2na.reporting.document import Numbers, ReportLayer, RunReport, WidthRow
from tvm_re2na.reporting.wiring import Wires

SCORES = {"top1": 0.9, "top5": 0.99}
COMPARISON: dict[str, Any] = {
    "images": 100,
    "float": SCORES,
    "onnx_runtime_int8": SCORES | {"snr_db": 30.0},
    "cpu_int8": SCORES | {"snr_db": 30.0},
    "re2na": SCORES | {"snr_db": 30.0, "overflows": 0},
    "agreement": 0.98,
    "bit_identical": True,
    "offloaded_macs_share": 1.0,
    "second_opinion": {"images": 4, "operators": 3, "agrees": True, "parting": []},
}
WIDTHS = tuple(WidthRow(bits, 0.95 - 0.1 / bits, 0.95, 4.0 * bits, 0, None) for bits in (8, 6, 4))
NUMBERS = Numbers(-5, -7, -4, 8, 40_000, 65_535, 1.63, 1, 90_000, 31.5)


def assembled(graph: Graph, arch: Architecture | None = None, *, twice: bool = False) -> RunReport:
    """Quantised on the CPU, then the graph, or it and it again, and dequantised."""
    arch = arch or Architecture()
    program = compile_graph(graph, arch)
    own = [(op.name, op.kind) for op in graph.ops]
    border = (
        foreign("input.quantize", "quantize", ["float32"], False),
        foreign("output.dequantize", "dequantize", [], False),
    )
    again = [(f"{name}.again", kind) for name, kind in own] if twice else []
    operators = [border[0], *offloaded(own, 0, 1000), *(offloaded(again, 1, 1000) if twice else []), border[1]]
    return assemble(
        Findings(
            title="net.onnx",
            data="images.npz",
            batch=1,
            given_quantized=False,
            comparison=COMPARISON,
            operators=operators,
            wires=_wires(graph, operators, twice),
            programs=[program, _renamed(program)] if twice else [program],
            border_bytes=1000,
            offloaded_macs_share=1.0,
            arch=arch,
            versions=["tvm_re2na 0", "front end relay"],
            widths=WIDTHS,
        )
    )


def _renamed(program: Program) -> Program:
    sources = tuple(SourceOperator(f"{at.name}.again", at.op, at.macs) for at in program.sources)
    return replace(program, sources=sources)


def _wires(graph: Graph, operators: list[Explanation], twice: bool) -> list[Wires]:
    places = {op.output: index for index, op in enumerate(graph.ops, 1)} | dict.fromkeys(graph.inputs, 0)
    found = [Wires()]
    for op in graph.ops:
        reads = tuple(sorted({places[name] for name in op.inputs}))
        found.append(Wires(reads, tuple(graph.input_shapes(op)), None, graph.shapes[op.output]))
    if twice:
        found += [replace(wire, reads=tuple(place + len(graph.ops) for place in wire.reads)) for wire in found[1:]]
    return [*found, Wires((len(operators) - 2,))]


def renamed(report: RunReport, place: int, name: str) -> RunReport:
    """One layer called otherwise, and told by the quantiser."""
    layers = list(report.layers)
    layers[place] = replace(layers[place], name=name, numbers=NUMBERS)
    return replace(report, layers=tuple(layers))


@cache
def residual(size: int = 32, mac_interval: int = 5, *, twice: bool = False) -> RunReport:
    return assembled(resnet_graph(18, size), Architecture(mac_interval=mac_interval), twice=twice)


def on_the_cpu(report: RunReport) -> RunReport:
    """The same network where nothing is offloaded."""
    layers = tuple(
        ReportLayer(layer.name, layer.op, False, None, "int8_data", "int8 only.", "float32", "int8", layer.reads)
        for layer in report.layers
    )
    return replace(report, layers=layers, regions=())
