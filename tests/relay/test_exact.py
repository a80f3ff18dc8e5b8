"""What stays on the CPU is exact at full range, on every instruction set that this machine runs: against NumPy's 64-bit integers.

TVM's own loops for plain llvm, which judge everything else, are held against the same integers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
import tvm
from tvm import relay

from tests.relay.harness import execute
from tvm_re2na import processor
from tvm_re2na.frontends.common.door import as_it_is
from tvm_re2na.frontends.relay.exact import exact_build, host_target

IntArray = npt.NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Form:
    """A convolution of (N, C, H, W) by (O, C / groups, KH, KW), or a dense layer of (N, C) by (O, C)."""

    data: tuple[int, ...]
    weight: tuple[int, ...]
    groups: int = 1
    strides: tuple[int, int] = (1, 1)
    padding: tuple[int, int, int, int] = (0, 0, 0, 0)
    dilation: tuple[int, int] = (1, 1)


FORMS = (
    Form((3, 16, 9, 9), (32, 16, 3, 3), padding=(1, 1, 1, 1)),
    Form((3, 3, 15, 15), (64, 3, 7, 7), strides=(2, 2), padding=(3, 3, 3, 3)),
    Form((3, 32, 8, 8), (24, 32, 1, 1)),
    Form((3, 5, 9, 7), (7, 5, 1, 1), strides=(2, 2)),
    Form((3, 512, 3, 3), (8, 512, 3, 3), padding=(1, 1, 1, 1)),  # sums beyond the 24 bits of a float's fraction
    Form((3, 8, 9, 9), (16, 4, 3, 3), groups=2, padding=(1, 0, 0, 1)),
    Form((3, 16, 10, 10), (16, 1, 3, 3), groups=16, strides=(2, 2), padding=(0, 0, 1, 1)),
    Form((3, 12, 10, 10), (12, 1, 5, 5), groups=12, padding=(2, 2, 2, 2)),
    Form((3, 6, 9, 9), (12, 1, 3, 3), groups=6),
    Form((3, 8, 12, 11), (16, 8, 3, 2), dilation=(2, 3), padding=(2, 0, 1, 1)),
    Form((3, 200), (10, 200)),
    Form((3, 4096), (33, 4096)),
)
TYPES = (("int8", "int8"), ("uint8", "int8"), ("uint8", "uint8"))


def values(rng: np.random.Generator, shape: tuple[int, ...], dtype: str) -> IntArray:
    """Some of each: only the lowest, lowest and largest, anything."""
    limits = np.iinfo(dtype)
    filled = rng.integers(limits.min, limits.max + 1, shape).astype(dtype)
    filled[::3] = limits.min
    filled[1::3] = rng.choice([limits.min, limits.max], filled[1::3].shape)
    return filled


@dataclass(frozen=True)
class Case:
    form: Form
    data: IntArray
    weight: IntArray
    zeros: tuple[int, int]

    def expr(self, x: relay.Expr) -> relay.Expr:
        """The sums, and what they are rescaled to."""
        zeros, scales = [relay.const(zero) for zero in self.zeros], [relay.const(0.5), relay.const(0.25)]
        weight, form = relay.const(self.weight), self.form
        if len(form.data) == 2:
            sums = relay.qnn.op.dense(x, weight, *zeros, *scales, units=len(self.weight))
        else:
            sums = relay.qnn.op.conv2d(
                x, weight, *zeros, *scales, form.weight[2:], len(self.weight), form.strides, form.padding,
                form.dilation, form.groups,
            )  # fmt: skip
        return relay.qnn.op.requantize(
            sums, relay.const(2.0**-10), relay.const(0), relay.const(2.0**-3), relay.const(0), out_dtype="int32"
        )

    def expected(self) -> IntArray:
        """In 64 bits; halves are rounded upward."""
        x, weight = (
            part.astype(np.int64) - zero for part, zero in zip((self.data, self.weight), self.zeros, strict=True)
        )
        sums = x @ weight.T if x.ndim == 2 else convolution(x, weight, self.form)
        return (sums + 2**6) >> 7


def convolution(x: IntArray, weight: IntArray, form: Form) -> IntArray:
    top, left, bottom, right = form.padding
    x = np.pad(x, ((0, 0), (0, 0), (top, bottom), (left, right)))
    reach = [(size - 1) * step + 1 for size, step in zip(weight.shape[2:], form.dilation, strict=True)]
    windows = np.lib.stride_tricks.sliding_window_view(x, reach, (2, 3))
    windows = windows[:, :, :: form.strides[0], :: form.strides[1], :: form.dilation[0], :: form.dilation[1]]
    batch, channels, height, width = windows.shape[:4]
    windows = windows.reshape(batch, form.groups, channels // form.groups, height, width, *weight.shape[2:])
    grouped = weight.reshape(form.groups, -1, *weight.shape[1:])
    return np.einsum("ngchwij,gocij->ngohw", windows, grouped).reshape(batch, -1, height, width)


def all_cases() -> list[Case]:
    """Every form in bytes with a sign, whose extremes make the largest products; some with zero points."""
    rng = np.random.default_rng(0)

    def case(form: Form, types: tuple[str, str], zeros: tuple[int, int]) -> Case:
        data, weight = (values(rng, shape, dtype) for shape, dtype in zip((form.data, form.weight), types, strict=True))
        return Case(form, data, weight, zeros)

    signed = [case(form, TYPES[0], (0, 0)) for form in FORMS]
    return signed + [
        case(form, types, (3, 255 if types[1] == "uint8" else -2)) for types in TYPES for form in FORMS[::4]
    ]


@pytest.fixture(scope="module")
def cases() -> list[Case]:
    return all_cases()


def run(cases: list[Case], target: str | tvm.target.Target) -> list[npt.NDArray[Any]]:
    """All in one module: TVM builds once."""
    inputs = [relay.var(f"x{i}", shape=case.data.shape, dtype=str(case.data.dtype)) for i, case in enumerate(cases)]
    body = relay.Tuple([case.expr(x) for case, x in zip(cases, inputs, strict=True)])
    with exact_build():
        library = relay.build(tvm.IRModule.from_expr(relay.Function(inputs, body)), target=target)
    return execute(library, [case.data for case in cases])


@pytest.mark.parametrize("name", [*processor.instruction_sets(), "llvm"])
def test_full_range(name: str, cases: list[Case], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RE2NA_CPU", "" if name == "llvm" else name)
    for case, found in zip(cases, run(cases, "llvm" if name == "llvm" else host_target()), strict=True):
        np.testing.assert_array_equal(found, case.expected(), err_msg=str(case.form))


def test_a_plain_build_for_a_processor(cases: list[Case]) -> None:
    """As a user writes it, without our context: `qnn.requantize` is exact by the target's key."""
    some = [case for case in cases if case.form.data[1] == 512]
    mcpu = processor.MCPU[processor.instruction_sets()[-1]]
    target = tvm.target.Target({"kind": "llvm", "keys": ["re2na", "cpu"], **({"mcpu": mcpu} if mcpu else {})})
    inputs = [relay.var(f"x{i}", shape=case.data.shape, dtype=str(case.data.dtype)) for i, case in enumerate(some)]
    body = relay.Tuple([case.expr(x) for case, x in zip(some, inputs, strict=True)])
    with as_it_is(), tvm.transform.PassContext(opt_level=3):
        library = relay.build(tvm.IRModule.from_expr(relay.Function(inputs, body)), target=target)
    for case, found in zip(some, execute(library, [case.data for case in some]), strict=True):
        np.testing.assert_array_equal(found, case.expected())


