"""Ratios of scales that TVM's integer operators can compute with."""

from __future__ import annotations

import numpy as np
import tvm
from tvm import relay

from tvm_re2na.codegen.errors import CompileError
from tvm_re2na.codegen.offload.fixed_point import FRACTION_BITS
from tvm_re2na.frontends.relay.describe import array_of
from tvm_re2na.frontends.relay.walk import op_name

# operator: which arguments are scales, numerators and denominators; each numerator is rescaled by itself, but those of a product
SUMS = {"qnn.requantize": ((1,), 3), "qnn.add": ((2, 4), 6), "qnn.subtract": ((2, 4), 6), "qnn.concatenate": ((1,), 3)}
PRODUCTS = {"qnn.mul": ((2, 4), 6)}


def check_scales(mod: tvm.IRModule) -> None:
    """Raises CompileError where a rescaling shifts further than 64 bits go: what TVM's code makes of it then, nobody promises."""
    relay.analysis.post_order_visit(mod["main"], _check)


def _check(expr: relay.Expr) -> None:
    name = op_name(expr)
    if name not in SUMS and name not in PRODUCTS:
        return
    tops, bottom = (SUMS | PRODUCTS)[name]
    numerators = [scale for index in tops for scale in _scales(expr.args[index])]
    if name in PRODUCTS:
        numerators = [np.prod([scale.astype(np.float64).max() for scale in numerators])]
    for target in _scales(expr.args[bottom]):
        for source in numerators:
            with np.errstate(all="ignore"):
                ratios = np.asarray(source, np.float64) / target.astype(np.float64)
            if not ((ratios > 2.0**-FRACTION_BITS) & (ratios < 2.0 ** (FRACTION_BITS - 1))).all():
                raise CompileError(
                    f"{name}: scales with a ratio of {ratios.min():g}, integers are computed for 2**-{FRACTION_BITS}"
                    f" to 2**{FRACTION_BITS - 1}"
                )


def _scales(expr: relay.Expr) -> list[np.ndarray]:
    """One, or those of a tuple; a scale that is computed is not known."""
    parts = expr.fields if isinstance(expr, relay.Tuple) else [expr]
    return [value for part in parts if (value := array_of(part)) is not None]
