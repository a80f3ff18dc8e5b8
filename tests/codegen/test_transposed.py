"""Transposed convolutions: any run of the output's rows, no product with a zero between the pixels, in strips and cascades."""

from __future__ import annotations

import dataclasses
from itertools import product

import numpy as np
import pytest

from tests.codegen.test_compiler import check
from tvm_re2na.codegen.arch import AccOverflow, Architecture, Rounding
from tvm_re2na.codegen.emit.views import dense_view
from tvm_re2na.codegen.emit.writer import Writer
from tvm_re2na.codegen.graph.bounds import network_bounds
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Clip, Conv2d, Cut, GraphError, Window
from tvm_re2na.codegen.graph.transposed import ConvTranspose2d
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Weights
from tvm_re2na.runtime.library import Simulator

SAME = Window((3, 3), padding=(1, 1, 1, 1))
FORMS = [  # window, more
    (Window((2, 2), (2, 2)), (0, 0)),
    (Window((3, 3), (2, 2), (1, 1, 1, 1)), (1, 1)),
    (Window((4, 3), (3, 2), (2, 0, 0, 1)), (0, 0)),
    (Window((1, 2), (3, 3)), (2, 1)),  # rows that no input reaches
    (Window((5, 1), (2, 1), (5, 0, 0, 0)), (1, 0)),  # more is cut off than one input makes
]


def made(window: Window, more: tuple[int, int], inputs: int = 4, outputs: int = 6, groups: int = 1) -> ConvTranspose2d:
    rng = np.random.default_rng(1)
    weight = rng.integers(1, 10, (outputs, inputs // groups, *window.kernel)).astype(np.int8)
    bias = rng.integers(-900, 900, outputs).astype(np.int32)
    return ConvTranspose2d("up", ("x",), "y", weight, bias, window, groups, Cut(4), more)


@pytest.mark.parametrize(("window", "more"), FORMS, ids=str)
@pytest.mark.parametrize("groups", [1, 2])
def test_every_run_of_rows_is_written_once(window: Window, more: tuple[int, int], groups: int) -> None:
    arch, shape = Architecture(), (1, 4, 5, 4)
    op = made(window, more, groups=groups)
    out_shape = op.infer([shape])
    unit = Unit.made_of[ConvTranspose2d].made(op, 0, ("x",), shape, (1, 6, *out_shape[2:]))
    weights = Weights(arch.array_rows, tuple(unit.blocks(arch.array_rows, arch)))
    for start, stop in product(range(out_shape[2]), range(1, out_shape[2] + 1)):
        if start >= stop:
            continue
        first, _ = unit.needed_rows(0, (start, stop))
        views = (dense_view("x", 5, 4, 4).at(row=first),)
        target = dense_view("y", out_shape[2], out_shape[3], 6)
        writer = Writer(arch)
        unit.draft(Work(0, 1, (start, stop), views, target, weights.blocks, arch.array_rows), writer)
        drafts = [draft for draft in writer.schedule.drafts if draft.name == "CONV"]
        written = sorted(
            draft.places["out_addr"].offset
            + row * draft.values["out_row_stride"]
            + x * draft.values["out_pixel_stride"]
            for draft in drafts
            for row in range(draft.values["out_h"])
            for x in range(draft.values["out_w"])
        )
        assert written == list(range(0, (stop - start) * out_shape[3] * 6, 6))
        if start % window.stride[0] == 0:
            names = ("n", "out_h", "out_w", "out_c", "groups", "rows", "steps")
            taken = sum(
                Durations(arch).cycles("CONV", **{name: draft.values[name] for name in names}) for draft in drafts
            )
            foreseen = unit.cycles(weights, {(stop - start) * out_shape[3]: 1}, 0, Durations(arch))
            assert taken <= foreseen, "what sees nothing takes a step"
            assert taken == foreseen or window.padding[0] > 4


def upsampled(batch: int, window: Window, more: tuple[int, int], outputs: int = 40) -> Graph:
    """A convolution before it, a clip and a convolution behind."""
    rng, builder = np.random.default_rng(1), GraphBuilder("decoder")
    weights = [rng.integers(-9, 10, (8, channels, 3, 3)).astype(np.int8) for channels in (4, outputs)]
    x = builder.input("x", (batch, 4, 12, 10))
    x = builder.append(Conv2d("first", (x,), "a", weights[0], np.zeros(8, np.int32), SAME, 1, Cut(4)))
    x = builder.append(dataclasses.replace(made(window, more, 8, outputs), inputs=(x,), output="b", cut=Cut(8)))
    x = builder.append(Clip("clip", (x,), "c", -50, 90))
    return builder.build(
        [builder.append(Conv2d("last", (x,), "d", weights[1], np.zeros(8, np.int32), SAME, 1, Cut(8)))]
    )


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize(("window", "more"), FORMS, ids=str)
@pytest.mark.parametrize("sram", [16, 24, 1536])
def test_in_strips_and_as_a_whole(batch: int, window: Window, more: tuple[int, int], sram: int) -> None:
    program = check(upsampled(batch, window, more), Architecture(sram_bytes=sram * 1024))
    assert "ELTWISE" not in {step.name for step in program.instructions}


@pytest.mark.parametrize(
    "arch",
    [
        Architecture(array_shapes=32 + 16 + 128),
        Architecture(acc_overflow=AccOverflow.SATURATE),
        Architecture(rounding=Rounding.TRUNCATE),
    ],
    ids=["shapes", "saturating", "truncating"],
)
def test_on_other_machines(arch: Architecture) -> None:
    check(upsampled(2, *FORMS[1], outputs=70), arch)


@pytest.mark.parametrize(("window", "more"), FORMS[:3], ids=str)
def test_no_zero_is_multiplied(window: Window, more: tuple[int, int]) -> None:
    """The program has the products of the graph, and the bound no more steps than the array takes."""
    builder = GraphBuilder("one")
    builder.append(dataclasses.replace(made(window, more), inputs=(builder.input("x", (1, 4, 9, 7)),)))
    graph = builder.build(["y"])
    program = check(graph, Architecture())
    simulator = Simulator(program)
    macs = simulator.run([np.ones((1, 4, 9, 7), np.int8)]).counters.total.macs
    (op,) = graph.ops
    assert macs == graph.macs(op)
    inputs = 9 * 7 * 4 * op.weight.shape[0] * window.kernel[0] * window.kernel[1]  # each meets all of the kernel
    assert macs <= inputs * 1.5  # padding at the edges counts, as it does in any convolution
    assert network_bounds(graph, Architecture()).cycles <= simulator.timing.cycles


def test_what_is_wrong_is_told() -> None:
    builder = GraphBuilder("none")
    x = builder.input("x", (1, 4, 2, 2))
    with pytest.raises(GraphError, match=r"up: padding \(9, 0, 0, 0\) leaves nothing of the output"):
        builder.append(dataclasses.replace(made(Window((2, 2), (2, 2), (9, 0, 0, 0)), (0, 0)), inputs=(x,)))
    with pytest.raises(GraphError, match="4 input channels, weights take 8"):
        builder.append(dataclasses.replace(made(Window((2, 2)), (0, 0), 8), inputs=(x,)))
    with pytest.raises(GraphError, match=r"dilation \(2, 1\)"):
        made(Window((2, 2), dilation=(2, 1)), (0, 0)).check(Architecture())