def test_bytes_without_qnn(monkeypatch: pytest.MonkeyPatch) -> None:
    """`nn.conv2d`, `nn.dense` and `nn.batch_matmul` of bytes, for which TVM would take kernels that saturate as well."""
    rng = np.random.default_rng(1)
    shapes = [((1, 16, 6, 6), (16, 16, 3, 3)), ((2, 64), (32, 64)), ((2, 3, 64), (2, 5, 64))]
    arrays = [values(rng, shape, dtype) for pair in shapes for shape, dtype in zip(pair, TYPES[1], strict=True)]
    inputs = [relay.var(f"x{i}", shape=array.shape, dtype=str(array.dtype)) for i, array in enumerate(arrays)]
    body = relay.Tuple(
        [
            relay.nn.conv2d(*inputs[:2], kernel_size=(3, 3), channels=16, out_dtype="int32"),
            relay.nn.dense(*inputs[2:4], out_dtype="int32"),
            relay.nn.batch_matmul(*inputs[4:], out_dtype="int32"),
        ]
    )
    wide = [array.astype(np.int64) for array in arrays]
    expected = [convolution(*wide[:2], Form(*shapes[0])), wide[2] @ wide[3].T, wide[4] @ wide[5].transpose(0, 2, 1)]
    for name in processor.instruction_sets():
        monkeypatch.setenv("RE2NA_CPU", name)
        with exact_build():
            library = relay.build(tvm.IRModule.from_expr(relay.Function(inputs, body)), target=host_target())
        for found, wanted in zip(execute(library, arrays), expected, strict=True):
            np.testing.assert_array_equal(found, wanted)


def test_an_unknown_instruction_set_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RE2NA_CPU", "mmx")
    with pytest.raises(processor.ProcessorError, match=r"RE2NA_CPU = 'mmx': this processor has portable"):
        host_target()
