"""TVM's own machinery knows Re²Na: the pattern registry, the target tag, modules that are saved and loaded, errors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tvm
import tvm_ffi
from tvm import relax
from tvm.relax.backend import get_patterns_with_prefix

from tests.frontends.qdq import QdqBuilder, lenet, small_weights
from tests.frontends.qlinear import qlinear_network
from tests.relax.harness import integers, load, run_cpu
from tests.runtime.test_limits import GREEDY
from tvm_re2na.frontends.relax.partition import composite_kind, find
from tvm_re2na.pipeline import ModelError, import_into_tvm
from tvm_re2na.relax import (
    collect_programs,
    explain,
    export_library,
    name_operators,
    offloaded_functions,
    partition_for_re2na,
)

RNG = np.random.default_rng(2)
IMAGE = RNG.normal(size=(2, 1, 12, 12)).astype(np.float32)


@pytest.fixture(scope="module")
def module() -> tvm.IRModule:
    return load(lenet(np.random.default_rng(0), batch=2))


@pytest.fixture(scope="module")
def library(module: tvm.IRModule) -> Any:
    return tvm.compile(relax.transform.RunCodegen()(partition_for_re2na(module)), target="re2na")


def run(library: Any) -> np.ndarray:
    return relax.VirtualMachine(library, tvm.cpu())["main"](tvm.runtime.tensor(IMAGE)).numpy()


def test_the_registered_patterns_find_the_same(module: tvm.IRModule) -> None:
    """Whoever uses TVM's registry finds what `partition_for_re2na` finds, in a model without clips and paddings."""
    patterns = get_patterns_with_prefix("re2na")
    fused = relax.transform.FuseOpsByPattern(patterns, bind_constants=True)(module)
    kinds = {composite_kind(function) for function in fused.functions.values()} - {""}
    assert kinds == {operator.kind for operator in find(module).operators.values()}
    assert kinds == {"conv2d", "max_pool2d", "reshape", "dense"}


def test_params_are_bound() -> None:
    model = lenet(np.random.default_rng(0), batch=2)
    mod = relax.frontend.onnx.from_onnx(model, keep_params_in_input=True)
    mod, params = relax.frontend.detach_params(mod)
    names = [str(parameter.name) for parameter in mod["main"].params[1:]]
    partitioned = partition_for_re2na(mod, dict(zip(names, params["main"], strict=True)))
    assert len(list(offloaded_functions(partitioned))) == 1
    assert len(partitioned["main"].params) == 1


def test_a_deep_network_keeps_its_names() -> None:
    """150 operators one after the other: what follows them must not go deeper and deeper."""
    b = QdqBuilder((1, 2, 3, 3), -6)
    for _ in range(150):
        b.conv(small_weights(RNG, 2, 2, 1, 1), None, exponent=-6)
    model = b.build()
    names = [row.name for row in explain(name_operators(load(model), model)) if row.offloaded]
    assert names == [node.name for node in model.graph.node if node.op_type == "Conv"]


def test_saved_and_loaded(module: tvm.IRModule, library: Any, tmp_path: Path) -> None:
    expected = run_cpu(integers(module), [IMAGE])[0]
    np.testing.assert_array_equal(run(library), expected)
    export_library(library, tmp_path / "net.so")
    np.testing.assert_array_equal(run(tvm.runtime.load_module(str(tmp_path / "net.so"))), expected)
    library.export_library(str(tmp_path / "stock.so"))  # TVM's own works where the runtime library has been loaded
    np.testing.assert_array_equal(run(tvm.runtime.load_module(str(tmp_path / "stock.so"))), expected)


def test_programs_are_collected(module: tvm.IRModule) -> None:
    with collect_programs() as outer, collect_programs() as inner:
        relax.transform.RunCodegen()(partition_for_re2na(module, mod_name="lenet"))
    assert [symbol for symbol, _ in inner] == ["tvmgen_lenet_re2na_main_0"]
    assert outer == inner


def test_a_module_refuses_what_does_not_fit(module: tvm.IRModule) -> None:
    with collect_programs() as programs:
        relax.transform.RunCodegen()(partition_for_re2na(module))
    ((symbol, program),) = programs
    make = tvm_ffi.get_global_func("re2na.module")
    with pytest.raises(ValueError, match="Re2Na: "):
        make(symbol, b"RE2NAPRG" + bytes(100))
    function = make(symbol, program.to_bytes())[symbol]
    x, y = (tvm.runtime.tensor(np.zeros(t.shape, np.int8)) for t in (program.inputs[0], program.outputs[0]))
    function(x, y)
    with pytest.raises(ValueError, match="1 tensors, the program has 2"):
        function(x)
    with pytest.raises(ValueError, match=r"tensor 'input_0' is 2x1x12, expected 2x1x12x12"):
        function(tvm.runtime.tensor(np.zeros((2, 1, 12), np.int8)), y)
    with pytest.raises(ValueError, match="of int8"):
        function(tvm.runtime.tensor(np.zeros((2, 1, 12, 12), np.float32)), y)


def test_a_module_is_held_to_the_limits_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    """When it is called: it is made, saved and loaded whatever it asks for."""
    function = tvm_ffi.get_global_func("re2na.module")("run", GREEDY["DRAM of 4 GB"].to_bytes())["run"]
    x, y = (tvm.runtime.tensor(np.zeros((1, 1), np.int8)) for _ in range(2))
    with pytest.raises(RuntimeError, match="bytes of the host's memory, the limit is"):
        function(x, y)
    monkeypatch.setenv("RE2NA_MEMORY_LIMIT", str(2**33))
    function(x, y)


def test_the_target_is_tvms_llvm_with_a_tag() -> None:
    target = tvm.target.Target("re2na")
    assert target.kind.name == "llvm"
    assert "re2na" in target.keys


def test_qlinear_operators_are_refused_with_a_way_out() -> None:
    """TVM's importer knows none of them."""
    with pytest.raises(ModelError, match=r"cannot import it .*QLinearConv.*`re2na requantize` makes QDQ of it"):
        import_into_tvm(qlinear_network(np.random.default_rng(0)), batch=2)
