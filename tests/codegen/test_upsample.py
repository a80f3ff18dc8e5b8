"""Repeated rows and columns: any run of the output's rows, in time as foreseen, and as a part of a cascade."""

from __future__ import annotations

import pytest

from tests.codegen.networks import between_convolutions
from tests.codegen.test_compiler import check
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.emit.views import dense_view
from tvm_re2na.codegen.emit.writer import Writer
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import GraphError
from tvm_re2na.codegen.graph.pixels import Upsample2d
from tvm_re2na.codegen.isa.durations import Durations
from tvm_re2na.codegen.schedule.unit.base import Unit, Work
from tvm_re2na.codegen.schedule.unit.blocks import Weights


@pytest.mark.parametrize("factors", [(1, 1), (2, 2), (3, 1), (1, 4), (5, 3)])
def test_every_run_of_rows_takes_the_cycles_foreseen(factors: tuple[int, int]) -> None:
    arch, shape = Architecture(), (1, 4, 4, 6)
    op = Upsample2d("up", ("x",), "y", factors)
    unit = Unit.made_of[Upsample2d].made(op, 0, ("x",), shape, (1, 4, 4 * factors[0], 6 * factors[1]))
    for start in range(unit.out_shape[2]):
        for stop in range(start + 1, unit.out_shape[2] + 1):
            first, _ = unit.needed_rows(0, (start, stop))
            writer = Writer(arch)
            source, target = dense_view("x", 4, 6, 4).at(row=first), dense_view("y", 4 * factors[0], 6 * factors[1], 4)
            unit.draft(Work(0, 1, (start, stop), (source,), target), writer)
            drafts = [draft for draft in writer.schedule.drafts if draft.name == "POOL"]
            written = sorted(
                draft.places["out_addr"].offset
                + row * draft.values["out_row_stride"]
                + x * draft.values["out_pixel_stride"]
                for draft in drafts
                for row in range(draft.values["out_h"])
                for x in range(draft.values["out_w"])
            )
            assert written == list(range(0, (stop - start) * unit.out_shape[3] * 4, 4))
            names = ("n", "out_h", "out_w", "in_c", "kernel_h", "kernel_w")
            taken = sum(
                Durations(arch).cycles("POOL", **{name: draft.values[name] for name in names}) for draft in drafts
            )
            tiles = {(stop - start) * unit.out_shape[3]: 1}
            assert taken == unit.cycles(Weights(arch.array_rows, ()), tiles, 0, Durations(arch))


def decoder(batch: int, factors: tuple[int, int]) -> Graph:
    return between_convolutions(lambda x: Upsample2d("up", (x,), "b", factors), batch)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("factors", [(2, 2), (3, 2)])
@pytest.mark.parametrize("sram", [18, 24, 32, 1536])
def test_in_strips_and_as_a_whole(batch: int, factors: tuple[int, int], sram: int) -> None:
    program = check(decoder(batch, factors), Architecture(sram_bytes=sram * 1024))
    names = [step.name for step in program.instructions]
    assert names.count("POOL") >= factors[0] * factors[1] and "ELTWISE" not in names


def test_a_factor_is_one_at_least() -> None:
    builder = GraphBuilder("none")
    with pytest.raises(GraphError, match=r"up: factors \(2, 0\), each must be 1 or more"):
        builder.append(Upsample2d("up", (builder.input("x", (1, 2, 3, 3)),), "y", (2, 0)))
