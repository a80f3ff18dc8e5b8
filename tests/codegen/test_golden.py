"""Golden dumps of one small network after every pass. `pytest --update-golden` rewrites them; read the diff first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tvm_re2na.codegen.compiler import PASSES, compile_graph
from tvm_re2na.codegen.graph.graph import Graph, GraphBuilder
from tvm_re2na.codegen.graph.ops import Add, Conv2d, Cut, Dense, MaxPool2d, Reshape, Window

GOLDEN = Path(__file__).parent / "golden"


def residual_network() -> Graph:
    """Two convolutions, a residual add, pooling, flatten and a dense layer."""
    builder = GraphBuilder("residual")
    x = builder.input("x", (1, 3, 8, 8))
    window = Window((3, 3), (1, 1), (1, 1, 1, 1))

    def conv(name: str, source: str, outputs: int, lo: int) -> str:
        weight = np.ones((outputs, builder.shape(source)[1], 3, 3), np.int8)
        return builder.append(
            Conv2d(name, (source,), f"{name}.out", weight, np.zeros(outputs, np.int32), window, 1, Cut(5, lo))
        )

    first = conv("stem", x, 16, 0)
    second = conv("branch", first, 16, -128)
    added = builder.append(Add("add", (first, second), "add.out", (0, 1), 0))
    pooled = builder.append(MaxPool2d("pool", (added,), "pool.out", Window((2, 2), (2, 2))))
    flat = builder.append(Reshape("flatten", (pooled,), "flat", (1, 256)))
    weight = np.ones((10, 256), np.int8)
    return builder.build([builder.append(Dense("fc", (flat,), "y", weight, np.zeros(10, np.int32), Cut(4)))])


@pytest.mark.parametrize("name", PASSES)
def test_dump_is_as_recorded(name: str, request: pytest.FixtureRequest) -> None:
    dumps: dict[str, str] = {}
    compile_graph(residual_network(), dump=dumps.__setitem__)
    path = GOLDEN / f"residual.{name}.txt"
    if request.config.getoption("--update-golden"):
        path.parent.mkdir(exist_ok=True)
        path.write_text(dumps[name])
    assert dumps[name] == path.read_text()
