"""TVM's FakeQuantizationToInteger, without a function built with LLVM for every product of two scales.

The pass asks for each operator's rule by name, and of several rules takes the one of the highest level. The rules of this file make
the same expressions as TVM's, to the bit, but multiply and cast constants with NumPy; what is not constant is left to TVM's.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tvm
from tvm import relay
from tvm.ir import TensorAffineType
from tvm.relay.op import register_fake_quantization_to_integer
from tvm.relay.transform import fake_quantization_to_integer as tvms

from tvm_re2na.frontends.relay.describe import array_of

LEVEL = 11  # TVM registers its own at 10
Types = Mapping[relay.Expr, Any]
Rule = Callable[[relay.Call, Types], list[Any]]


def to_integers(mod: tvm.IRModule) -> tvm.IRModule:
    """The module in integers; raises whatever the pass raises, which asserts on forms that it does not know."""
    return relay.transform.FakeQuantizationToInteger()(mod)


def _linear(op: Callable[..., relay.Call], call: relay.Call, types: Types, rest: Rule) -> list[Any]:
    """The rule of an operator that sums products, channels on axis 1: the sums' scale is the product of its operands'."""
    operands = [types[argument] for argument in call.args]
    scales = [array_of(operand.scale) for operand in operands]
    if scales[0] is None or scales[1] is None:
        return list(rest(call, types))
    names = list(call.attrs.keys())
    attrs = {name: call.attrs[name] for name in names if name != "out_dtype"}
    sums = op(*call.args, *(t.zero_point for t in operands), *(t.scale for t in operands), **attrs)
    scale = np.multiply(scales[0], scales[1])
    zero = relay.const(np.zeros(scale.shape, np.int32))
    return [sums, TensorAffineType(relay.const(scale), zero, sums.attrs.out_dtype, 1)]


def _conv2d(call: relay.Call, types: Types) -> list[Any]:
    if (call.attrs.out_layout or call.attrs.data_layout) != "NCHW":
        return list(tvms.conv2d(call, types))
    return _linear(relay.qnn.op.conv2d, call, types, tvms.conv2d)


def _dense(call: relay.Call, types: Types) -> list[Any]:
    return _linear(relay.qnn.op.dense, call, types, tvms.dense)


def _relu(call: relay.Call, types: Types) -> list[Any]:
    (data,) = call.args
    scale, zero = array_of(types[data].scale), array_of(types[data].zero_point)
    if scale is None or zero is None or scale.size != 1:
        return list(tvms.relu(call, types))
    return [relay.maximum(data, relay.const(zero, types[data].dtype)), types[data]]


def _pad(call: relay.Call, types: Types) -> list[Any]:
    data, value = call.args
    zero = array_of(types[data].zero_point)
    padding = None if value in types else array_of(value)
    if zero is None or zero.size != 1 or padding is None or padding.any():
        return list(tvms.pad(call, types))
    return [relay.nn.pad(data, pad_value=relay.const(zero, types[data].dtype), **call.attrs), types[data]]


RULES: dict[str, Rule] = {"nn.conv2d": _conv2d, "nn.dense": _dense, "nn.relu": _relu, "nn.pad": _pad}
for _name, _rule in RULES.items():
    register_fake_quantization_to_integer(_name, _rule, LEVEL)
