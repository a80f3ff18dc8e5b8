"""The kernels of the CPU against plain NumPy integers of 64 bit: equal for full-range data, on every instruction set there is.

All cases of an instruction set are one module, so that LLVM starts once. "relax" is the same without kernels: Relax's own
operators on plain `llvm`.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tvm
from tvm import relax

from tests.frontends.qdq import QdqBuilder, biases, weights
from tests.kernel_cases import data_of, expected, linear, operators
from tests.relax.harness import load, run_cpu
from tvm_re2na.codegen.graph.ops import Window
from tvm_re2na.frontends.relax.integers import integer_function
from tvm_re2na.frontends.relax.kernels import Kernels
from tvm_re2na.frontends.relax.partition import partition_for_re2na
from tvm_re2na.kernels.instructions import PORTABLE, instructions_of
from tvm_re2na.processor import instruction_sets
from tvm_re2na.relax.host import host_target, target_of

Array = npt.NDArray[Any]
SETS = ["relax", *instruction_sets()]


@cache
def results(name: str) -> list[Array]:
    """Of all operators, built as one module."""
    level = {"relax": 0, "portable": 1}.get(name)  # Relax makes many functions of an operator, which take LLVM long
    target = target_of(name) if level is None else tvm.target.Target({"kind": "llvm", "opt-level": level})
    kernels = None if name == "relax" else Kernels(instructions_of(target) or PORTABLE)
    functions: dict[Any, Any] = {}
    for index, op in enumerate(operators()):
        x = relax.Var("x", relax.TensorType(op.inputs[0].sizes, op.inputs[0].dtype))
        composite = relax.Function([x], x, relax.TensorType(op.inputs[0].sizes, op.inputs[0].dtype))
        made = integer_function(composite, op, kernels).with_attr("global_symbol", f"case{index}")
        functions[tvm.ir.GlobalVar(f"case{index}")] = made
    functions |= kernels.functions if kernels else {}
    machine = relax.VirtualMachine(tvm.compile(tvm.IRModule(functions), target=target), tvm.cpu())
    inputs = (tvm.runtime.tensor(data_of(*case)) for case in enumerate(operators()))
    return [machine[f"case{index}"](x).numpy() for index, x in enumerate(inputs)]


@pytest.mark.parametrize("name", SETS)
def test_every_form_is_exact(name: str) -> None:
    for index, (op, found) in enumerate(zip(operators(), results(name), strict=True)):
        wanted = expected(op, data_of(index, op))
        assert found.shape == wanted.shape
        np.testing.assert_array_equal(found, wanted, err_msg=f"{name}, case {index}: {op}")


def test_the_cases_are_worth_it() -> None:
    """Sums beyond the 24 bits of floats, the largest product everywhere, and results that are not all clamped."""
    wanted = [expected(op, data_of(index, op)) for index, op in enumerate(operators())]
    assert sum(len(np.unique(values)) > 10 for values in wanted) > len(wanted) * 0.7
    deep = next(op for op in operators() if op.inputs[0].sizes[1] == 1024)
    assert deep.weight is not None
    assert np.abs(deep.weight.astype(np.int64)).sum((1, 2, 3)).max() * 128 > 2**24


def test_layers_that_agree_share_a_function() -> None:
    rng = np.random.default_rng(3)
    kernels = Kernels(PORTABLE)
    window = Window((3, 3), padding=(1, 1, 1, 1))
    for ratio, zeros in ((2.0**-7, (0, 0, 0)), (2.0**-9, (3, 0, 1))):
        op = linear(rng, (1, 8, 6, 6), 8, window, ratio=ratio, zeros=zeros)
        x = relax.Var("x", relax.TensorType(op.inputs[0].sizes, "int8"))
        integer_function(relax.Function([x], x, x.ty), op, kernels)
    assert len(kernels.functions) == 1


def test_the_processor_that_partitioning_is_told() -> None:
    """What stays on the CPU calls kernels where the target names a processor, and none where it names none."""
    rng = np.random.default_rng(5)
    b = QdqBuilder((2, 4, 6, 6), -6, zero_point=-5)
    b.conv(weights(rng, 6, 4, 3, 3), biases(rng, 6), weight_scale=0.0123, exponent=-2)
    module, x = load(b.build()), rng.normal(size=(2, 4, 6, 6)).astype(np.float32)
    portable = partition_for_re2na(module, target=tvm.target.Target("re2na"))
    assert "re2na_convolution" not in portable.script()
    target = tvm.target.Target({"kind": "llvm", "keys": ["re2na", "cpu"], "mcpu": host_target().attrs["mcpu"]})
    fast = partition_for_re2na(module, target=target)
    assert "re2na_convolution" in fast.script()
    machine = relax.VirtualMachine(tvm.compile(relax.transform.RunCodegen()(fast), target=target), tvm.cpu())
    np.testing.assert_array_equal(machine["main"](tvm.runtime.tensor(x)).numpy(), run_cpu(portable, [x])[0])


def test_the_environment_names_the_instruction_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RE2NA_CPU", "portable")
    assert instructions_of(host_target()) is None
    for name in instruction_sets()[1:]:
        monkeypatch.setenv("RE2NA_CPU", name)
        found = instructions_of(host_target())
        assert found is not None and found.name == name
    monkeypatch.delenv("RE2NA_CPU")
    assert str(host_target()) == str(target_of(instruction_sets()[-1]))
