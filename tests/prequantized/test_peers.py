"""benchmarks/peers.py: the TFLite twin of a graph computes what the graph does, and who is judged by whom."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("tflite", reason="the twin is written with the package tflite")

from benchmarks.peers import JUDGED, SRAM_KIB, misses
from benchmarks.peers_page import COLUMNS, cells, write_page
from benchmarks.peers_row import MissingTool, Row, check_package
from benchmarks.peers_twin import TwinError, twin
from benchmarks.peers_zigzag import distinct_layers
from tests.graph_eval import WIDE, evaluate
from tests.models.resnets import resnet_graph
from tvm_re2na import frontends, pipeline
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Add, Clip, Conv2d, Cut, Dense, MaxPool2d, Reshape, Window


def residual(rng: np.random.Generator, padding: int, exact: bool = False) -> Graph:
    """A convolution whose padding TFLite has (0) or has not (3), a depthwise one, an addition of tensors of unlike steps, a pooling
    and a dense layer on a map of several pixels. `exact`: with what only an exact twin gives, a pooling that is padded as TFLite
    pads none, of numbers below zero too, and a bound of 6."""

    def conv(name: str, x: str, shape: tuple[int, ...], window: Window, groups: int, cut: Cut) -> str:
        weight = rng.integers(-20, 21, shape).astype(np.int8)
        bias = rng.integers(-500, 500, shape[0]).astype(np.int32)
        return builder.append(Conv2d(name, (x,), name, weight, bias, window, groups, cut))

    builder = GraphBuilder("residual")
    size = 16 if padding else 21
    first = Window((7, 7), (2, 2), (padding,) * 4)
    x = conv("first", builder.input("x", (1, 3, size, size)), (4, 3, 7, 7), first, 1, Cut(6, 0))
    y = conv("depthwise", x, (4, 1, 3, 3), Window((3, 3), padding=(1, 1, 1, 1)), 4, Cut(5))
    x = builder.append(Add("add", (x, y), "add", (0, 1), -128 if exact else 0))
    if exact:
        x = builder.append(MaxPool2d("padded", (x,), "padded", Window((3, 3), padding=(2, 2, 0, 0))))
        x = conv("relu6", x, (4, 1, 3, 3), Window((3, 3), padding=(1, 1, 1, 1)), 4, Cut(5, 0, 96))
    x = builder.append(MaxPool2d("pool", (x,), "pool", Window((2, 2), (2, 2))))
    x = builder.append(Reshape("flat", (x,), "flat", (1, 4 * 16)))
    matrix = rng.integers(-20, 21, (5, 64)).astype(np.int8)
    return builder.build([builder.append(Dense("fc", (x,), "fc", matrix, np.arange(5, dtype=np.int32), Cut(7)))])


@pytest.mark.skipif(frontends.installed() != "relay", reason="TVM's importer of TFLite is Relay's")
@pytest.mark.parametrize(("padding", "exact"), [(0, False), (3, False), (3, True)])
def test_the_twin_computes_the_same(padding: int, exact: bool, tmp_path: Path) -> None:
    """TVM reads it, and gives the graph's bits on its CPU: weights, shapes, order and shifts are all there."""
    rng = np.random.default_rng(padding)
    graph = residual(rng, padding, exact)
    path = tmp_path / "twin.tflite"
    path.write_bytes(twin(graph, exact))
    run = pipeline.build_for_cpu(*pipeline.import_tflite(path)).executor()
    for _ in range(5):
        x = rng.integers(-128, 128, graph.shapes["x"]).astype(np.int8)
        (expected,) = evaluate(graph, [x], WIDE)
        np.testing.assert_array_equal(run(np.ascontiguousarray(x.transpose(0, 2, 3, 1)))[0], expected)
        assert len(np.unique(expected)) > 1


def test_what_has_no_twin_is_named() -> None:
    builder = GraphBuilder("grouped")
    weight = np.ones((4, 2, 1, 1), np.int8)
    x = builder.input("x", (1, 4, 8, 8))
    conv = Conv2d("two", (x,), "two", weight, np.zeros(4, np.int32), Window((1, 1)), 2, Cut(3))
    with pytest.raises(TwinError, match="two: 2 groups of 4 channels"):
        twin(builder.build([builder.append(conv)]))


def test_a_bound_that_only_weighs_the_same_is_named() -> None:
    builder = GraphBuilder("bounded")
    clip = Clip("five", (builder.input("x", (1, 4, 8, 8)),), "five", 0, 80)
    graph = builder.build([builder.append(clip)])
    with pytest.raises(TwinError, match="five: results from 0 to 80 are not written exactly"):
        twin(graph, exact=True)
    assert twin(graph)


def test_the_layers_that_zigzag_gets() -> None:
    """Loops multiply to the graph's MACs; layers that are alike are one."""
    graph = resnet_graph(18)
    layers = distinct_layers(graph)
    macs = sum(int(np.prod([size for _, size in sizes])) for _, sizes, _, _ in layers)
    assert macs == sum(graph.macs(op) for op in graph.ops) and len(layers) == 22 and len(set(layers)) == 13


def test_a_tool_that_is_not_there_says_so(tmp_path: Path) -> None:
    with pytest.raises(MissingTool, match="ethos-u-vela is not installed: there is no"):
        check_package(tmp_path / "python", "ethosu.vela", "ethos-u-vela")


def _rows(own: int, vela: int, fits: bool) -> list[Row]:
    sizes = [(name, kib * 1024) for name in JUDGED for kib in SRAM_KIB]
    mine = [Row(name, size, "Re²Na, pipelined", 4096, 10, own, size, 1.0) for name, size in sizes]
    theirs = [Row(name, size, "Vela u65-512, shared", 512, 10, vela, size, 1.0, fits) for name, size in sizes]
    return mine + theirs


@pytest.mark.parametrize(
    ("own", "vela", "fits", "missed"),
    [(5, 6, True, ""), (6, 6, True, "6 bytes, Vela u65-512"), (5, 6, False, "no Vela")],
)
def test_who_is_judged(own: int, vela: int, fits: bool, missed: str) -> None:
    found = misses(_rows(own, vela, fits), list(JUDGED))
    assert len(found) == (len(JUDGED) * len(SRAM_KIB) if missed else 0)
    assert all(missed in line for line in found)


def test_the_page_says_what_failed(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    rows = [*_rows(5, 6, False), Row("resnet18", 131072, "ZigZag", 4096, note="no mapping found")]
    write_page(tmp_path / "peers.md", rows, dict.fromkeys(JUDGED, 100), 16, ["Vela 1"], ["resnet18 at 128 KiB: large"])
    text = (tmp_path / "peers.md").read_text()
    assert "| no mapping found |" in text and "* resnet18 at 128 KiB: large" in text
    assert (tmp_path / "pictures" / "peers.png").stat().st_size > 1000
    assert all(len(cells(row, 100)) == len(COLUMNS) for row in rows)
