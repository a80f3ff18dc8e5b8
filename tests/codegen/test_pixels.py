"""What moves pixels: blocks of pixels become channels and the other way round, rows and columns are left out or added."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.test_compiler import check
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.channels import Concat, Select
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Conv2d, Cut, GraphError, MaxPool2d, Window
from tvm_re2na.codegen.graph.pixels import ConcatPixels, DepthToSpace2d, Pad
from tvm_re2na.runtime.library import Simulator

BLOCK = [(0, 0), (1, 0), (0, 1), (1, 1)]  # in YOLOv5's order


def focus(size: int, window: Window, order: list[int] | None = None, groups: int = 1) -> Graph:
    """Every second pixel, four times, as channels of a convolution."""
    rng, builder = np.random.default_rng(3), GraphBuilder("focus")
    x = builder.input("x", (2, 3, size, size))
    count = -(-size // 2) if size % 2 == 0 else size // 2
    parts = []
    for y, z in BLOCK:
        padding = (-y, -z, y + 2 * (count - 1) + 1 - size, z + 2 * (count - 1) + 1 - size)
        parts.append(builder.append(Pad(f"part{y}{z}", (x,), f"part{y}{z}", padding, (2, 2))))
    x = builder.append(Concat("concat", tuple(parts), "together"))
    if order is not None:
        x = builder.append(Select("order", (x,), "ordered", np.array(order)))
    channels = builder.shape(x)[1]
    weight = rng.integers(-9, 10, (2 * groups, channels // groups, *window.kernel)).astype(np.int8)
    return builder.build(
        [builder.append(Conv2d("conv", (x,), "y", weight, np.zeros(2 * groups, np.int32), window, groups, Cut(6)))]
    )


@pytest.mark.parametrize("order", [None, [11, *range(11)], [5, 0, 3]])
@pytest.mark.parametrize(
    "window", [Window((3, 3), padding=(1, 1, 1, 1)), Window((1, 1)), Window((3, 2), (2, 1), (0, 1, 2, 0))]
)
def test_a_block_of_pixels_as_channels_is_a_larger_kernel(window: Window, order: list[int] | None) -> None:
    graph = focus(8, window, order)
    assert [op.kind for op in fold(graph).ops] == ["conv2d"]
    program = check(graph, Architecture())
    assert {step.name for step in program.instructions if step.name in ("CONV", "POOL")} == {"CONV"}


@pytest.mark.parametrize(
    ("graph", "moved"),
    [
        (focus(9, Window((3, 3), padding=(1, 1, 1, 1))), 5),  # the last row lies where the padding would be
        (focus(9, Window((3, 3))), 0),
        (focus(8, Window((2, 2), dilation=(2, 2))), 5),
        (focus(8, Window((3, 3)), groups=3), 5),
        (focus(8, Window((3, 3)), order=[0, 0, 1]), 6),  # one of them twice
    ],
    ids=["odd, padded", "odd", "dilated", "grouped", "twice"],
)  # fmt: skip
def test_other_convolutions_read_what_has_been_moved(graph: Graph, moved: int) -> None:
    kinds = [op.kind for op in fold(graph).ops]
    assert kinds[-1] == "conv2d" and len(kinds) == moved + 1
    check(graph, Architecture())


@pytest.mark.parametrize("sram", [12, 24, 1536])
@pytest.mark.parametrize("factors", [(2, 2), (1, 3), (3, 1)])
def test_channels_in_any_order_become_blocks_of_pixels(factors: tuple[int, int], sram: int) -> None:
    """Behind a convolution, which makes them in the order in which the blocks want them."""
    rng, builder = np.random.default_rng(4), GraphBuilder("shuffle")
    x = builder.input("x", (2, 4, 12, 10))
    pixels = factors[0] * factors[1]
    weight = rng.integers(-9, 10, (6 * pixels, 4, 3, 3)).astype(np.int8)
    window = Window((3, 3), padding=(1, 1, 1, 1))
    x = builder.append(Conv2d("conv", (x,), "a", weight, np.zeros(6 * pixels, np.int32), window, 1, Cut(5)))
    x = builder.append(Select("order", (x,), "b", np.arange(6 * pixels).reshape(6, pixels).T.ravel()))
    x = builder.append(DepthToSpace2d("blocks", (x,), "c", factors))
    x = builder.append(MaxPool2d("pool", (x,), "d", Window((3, 3), padding=(1, 1, 1, 1)), lo=-50))
    graph = builder.build([x])
    assert [op.kind for op in fold(graph).ops] == ["conv2d", "depth_to_space", "max_pool2d"]
    check(graph, Architecture(sram_bytes=sram * 1024))


@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("sram", [10, 14, 24, 1536])
def test_rows_and_columns_one_after_the_other(axis: int, sram: int) -> None:
    """Of what a convolution makes, of it once more, and of what is made of it: in strips, in cascades and as a whole."""
    rng, builder = np.random.default_rng(6), GraphBuilder("together")
    x, window = builder.input("x", (2, 5, 12, 12)), Window((3, 3), padding=(1, 1, 1, 1))

    def conv(name: str, x: str, channels: int) -> str:
        weight = rng.integers(-9, 10, (9, channels, 3, 3)).astype(np.int8)
        return builder.append(Conv2d(name, (x,), name, weight, np.zeros(9, np.int32), window, 1, Cut(5)))

    first = conv("first", x, 5)
    second = conv("second", first, 9)
    x = builder.append(ConcatPixels("together", (first, second, first), "together", axis, (12, 12, 12)))
    graph = builder.build([conv("third", x, 9)])
    program = check(graph, Architecture(sram_bytes=sram * 1024))
    assert sram < 1536 or [step.name for step in program.instructions].count("POOL") == 3


def test_every_element_of_a_block_is_where_onnx_has_it() -> None:
    """DCR: (row of the block, column of the block, channel)."""
    x = np.arange(2 * 2 * 3 * 2 * 2).reshape(1, 12, 2, 2).astype(np.int8)
    builder = GraphBuilder("blocks")
    graph = builder.build([builder.append(DepthToSpace2d("d", (builder.input("x", x.shape),), "y", (2, 2)))])
    program = check(graph, Architecture())
    (found,) = Simulator(program).run([x]).outputs
    for c, i, j, h, w in np.ndindex(3, 2, 2, 2, 2):
        assert found[0, c, 2 * h + i, 2 * w + j] == x[0, (i * 2 + j) * 3 + c, h, w]


def test_what_cannot_be_is_refused() -> None:
    builder = GraphBuilder("none")
    x = builder.input("x", (1, 6, 4, 4))
    with pytest.raises(GraphError, match="6 channels are no block of 2 x 2 pixels"):
        builder.append(DepthToSpace2d("d", (x,), "y", (2, 2)))
    with pytest.raises(GraphError, match="of 4 x 4 pixels 0 x 4 are left"):
        builder.append(Pad("p", (x,), "y", (-2, 0, -2, 0)))
    with pytest.raises(
        GraphError, match=r"c: operands of shapes \(1, 6, 4, 4\), \(1, 6, 4, 4\) are not \(4, 5\) alike"
    ):
        builder.append(ConcatPixels("c", (x, x), "y", 0, (4, 5)))
    narrow = builder.build([builder.append(Pad("p", (x,), "y", (1, 0, 0, 0), value=-65))])
    with pytest.raises(GraphError, match=r"p: value -65 is outside -64\.\.63"):
        narrow.verify(Architecture(data_bits=7))


def test_rows_and_then_columns_are_taken_at_once() -> None:
    builder = GraphBuilder("crops")
    x = builder.input("x", (2, 3, 11, 13))
    rows = builder.append(Pad("rows", (x,), "a", (-1, 0, -2, 0), (2, 1)))
    builder.append(Pad("columns", (rows,), "b", (-1, -2, 0, -1), (1, 3)))
    builder.append(Pad("more", ("b",), "c", (0, -1, -1, 0), (2, 2)))
    builder.append(Pad("around", ("c",), "d", (1, 0, 0, 2), value=7))
    graph = builder.build(["b", "d"])
    folded = fold(graph)
    assert [(op.name, op.inputs) for op in folded.ops] == [("columns", ("x",)), ("more", ("x",)), ("around", ("c",))]
    check(graph, Architecture())
