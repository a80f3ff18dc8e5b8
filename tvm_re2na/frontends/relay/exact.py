"""What stays on the CPU in a build for "re2na": integers on the processor's vector units that cannot saturate or round.

TVM's own choice for x86 with SSE4.1 and more is kernels for bytes, whose sums of two products saturate at 16 bits, and
rescaling in 32-bit floats, which hold 24 bits of a sum. Here operands are widened to 16 bits, their products are summed in 32, and
sums are rescaled in 64. TVM looks these functions up by the key "re2na" of the target, so other targets keep what they have.

A zero point lies within its type, so that an operand less its zero point lies within -255..255, and no product leaves 17 bits.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import tvm
from tvm import relay, topi
from tvm.relay.qnn.op import legalizations, register_qnn_legalize

from tvm_re2na import processor
from tvm_re2na.frontends.common.door import as_it_is
from tvm_re2na.frontends.common.marks import TAG
from tvm_re2na.frontends.relay.in_build import leave_for_now, look_later
from tvm_re2na.frontends.relay.walk import attributes_of, op_name, operands_of

os.environ.setdefault("TOPHUB_LOCATION", "NONE")
BYTES = ("int8", "uint8")
# what is computed twice becomes a variable, for which TVM 0.19 writes debug information that today's LLVM refuses; a bilinear
# Resize cannot be built with it
NO_VARIABLES = {"tir.disable_cse_tir": True}
# floats of 32 bits around it are whole numbers: a sum with it is rounded, exact halves to even
ONLY_WHOLE = 1.5 * 2.0**23
_EXACT: ContextVar[bool] = ContextVar("re2na_exact", default=False)
Op = Callable[..., relay.Expr]


def host_target() -> tvm.target.Target:
    """This processor, with the instruction set that `processor` names. Raises ProcessorError."""
    mcpu = processor.MCPU[processor.instruction_set()]
    return tvm.target.Target({"kind": "llvm", "keys": [TAG, "cpu"], **({"mcpu": mcpu} if mcpu else {})})


@contextmanager
def exact_build() -> Iterator[None]:
    """Builds inside the block are as exact as one for the key "re2na", whatever the target: 64 bits to rescale, halves to even.

    They take modules as they are.
    """
    token = _EXACT.set(True)
    try:
        with (
            as_it_is(),
            relay.qnn.op.requantize_config(rounding="UPWARD", compute_dtype="int64"),
            tvm.transform.PassContext(opt_level=3, config=NO_VARIABLES),
        ):
            yield
    finally:
        _EXACT.reset(token)


def _is_depthwise(attrs: Any, weight: Any) -> bool:
    return int(attrs.groups) > 1 and int(weight.shape[1]) == 1


def _centred(value: relay.Expr, zero: relay.Expr) -> relay.Expr | None:
    """int16: bytes less their one zero point; computed here where both are constants. None where the zero points are several."""
    if not isinstance(zero, relay.Constant) or zero.data.numpy().size != 1:
        return None
    offset = int(zero.data.numpy().item())
    if isinstance(value, relay.Constant):
        return relay.const(value.data.numpy().astype(np.int16) - np.int16(offset), "int16")
    wide = relay.cast(value, "int16")
    return relay.subtract(wide, relay.const(offset, "int16")) if offset else wide


def _widened(op: Op, attrs: Any, inputs: list[relay.Expr], types: list[Any]) -> relay.Expr:
    """A QNN convolution or dense layer in 16 bits."""
    data, weight = _centred(inputs[0], inputs[2]), _centred(inputs[1], inputs[3])
    if data is None or weight is None:
        return legalizations.helper_no_fast_int8_hw_legalization(attrs, inputs, types, op)
    return op(data, weight, **attributes_of(attrs))


@legalizations.qnn_conv2d_legalize.register(TAG)
def _qnn_conv2d(attrs: Any, inputs: list[relay.Expr], types: list[Any]) -> relay.Expr | None:
    """A depthwise convolution stays in bytes: there TVM's loops for any target do not saturate, and are the faster ones."""
    plain = str(attrs.kernel_layout) == "OIHW" and _is_depthwise(attrs, types[1])
    return None if leave_for_now() or plain else _widened(relay.nn.conv2d, attrs, inputs, types)


@legalizations.qnn_conv2d_transpose_legalize.register(TAG)
def _qnn_conv2d_transpose(attrs: Any, inputs: list[relay.Expr], types: list[Any]) -> relay.Expr | None:
    return None if leave_for_now() else _widened(relay.nn.conv2d_transpose, attrs, inputs, types)


