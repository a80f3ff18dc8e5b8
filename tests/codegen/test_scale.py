"""A factor for each channel: convolutions whose weights the program has computed, image by image, strip by strip."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.test_compiler import check
from tests.graph_eval import evaluate
from tvm_re2na.codegen.arch import AccOverflow, Architecture, Rounding
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.emit.views import dense_view
from tvm_re2na.codegen.emit.writer import Writer
from tvm_re2na.codegen.graph.channels import ScaleChannels
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Clip, Conv2d, Cut, GraphError, MaxPool2d, Window
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Weights
from tvm_re2na.runtime.library import Simulator

SAME = Window((3, 3), padding=(1, 1, 1, 1))


def excitation(batch: int, channels: int = 70, start: int = 0) -> Graph:
    """A convolution, its maxima through another one as its factors, a clip, a convolution."""
    rng, builder = np.random.default_rng(1), GraphBuilder("excitation")

    def conv(name: str, x: str, outputs: int, window: Window, lsb: int) -> str:
        weight = rng.integers(-9, 10, (outputs, builder.shape(x)[1], *window.kernel)).astype(np.int8)
        return builder.append(Conv2d(name, (x,), f"{name}:0", weight, np.zeros(outputs, np.int32), window, 1, Cut(lsb)))

    x = conv("first", builder.input("x", (batch, 4, 12, 10)), channels, SAME, 4)
    pixel = builder.append(MaxPool2d("squeeze", (x,), "squeeze:0", Window((12, 10))))
    factors = conv("gate", pixel, channels, Window((1, 1)), 6)
    scaled = builder.append(ScaleChannels("scale", (x, factors), "scale:0", Cut(6), start))
    clipped = builder.append(Clip("clip", (scaled,), "clip:0", -70, 100))
    return builder.build([conv("last", clipped, 8, SAME, 8)])


@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("sram", [14, 20, 32, 1536])
def test_in_strips_and_as_a_whole(batch: int, sram: int) -> None:
    program = check(excitation(batch), Architecture(sram_bytes=sram * 1024))
    scaled = [step for step in program.instructions if program.sources[step.source].name == "scale"]
    assert "ELTWISE" not in {step.name for step in scaled}
    assert sum(step.name == "CONV" and step["n"] == 1 for step in scaled) >= 2 * batch  # blocks of 64 and of 6 channels


@pytest.mark.parametrize("channels", [1, 63, 64, 65])
def test_blocks_of_channels(channels: int) -> None:
    check(excitation(2, channels), Architecture())


@pytest.mark.parametrize(
    "arch",
    [
        Architecture(array_shapes=32 + 16 + 128),
        Architecture(acc_overflow=AccOverflow.SATURATE, acc_bits=18),
        Architecture(rounding=Rounding.TRUNCATE),
    ],
    ids=["shapes", "saturating", "truncating"],
)
def test_on_other_machines(arch: Architecture) -> None:
    check(excitation(2, start=5), arch)


def test_each_run_has_its_own_factors() -> None:
    graph, rng = excitation(2), np.random.default_rng(3)
    simulator = Simulator(compile_graph(graph, Architecture()))
    for _ in range(3):
        images = [rng.integers(-128, 128, graph.shapes["x"]).astype(np.int8)]
        wanted = evaluate(graph, images, Architecture())
        np.testing.assert_array_equal(simulator.run(images).outputs[0], wanted[0])


def test_a_batch_and_every_run_of_rows_take_the_cycles_foreseen() -> None:
    arch, shape = Architecture(), (3, 70, 5, 6)
    unit = Unit.made_of[ScaleChannels].made(ScaleChannels("s", ("x", "f"), "y", Cut(4)), 0, ("x", "f"), shape, shape)
    weights = Weights(arch.array_rows, tuple(unit.blocks(arch.array_rows, arch)))
    runs = [(1, (start, stop)) for start in range(5) for stop in range(start + 1, 6)]
    for images, rows in [*runs, (2, (0, 5)), (3, (0, 5))]:
        writer = Writer(arch)
        views = dense_view("x", 5, 6, 70).at(row=rows[0]), dense_view("f", 1, 1, 70)
        unit.draft(Work(0, images, rows, views, dense_view("y", 5, 6, 70), weights.blocks, arch.array_rows), writer)
        drafts = [draft for draft in writer.schedule.drafts if draft.name == "CONV"]
        names = ("n", "out_h", "out_w", "out_c", "groups", "rows", "steps")
        taken = sum(Durations(arch).cycles("CONV", **{name: draft.values[name] for name in names}) for draft in drafts)
        tiles = {images * (rows[1] - rows[0]) * 6: 1}
        assert taken == unit.cycles(weights, tiles, 0, Durations(arch))
        assert [draft.places["weight_addr"].offset for draft in drafts] == [
            image * 70 + first for first in (0, 64) for image in range(images)
        ]


def test_factors_are_one_for_each_image_and_channel() -> None:
    builder = GraphBuilder("none")
    inputs = builder.input("x", (2, 4, 3, 3)), builder.input("f", (1, 4, 1, 1))
    with pytest.raises(GraphError, match=r"s: factors of shape \(1, 4, 1, 1\) are not one for each channel"):
        builder.append(ScaleChannels("s", inputs, "y", Cut(4)))
