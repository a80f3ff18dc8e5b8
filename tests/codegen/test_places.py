"""Whose place a result takes: an operand's, where all of its bytes lie as the result's will."""

from __future__ import annotations

import numpy as np

from tests.codegen.test_compiler import check
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.graph.channels import Concat
from tvm_re2na.codegen.graph.graph import GraphBuilder
from tvm_re2na.codegen.graph.ops import Add, Conv2d, Cut, Window


def test_an_operand_beside_another_tensor_keeps_its_place() -> None:
    """65 of 66 channels: both end alike when rounded up, and are added in two blocks."""
    rng, builder = np.random.default_rng(1), GraphBuilder("beside")

    def conv(name: str, x: str, outputs: int) -> str:
        weight = rng.integers(-9, 10, (outputs, builder.shape(x)[1], 1, 1)).astype(np.int8)
        bias = rng.integers(-99, 99, outputs).astype(np.int32)
        return builder.append(Conv2d(name, (x,), f"{name}:0", weight, bias, Window((1, 1)), 1, Cut(3)))

    x = builder.input("x", (1, 4, 2, 5))
    wide, narrow = conv("wide", x, 65), conv("narrow", x, 1)
    beside = builder.append(Concat("beside", (wide, narrow), "beside:0"))
    again = conv("again", conv("both", beside, 4), 65)
    check(builder.build([builder.append(Add("sum", (again, wide), "sum:0", (0, 0)))]), Architecture())
