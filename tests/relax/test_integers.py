"""The integer code for operators that stay on the CPU, against TVM's own floating-point execution of the same QDQ model.

Both are exact up to the last rounding: floats of 24 bits hold these sums. Floats round exact halves to even, integers round them
up, as Re²Na and TVM's QNN operators in Relay do; an addition rounds once in floats, and each operand in integers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import onnx
import pytest

from tests.frontends.qdq import QdqBuilder, biases, weights
from tests.relax.harness import integers, load, run_cpu
from tvm_re2na.frontends.relax.partition import find, for_cpu

RNG = np.random.default_rng(7)
STEP = 2.0**-5


def steps_apart(model: onnx.ModelProto, shape: tuple[int, ...], step: float = STEP) -> npt.NDArray[np.float64]:
    """By how many steps of the result integers exceed floats."""
    module = load(model)
    x = RNG.integers(-128, 128, shape).astype(np.float32) / 64
    (floats,), (whole,) = run_cpu(module, [x]), run_cpu(integers(module), [x])
    assert len(np.unique(floats)) > 10
    return (whole.astype(np.float64) - floats) / step


def conv(weight: npt.NDArray[np.int8], bias: npt.NDArray[np.int32], shift: int) -> onnx.ModelProto:
    """A cut of `shift` bits."""
    b = QdqBuilder((1, 3, 9, 9), -6)
    b.conv(weight, bias, weight_exponent=1 - shift, exponent=-5)
    return b.build()


@pytest.mark.parametrize("shift", [2, 5, 9])
def test_without_halves_floats_and_integers_agree(shift: int) -> None:
    """With even weights and odd biases all sums are odd, and only a cut of one bit would meet halves."""
    weight, bias = weights(RNG, 8, 3, 3, 3, limit=50) // 2 * 2, biases(RNG, 8) // 2 * 2 + 1
    assert not steps_apart(conv(weight, bias, shift), (1, 3, 9, 9)).any()


def test_halves_go_up() -> None:
    """With a cut of one bit every other sum ends in a half, and every other of those is rounded down by floats."""
    apart = steps_apart(conv(weights(RNG, 8, 3, 1, 1, limit=1), biases(RNG, 8, 9), 1), (1, 3, 9, 9))
    assert set(np.unique(apart)) == {0.0, 1.0}
    assert 0.1 < np.mean(apart) < 0.4


def test_operands_of_an_addition_are_rounded_one_by_one() -> None:
    b = QdqBuilder((1, 4, 6, 6), -6)
    x = b.current
    one, two = (b.conv(weights(RNG, 4, 4, 1, 1), None, exponent=-7, x=x) for _ in range(2))
    b.add(one, two, -5)
    assert set(np.unique(steps_apart(b.build(), (1, 4, 6, 6)))) <= {-1.0, 0.0, 1.0}
    b = QdqBuilder((1, 4, 6, 6), -6)
    one = b.conv(weights(RNG, 4, 4, 1, 1), weight_exponent=-6, exponent=-5, bias=np.array([1, 1, 1, 1], np.int32))
    b.add(one, one, -5)
    without_shift = steps_apart(b.build(), (1, 4, 6, 6))
    assert set(np.unique(without_shift)) <= {0.0, 2.0}  # a half in `one`, twice


def scale_of_any_size(b: QdqBuilder) -> None:
    b.conv(weights(RNG, 4, 4, 3, 3), biases(RNG, 4), weight_scale=0.0123, exponent=-2)


def scales_by_channel(b: QdqBuilder) -> None:
    b.conv(weights(RNG, 4, 4, 3, 3), biases(RNG, 4), weight_scale=[0.0123, 0.5, 0.002, 0.0123], exponent=-2)
    b.flatten()
    b.dense(weights(RNG, 20, 64), biases(RNG, 20), weight_scale=[0.01, 0.02, 0.0123, 0.5] * 5, exponent=3)


def relu6(b: QdqBuilder) -> None:
    b.conv(weights(RNG, 4, 4, 3, 3), biases(RNG, 4), weight_scale=0.0123, quantise=False)
    b.clip(0, 6, -4)


def pool(b: QdqBuilder) -> None:
    b.max_pool(3, strides=[2, 2], pads=[1, 1, 1, 1], ceil_mode=1)
    b.pad(1, 0, 2, 1)
    b.clip(-0.75, 0.875)


def dense(b: QdqBuilder) -> None:
    b.flatten()
    b.dense(weights(RNG, 20, 144), biases(RNG, 20), weight_scale=0.0123, exponent=-1)


@pytest.mark.parametrize("make", [scale_of_any_size, scales_by_channel, relu6, pool, dense])
@pytest.mark.parametrize(("dtype", "zero_point"), [("int8", 0), ("int8", -5), ("uint8", 131)])
def test_any_scale_and_zero_point(make: Callable[[QdqBuilder], None], dtype: str, zero_point: int) -> None:
    """What no machine takes has an integer form too: at most one step from floats, where a product ends near a half."""
    b = QdqBuilder((1, 4, 6, 6), -6, dtype=dtype, zero_point=zero_point)
    make(b)
    apart = steps_apart(b.build(), (1, 4, 6, 6), b.current.scale)
    assert np.abs(apart).max() <= 1
    assert np.mean(apart != 0) < 0.02


def test_what_has_no_integer_form_stays_in_floats() -> None:
    b = QdqBuilder((1, 4, 6, 6), -6)
    b.conv(weights(RNG, 4, 4, 3, 3), biases(RNG, 4), weight_scale=1e22, exponent=-1)
    module = load(b.build())
    text = for_cpu(find(module)).script()
    assert "R.dequantize" in text
    x = RNG.normal(size=(1, 4, 6, 6)).astype(np.float32)
    np.testing.assert_array_equal(run_cpu(integers(module), [x])[0], run_cpu(module, [x])[0])