@legalizations.qnn_dense_legalize.register(TAG)
def _qnn_dense(attrs: Any, inputs: list[relay.Expr], types: list[Any]) -> relay.Expr | None:
    return None if leave_for_now() else _widened(relay.nn.dense, attrs, inputs, types)


@register_qnn_legalize("qnn.requantize")
def _qnn_requantize(attrs: Any, inputs: list[relay.Expr], types: list[Any]) -> relay.Expr | None:
    del types
    if leave_for_now() or not _is_for_re2na() or str(attrs.compute_dtype) == "int64":
        return None
    given = {name: attrs[name] for name in ("axis", "rounding", "out_dtype")}
    return relay.qnn.op.requantize(*inputs, **given, compute_dtype="int64")


@register_qnn_legalize("qnn.quantize")
def _qnn_quantize(attrs: Any, inputs: list[relay.Expr], types: list[Any]) -> relay.Expr | None:
    """What floats between integers become again, as QuantizeLinear defines it: exact halves to even. TVM 0.19 rounds them away
    from zero. It may do so with a network's inputs, where a build for any target quantises alike."""
    data, scale, zero = inputs
    if leave_for_now() or not _is_exact() or len(types[1].shape) or len(types[2].shape) or not _reads_integers(data):
        return None
    limits, bias = np.iinfo(str(attrs.out_dtype)), relay.const(np.float32(ONLY_WHOLE))
    # the clip keeps TVM from cancelling the bias; a value that is read more than once would become a variable, and of a vector's
    # type TVM 0.19 can make no debug information
    whole = relay.clip(relay.add(relay.divide(data, scale), bias), ONLY_WHOLE * 5 / 6, ONLY_WHOLE * 7 / 6)
    steps = relay.cast(relay.subtract(whole, bias), "int32")
    return relay.cast(relay.clip(relay.add(steps, zero), int(limits.min), int(limits.max)), str(attrs.out_dtype))


def _is_exact() -> bool:
    """Whether this build is for the target "re2na", or is what such a build is compared with."""
    return _EXACT.get() or _is_for_re2na()


def _is_for_re2na() -> bool:
    target = tvm.target.Target.current(allow_none=True)
    return target is not None and TAG in target.keys


def _reads_integers(expr: relay.Expr) -> bool:
    """Whether `expr` is computed from what was dequantised."""
    seen: set[relay.Expr] = set()
    waiting = [expr]
    while waiting:
        expr = waiting.pop()
        if op_name(expr) == "qnn.dequantize":
            return True
        if expr not in seen:
            seen.add(expr)
            waiting += operands_of(expr)
    return False


@register_qnn_legalize("qnn.add")
@register_qnn_legalize("qnn.mul")
@register_qnn_legalize("qnn.dequantize")
def _qnn_other(attrs: Any, inputs: list[relay.Expr], types: list[Any]) -> None:
    """Nothing to change; but a module as TVM's importer makes it may have no other QNN operators."""
    del attrs, inputs, types
    leave_for_now()


def _bytes_widened(op: Op) -> Callable[[Any, list[relay.Expr], list[Any]], relay.Expr | None]:
    """For what multiplies bytes without QNN, or is what a QNN operator became: TVM would take the kernels that saturate."""

    def legalise(attrs: Any, inputs: list[relay.Expr], types: list[Any]) -> relay.Expr | None:
        look_later()
        if any(str(given.dtype) not in BYTES for given in types[:2]) or str(attrs.out_dtype) != "int32":
            return None
        wide = [_centred(value, relay.const(0)) for value in inputs]
        return op(*wide, **attributes_of(attrs))

    return legalise


_conv2d = _bytes_widened(relay.nn.conv2d)


@topi.nn.conv2d_legalize.register(TAG)
def _nn_conv2d(attrs: Any, inputs: list[relay.Expr], types: list[Any]) -> relay.Expr | None:
    look_later()
    plain = str(attrs.kernel_layout) == "OIHW" and _is_depthwise(attrs, types[1])
    return None if plain else _conv2d(attrs, inputs, types)


topi.nn.dense_legalize.register(TAG)(_bytes_widened(relay.nn.dense))
topi.nn.batch_matmul_legalize.register(TAG)(_bytes_widened(relay.nn.batch_matmul))
