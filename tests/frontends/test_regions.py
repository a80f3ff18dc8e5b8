"""Networks that fall into several parts: as few as there can be, none that is not worth it, and what is said of them."""

from __future__ import annotations

from collections.abc import Iterable
from graphlib import TopologicalSorter

import numpy as np
import onnx
import pytest

from tests.frontends.harness import FrontEnd
from tests.frontends.qdq import QdqBuilder, Tensor, biases, small_weights
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.frontends.common.regions import OffloadError, independent
from tvm_re2na.runtime.network_traffic import network_traffic

RNG = np.random.default_rng(20)


def conv(b: QdqBuilder, channels: int, x: Tensor | None = None) -> Tensor:
    """A convolution of 3 x 3 that keeps the size."""
    weight = small_weights(RNG, channels, (x or b.current).shape[1], 3, 3)
    return b.conv(weight, biases(RNG, channels), exponent=-4, pads=[1, 1, 1, 1], x=x)


def on_cpu(b: QdqBuilder, x: Tensor) -> Tensor:
    """A resizing that interpolates."""
    b.current = x
    return b.resize(2, 2, mode="linear")


def image(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def kept(rows: Iterable[Explanation]) -> dict[str, str]:
    """The rules by the kinds of what stays, but for borders and resizings."""
    return {row.op: row.rule for row in rows if row.rule and row.op in ("conv2d", "max_pool2d", "add")}


def parted() -> onnx.ModelProto:
    """(2, 4, 12, 12): two convolutions, a resizing that interpolates and so stays on the CPU, one convolution."""
    b = QdqBuilder((2, 4, 12, 12), -6)
    conv(b, 8)
    conv(b, 6)
    b.resize(2, 2, mode="linear")
    conv(b, 3)
    return onnx.shape_inference.infer_shapes(b.build())


def test_what_is_said_of_regions(front_end: FrontEnd) -> None:
    network = pipeline.import_into_tvm(parted(), 2)
    inside, outside = 12 * 12 * (4 + 6), 24 * 24 * (6 + 3)  # elements in and out of each region, of one image
    rows = [row for row in pipeline.explain(*network, Architecture()) if row.op == "conv2d"]
    assert [row.region for row in rows] == [0, 0, 1]
    assert [row.crossing_bytes for row in rows] == [2 * inside, 0, 2 * outside]
    compiled = pipeline.compile_for_re2na(*network, Architecture())
    assert compiled.border_bytes == 2 * (4 * 12 * 12 + 3 * 24 * 24)
    traffic = network_traffic([program for _, program in compiled.programs], compiled.border_bytes)
    assert (traffic.regions, traffic.crossing_bytes) == (2, inside + outside)
    weights = sum(program.meta["total"]["weight_bytes"] for _, program in compiled.programs)
    assert weights == (8 * 4 + 6 * 8 + 3 * 6) * 9 + 4 * (8 + 6 + 3)
    assert traffic.dram_bytes_compulsory == (weights + compiled.border_bytes) // 2
    built = pipeline.build_for_re2na(*network, Architecture())
    assert built.border_bytes == compiled.border_bytes


def test_a_module_that_is_partitioned_already_has_the_same_regions(front_end: FrontEnd) -> None:
    mod, params = pipeline.import_into_tvm(parted(), 2)
    found = [(row.region, row.crossing_bytes) for row in front_end.explain(mod, params)]
    again = [(row.region, row.crossing_bytes) for row in front_end.explain(front_end.partition(mod))]
    assert [row for row in found if row[0] is not None] == [row for row in again if row[0] is not None]


def branches() -> onnx.ModelProto:
    """(1, 4, 8, 8): convolutions before (a) and behind (b, c, d) what runs on the CPU, and one beside it (e), which is added to c's
    result on the CPU: of all five only a and b, c and d depend on each other."""
    b = QdqBuilder((1, 4, 8, 8), -6)
    given = b.current
    first = conv(b, 6)
    b.output()
    middle = on_cpu(b, first)
    b.current = middle
    conv(b, 4)
    b.output()
    wide = conv(b, 3, middle)
    b.output()
    conv(b, 5, middle)
    conv(b, 2)
    b.output()
    beside = on_cpu(b, conv(b, 3, given))
    b.add(wide, beside, -9)  # finer than its operands: the machine does not shift left
    b.output()
    return onnx.shape_inference.infer_shapes(b.build())


def test_regions_that_do_not_depend_on_each_other_are_one(front_end: FrontEnd) -> None:
    """Also where some have several results, or are called before what others read is there."""
    network = pipeline.import_into_tvm(branches())
    built = pipeline.build_for_re2na(*network, Architecture())
    assert [symbol for symbol, _ in built.programs] == [f"tvmgen_default_re2na_main_{index}" for index in range(2)]
    sizes = [sorted(tensor.shape[1] for tensor in program.inputs) for _, program in built.programs]
    assert sizes == [[4], [6]], "what several read comes in once"
    results = [sorted(tensor.shape[1] for tensor in program.outputs) for _, program in built.programs]
    assert results == [[3, 6], [2, 3, 4]]
    x = image(1, 4, 8, 8)
    for mine, cpu in zip(built.executor()(x), pipeline.build_for_cpu(*network).executor()(x), strict=True):
        np.testing.assert_array_equal(mine, cpu)
        assert len(np.unique(mine)) > 3
    rows = [row for row in pipeline.explain(*network, Architecture()) if row.offloaded]
    assert [row.region for row in rows].count(0) == 2 and len(rows) == 6
    (lowered,) = pipeline.lower_for_each(*network, [Architecture()])
    assert len(lowered.graphs) == 2


def test_what_lies_behind_itself_is_not_joined() -> None:
    """Four regions of which each pair could be one, but not both pairs: first -> last, other -> between."""
    reads = {"first": set(), "other": set(), "last": {"first"}, "between": {"other"}}
    assert independent(reads) == [["first", "other"], ["last", "between"]]
    reads = {"a": set(), "b": {"a"}, "c": set(), "d": {"c"}}
    assert independent(reads) == [["a", "c"], ["b", "d"]]
    reads = {"a": set(), "c": set(), "b": {"a"}, "e": {"a", "b"}, "d": {"c"}}
    assert independent(reads) == [["a", "c"], ["b", "d"], ["e"]]


@pytest.mark.parametrize("seed", range(60))
def test_joined_regions_have_an_order(seed: int) -> None:
    """And none of them could be joined further."""
    rng = np.random.default_rng(seed)
    names = [f"r{index}" for index in range(int(rng.integers(1, 14)))]
    reads: dict[str, set[str]] = {}
    for index, name in enumerate(names):
        direct = [other for other in names[:index] if rng.random() < 0.2]
        reads[name] = set(direct).union(*(reads[other] for other in direct))
    groups = independent(reads)
    assert sorted(name for group in groups for name in group) == sorted(names)
    assert _ordered(groups, reads)
    for index, group in enumerate(groups):
        for other in groups[:index]:
            rest = [each for each in groups if each not in (group, other)]
            assert not _ordered([*rest, [*group, *other]], reads)


def _ordered(groups: list[list[str]], reads: dict[str, set[str]]) -> bool:
    place = {name: index for index, group in enumerate(groups) for name in group}
    if any(other in group for group in groups for name in group for other in reads[name]):
        return False
    sorter = TopologicalSorter(
        {index: {place[other] for name in group for other in reads[name]} for index, group in enumerate(groups)}
    )
    try:
        return len(list(sorter.static_order())) == len(groups)
    except ValueError:
        return False


def islands() -> onnx.ModelProto:
    """(1, 4, 8, 8): a convolution, then, with something on the CPU before each, a pooling and an addition that are worth nothing,
    and a pooling that is."""
    b = QdqBuilder((1, 4, 8, 8), -6)
    x = on_cpu(b, conv(b, 6))
    b.current = x
    x = on_cpu(b, b.max_pool(2, strides=[2, 2]))  # 4 comparisons of 5 bytes
    x = on_cpu(b, b.add(x, x))
    b.current = x
    b.max_pool(3, strides=[1, 1])  # 9 comparisons of 2 bytes
    return onnx.shape_inference.infer_shapes(b.build())


def test_small_regions_are_given_back(front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    network = pipeline.import_into_tvm(islands())
    x = image(1, 4, 8, 8)
    (expected,) = pipeline.build_for_cpu(*network).executor()(x)
    rows = pipeline.explain(*network, Architecture())
    found = [(row.op, row.rule, row.value, row.limit) for row in rows if row.op in ("max_pool2d", "add")]
    assert found == [
        ("max_pool2d", "enough_work", 6 * 8 * 8 * 4, 6 * (16 * 16 + 8 * 8)),
        ("add", "enough_work", 6 * 16 * 16, 6 * 2 * 16 * 16),
        ("max_pool2d", None, None, None),
    ]
    monkeypatch.setenv("RE2NA_OFFLOAD", "all")
    assert not kept(pipeline.explain(*network, Architecture()))
    everything = pipeline.build_for_re2na(*network, Architecture())
    monkeypatch.setenv("RE2NA_OFFLOAD", "worthwhile")
    built = pipeline.build_for_re2na(*network, Architecture())
    assert (len(built.programs), len(everything.programs)) == (2, 4)
    for each in (built, everything):
        np.testing.assert_array_equal(each.executor()(x)[0], expected)
    assert len(np.unique(expected)) > 3
    monkeypatch.setenv("RE2NA_OFFLOAD", "some")
    with pytest.raises(OffloadError, match="RE2NA_OFFLOAD = 'some': expected worthwhile or all"):
        pipeline.explain(*network, Architecture())


def test_a_network_of_one_small_region_is_offloaded(front_end: FrontEnd, monkeypatch: pytest.MonkeyPatch) -> None:
    b = QdqBuilder((1, 4, 8, 8), -6)
    b.max_pool(2, strides=[2, 2])
    network = pipeline.import_into_tvm(b.build())
    assert len(pipeline.compile_for_re2na(*network, Architecture()).programs) == 1
    monkeypatch.setenv("RE2NA_OFFLOAD", "some")
    with pytest.raises(OffloadError, match="RE2NA_OFFLOAD = 'some'"):
        pipeline.compile_for_re2na(*network, Architecture())
