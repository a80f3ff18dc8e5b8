"""Activation tables: in strips, as a part of a cascade and as a whole; what a table takes up of what follows; what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from tests.codegen.networks import between_convolutions
from tests.codegen.test_compiler import check
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.graph.fold import fold
from tvm_re2na.codegen.graph.graph import Graph
from tvm_re2na.codegen.graph.ops import GraphError, Lookup

TABLE = np.random.default_rng(2).integers(-128, 128, 256).astype(np.int8)


def network(batch: int = 1, table: np.ndarray = TABLE) -> Graph:
    return between_convolutions(lambda x: Lookup("look", (x,), "b", table), batch)


@pytest.mark.parametrize("batch", [1, 2])
@pytest.mark.parametrize("sram", [17, 20, 32, 1536])
def test_in_strips_and_as_a_whole(batch: int, sram: int) -> None:
    """The array is set for the convolutions alone."""
    arch = Architecture(sram_bytes=sram * 1024, activation_table=1)
    program = check(network(batch), arch)
    names = [step.name for step in program.instructions]
    assert names.count("LOOKUP") >= 1 and "ELTWISE" not in names
    assert names.count("RECONFIGURE") == 1 or "POOL" in names  # by which rows of a cascade move


def test_a_clip_behind_it_is_part_of_the_table() -> None:
    kinds = [op.kind for op in fold(network()).ops]
    assert kinds == ["conv2d", "lookup", "conv2d"]
    (look,) = (op for op in fold(network()).ops if isinstance(op, Lookup))
    np.testing.assert_array_equal(look.table, TABLE.clip(-50, 90))


def test_tables_are_compulsory_traffic() -> None:
    arch = Architecture(activation_table=1)
    program = compile_graph(network(), arch)
    layers = dict(zip((source.op for source in program.sources), program.meta["layers"], strict=True))
    assert layers["lookup"]["dram_bytes_compulsory"] == 256


def test_what_is_no_table_or_not_for_this_machine() -> None:
    with pytest.raises(GraphError, match=r"look: the machine has no activation table \(activation_table = 0\)"):
        compile_graph(network(), Architecture())
    with pytest.raises(GraphError, match=r"look: a table int8\(255,\), it must be int8\(256,\)"):
        compile_graph(network(table=TABLE[:255]), Architecture(activation_table=1))
