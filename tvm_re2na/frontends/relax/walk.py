"""Reading Relax: values behind variables, operators' names, constants, types."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt
import tvm
from tvm import relax

from tvm_re2na.frontends.common.description import one_number

Expr: TypeAlias = Any  # tvm.relax.Expr; TVM carries no types
Values: TypeAlias = Mapping[Any, Any]  # what variables are bound to


def bindings_of(function: relax.Function) -> Iterator[tuple[Any, Any]]:
    """(variable, value) of a function in execution order."""
    for block in function.body.blocks:
        for binding in block.bindings:
            yield binding.var, binding.value


def result_of(function: relax.Function) -> Expr:
    return function.body.body


def value_of(expr: Expr, values: Values) -> Expr:
    """What a chain of variables stands for; a variable that is bound to nothing, such as a parameter, stands for itself."""
    while isinstance(expr, relax.Var) and expr in values:
        expr = values[expr]
    return expr


def op_name(expr: Expr) -> str:
    """`nn.conv2d` of a call of `relax.nn.conv2d`, otherwise an empty string."""
    return (
        str(expr.op.name).removeprefix("relax.")
        if isinstance(expr, tvm.ir.Call) and isinstance(expr.op, tvm.ir.Op)
        else ""
    )


def array_of(expr: Expr) -> npt.NDArray[Any] | None:
    """The value of a constant, otherwise None."""
    return np.asarray(expr.value.numpy()) if isinstance(expr, tvm.ir.GenericConst) else None


def scalar_of(expr: Expr) -> Any:
    """The one number that all elements of a constant have, otherwise None."""
    if isinstance(expr, (tvm.tirx.IntImm, tvm.tirx.FloatImm)):
        return expr.value
    return one_number(array_of(expr))


def shape_of(expr: Expr) -> tuple[int | None, ...]:
    """The shape from the expression's type; unknown sizes are None."""
    return sizes_of(expr.ty)


def sizes_of(kind: Any) -> tuple[int | None, ...]:
    sizes = kind.shape
    return (
        tuple(int(size) if isinstance(size, tvm.tirx.IntImm) else None for size in sizes) if sizes is not None else ()
    )


def computed_from_input(function: relax.Function) -> set[Any]:
    """The variables of a function whose values are not the same in every run: parameters, and what reads them; shapes are."""
    known = set(function.params)
    for variable, value in bindings_of(function):
        if op_name(value) != "shape_of" and reads(value, known):
            known.add(variable)
    return known


def reads(expr: Expr, variables: set[Any]) -> bool:
    """Whether one of `variables` is read in `expr`; what other variables are bound to is not looked at."""
    if isinstance(expr, tvm.ir.Call):
        return any(reads(argument, variables) for argument in expr.args)
    if isinstance(expr, relax.Tuple):
        return any(reads(field, variables) for field in expr.fields)
    if isinstance(expr, relax.TupleGetItem):
        return reads(expr.tuple_value, variables)
    return isinstance(expr, relax.Var) and expr in variables


def is_constant(expr: Expr) -> bool:
    return isinstance(expr, tvm.ir.GenericConst)


def dtype_of(expr: Expr) -> str:
    return str(expr.ty.dtype)


def attribute(function: Any, name: str) -> str:
    """A text attribute of a function; an empty string where it has none."""
    attrs = getattr(function, "attrs", None)
    return str(attrs.get(name) or "") if attrs else ""


def called(expr: Expr) -> Any:
    """The global variable of the function that `expr` calls, otherwise None."""
    return expr.op if isinstance(expr, tvm.ir.Call) and isinstance(expr.op, tvm.ir.GlobalVar) else None
