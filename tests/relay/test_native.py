"""The kernels of the CPU as TVM 0.19 builds them, against NumPy's integers of 64 bit; and which layers call them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import tvm
from tvm import relay

from tests.kernel_cases import Array, data_of, expected, operators
from tests.relay.harness import execute
from tvm_re2na import processor
from tvm_re2na.frontends.relay.exact import exact_build, host_target
from tvm_re2na.frontends.relay.native import COMPILER, with_kernels
from tvm_re2na.kernels.instructions import instructions_of
from tvm_re2na.kernels.scaling import scaling_of
from tvm_re2na.kernels.selection import function_of, layer_of

Module = tvm.IRModule


@pytest.mark.parametrize("name", [name for name in processor.instruction_sets() if processor.MCPU[name]])
def test_every_form_is_exact(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """All functions in one module: LLVM starts once."""
    monkeypatch.setenv("RE2NA_CPU", name)
    target = tvm.target.Target({**host_target().export(), "opt-level": 1})
    isa = instructions_of(target)
    assert isa is not None
    layers = [layer_of(op, scaling_of(op), isa) for op in operators()]
    kernels = dict.fromkeys(layer.kernel for layer in layers)
    names = {kernel: f"kernel{index}" for index, kernel in enumerate(kernels)}
    functions = {name: function_of(kernel).with_attr("global_symbol", name) for kernel, name in names.items()}
    library = tvm.build(Module(functions), target=target)
    for index, (op, layer) in enumerate(zip(operators(), layers, strict=True)):
        x = data_of(index, op)
        arguments = [x.reshape(layer.data), *(constant.reshape(-1) for constant in layer.constants)]
        result = tvm.nd.array(np.zeros(layer.result, op.output.dtype))
        library[names[layer.kernel]](*map(tvm.nd.array, arguments), result)
        np.testing.assert_array_equal(
            result.numpy().reshape(op.output.sizes), expected(op, x), err_msg=f"{name}, case {index}: {op}"
        )


def conv(
    x: relay.Expr,
    weight: Array,
    *,
    zeros: tuple[int, int] = (3, 0),
    ratio: float | Array = 2.0**-9,
    padding: int = 1,
    dtype: str = "int8",
    zero: int = -4,
    rounding: str = "UPWARD",
    bounds: tuple[int, int] | None = None,
) -> relay.Expr:
    """A convolution of bytes with a bias, rescaled."""
    parts = [relay.const(zero) for zero in zeros], [relay.const(0.5), relay.const(0.25)]
    size = weight.shape
    sums = relay.qnn.op.conv2d(x, relay.const(weight), *parts[0], *parts[1], size[2:], size[0], padding=(padding,) * 4)
    sums = relay.nn.bias_add(sums, relay.const(np.arange(size[0], dtype=np.int32) * 1000))
    if bounds is not None:
        sums = relay.clip(sums, *bounds)
    scale = relay.const(np.asarray(ratio, np.float32))
    one, nought = relay.const(1.0), relay.const(0)
    return relay.qnn.op.requantize(
        sums, scale, nought, one, relay.const(zero), axis=1, rounding=rounding, out_dtype=dtype
    )


def padded(x: relay.Expr) -> relay.Expr:
    return relay.nn.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)))


RNG = np.random.default_rng(7)
WEIGHT = RNG.integers(-128, 128, (8, 8, 3, 3)).astype(np.int8)
Form = Callable[[relay.Expr], relay.Expr]
WITH: dict[str, Form] = {
    "plain": lambda x: conv(x, WEIGHT),
    "a ratio of any kind": lambda x: conv(x, WEIGHT, ratio=0.00123),
    "clamped": lambda x: conv(x, WEIGHT, bounds=(-3000, 20000)),
    "padded before": lambda x: conv(padded(x), WEIGHT, zeros=(0, 0), padding=0),
    "a window of all": lambda x: conv(x, RNG.integers(-128, 128, (5, 8, 6, 6)).astype(np.int8), padding=0),
    "one again": lambda x: conv(conv(x, WEIGHT), WEIGHT, zeros=(-4, 0)),
    "not rescaled": lambda x: conv(x, WEIGHT, ratio=1.0, zero=0),
}
WITHOUT: dict[str, Form] = {
    "one scale per channel": lambda x: conv(x, WEIGHT, ratio=np.full(8, 0.001) * np.arange(1, 9)),
    "larger than its sums": lambda x: conv(x, WEIGHT, ratio=1.5),
    "nearly as large as its sums": lambda x: conv(x, WEIGHT, ratio=0.75),
    "bytes without sign": lambda x: conv(x, WEIGHT, dtype="uint8", zero=9),
    "ties away from zero": lambda x: conv(x, WEIGHT, rounding="TONEAREST"),
    "padded with what is not zero": lambda x: conv(padded(x), WEIGHT, padding=0),
    "sums alone": lambda x: conv(x, WEIGHT, dtype="int32"),
}


def test_which_layers_call_kernels_and_that_bits_stay() -> None:
    """All in one module; plain `llvm` is the judge."""
    forms = {**WITH, **WITHOUT}
    inputs = [relay.var(f"x{index}", shape=(2, 8, 6, 6), dtype="int8") for index in range(len(forms))]
    body = relay.Tuple([form(x) for form, x in zip(forms.values(), inputs, strict=True)])
    module = relay.transform.InferType()(Module.from_expr(relay.Function(inputs, body)))
    changed = with_kernels(module, host_target())
    if processor.MCPU[processor.instruction_set()]:
        for name, field in zip(forms, changed["main"].body.fields, strict=True):
            assert (kernels(field) > 0) == (name in WITH), name
    data = [RNG.choice([-128, -7, 90, 127], (2, 8, 6, 6)).astype(np.int8) for _ in inputs]
    with exact_build():
        fast = relay.build(changed, target=host_target())
        plain = relay.build(module, target="llvm")
    for name, found, wanted in zip(forms, execute(fast, data), execute(plain, data), strict=True):
        np.testing.assert_array_equal(found, wanted, err_msg=name)


def kernels(expr: relay.Expr) -> int:
    """Calls of kernels."""
    found: list[Any] = []

    def visit(node: relay.Expr) -> None:
        if isinstance(node, relay.Call) and isinstance(node.op, relay.Function) and node.op.attrs:
            found.extend([node] if node.op.attrs.get("Compiler") == COMPILER else [])

    relay.analysis.post_order_visit(expr, visit)
    return len(found)


def test_a_portable_target_has_no_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RE2NA_CPU", "portable")
    x = relay.var("x", shape=(2, 8, 6, 6), dtype="int8")
    module = relay.transform.InferType()(Module.from_expr(relay.Function([x], conv(x, WEIGHT))))
    assert with_kernels(module, host_target()) is module
