"""Imports what PyTorch's PT2E quantisation exports, the second QDQ form beside that of ONNX.

PT2E writes operators in floating point between the operators `quantize` and `dequantize` of torch.ops.quantized_decomposed, which
`relax.frontend.torch` does not know. Converters for them are passed to it here; the result is for `partition_for_re2na`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import tvm
from torch import fx
from torch.export import ExportedProgram
from tvm import relax
from tvm.relax.frontend.torch import from_exported_program as import_program

from tvm_re2na.codegen.errors import Re2naError

FORMS = ("per_tensor.default", "per_tensor.tensor", "per_tensor.tensor2", "per_channel.default")
DTYPES = {torch.int8: "int8", torch.uint8: "uint8", torch.int16: "int16", torch.int32: "int32"}
# operators that leave the values of their input what they are
MOVES = ("view", "reshape", "_unsafe_view", "squeeze", "unsqueeze", "permute", "clone", "alias")
Constants = Mapping[
    str, torch.Tensor
]  # of the parameters, buffers and constants of a program, by the name of their node
Converter = Callable[[fx.Node, Any], Any]  # of a node, given the importer, to a Relax expression


class Pt2eError(Re2naError, ValueError):
    """Something that cannot be imported as it is meant: the message names the node, the value found and the limit."""


@dataclass(frozen=True)
class QuantizerSteps:
    """What a `quantize` or `dequantize` says beside its input: q = clamp(round(x / scale) + zero, low, high), along `axis`."""

    scale: npt.NDArray[np.float32]
    zero: npt.NDArray[np.integer[Any]]
    axis: int
    low: int
    high: int
    dtype: str

    @property
    def narrow(self) -> bool:
        """Whether less than all numbers of the type are used."""
        limits = np.iinfo(self.dtype)
        return (self.low, self.high) != (limits.min, limits.max)

    @property
    def operands(self) -> tuple[Any, Any]:
        """Scale and zero point as Relax's operators take them."""
        return relax.const(self.scale), relax.const(self.zero)


def from_exported_program(program: ExportedProgram, *, unwrap_unit_return_tuple: bool = False) -> tvm.IRModule:
    """`relax.frontend.torch.from_exported_program` of a program that `convert_pt2e` made and `torch.export.export` exported.

    Parameters become constants. A range narrower than its type (-127..127 of int8) becomes a clip before the `quantize`. Any scale
    and zero point is imported; what the machine takes is decided by `partition_for_re2na`. Raises Pt2eError where scale or zero
    point are computed (dynamic quantisation), type or range are none that Relax has, or TVM's importer would drop an argument.
    """
    program = program.run_decompositions()
    for node in program.graph.nodes:
        if node.kwargs.get("alpha", 1) != 1 and _name(node).startswith(("add.", "sub.")):
            raise _error(node, "alpha", node.kwargs["alpha"], "1: TVM's importer leaves it out")
    return import_program(
        program,
        unwrap_unit_return_tuple=unwrap_unit_return_tuple,
        custom_convert_map=_converters(_constants(program)),
        run_ep_decomposition=False,
    )


def _constants(program: ExportedProgram) -> Constants:
    values = {**program.state_dict, **program.constants}
    specs = program.graph_signature.input_specs
    return {spec.arg.name: values[spec.target] for spec in specs if spec.target in values}


def _converters(constants: Constants) -> dict[str, Converter]:
    """The converters that TVM's importer lacks, by the name of the PyTorch operator, and those that it gets wrong."""

    def quantize(node: fx.Node, importer: Any) -> Any:
        return _quantize(node, importer, constants)

    def dequantize(node: fx.Node, importer: Any) -> Any:
        steps, data = _steps(node, constants), importer.env[node.args[0]]
        return importer.block_builder.emit(relax.op.dequantize(data, *steps.operands, axis=steps.axis))

    return {
        **{f"quantize_{form}": quantize for form in FORMS},
        **{f"dequantize_{form}": dequantize for form in FORMS},
        "hardtanh.default": _hardtanh,
    }


def _quantize(node: fx.Node, importer: Any, constants: Constants) -> Any:
    steps, data = _steps(node, constants), importer.env[node.args[0]]
    if node.args[0].name in constants:  # weights that `convert_pt2e` was told not to fold
        return relax.const(node.target(*fx.map_arg(node.args, lambda given: constants[given.name])).numpy())
    if steps.dtype == "int32":
        raise _error(node, "type", steps.dtype, "int8, uint8, int16; int32 for constants only")
    if steps.narrow and not _within(node):
        data = _clipped(node, importer, data, steps)
    quantized = relax.op.quantize(data, *steps.operands, axis=steps.axis, out_dtype=steps.dtype)
    return importer.block_builder.emit(quantized)


def _clipped(node: fx.Node, importer: Any, data: Any, steps: QuantizerSteps) -> Any:
    """`data` clamped to the range of a `quantize`; the scale has 24 bits and a step 8, so that the bounds are exact in 64 bits."""
    if steps.scale.size != 1:
        raise _error(node, "range per channel", f"{steps.low}..{steps.high}", f"all of {steps.dtype}")
    scale, zero = float(steps.scale.item()), int(steps.zero.item())
    return importer.block_builder.emit(relax.op.clip(data, (steps.low - zero) * scale, (steps.high - zero) * scale))


def _within(node: fx.Node) -> bool:
    """Whether what a `quantize` reads was quantised just so before, and only moved since."""
    source = node.args[0]
    while source.op == "call_function" and _moves(source):
        source = source.args[0]
    return _name(source).startswith("dequantize_") and source.args[1:] == node.args[1:]


def _moves(node: fx.Node) -> bool:
    name = _name(node).split(".")[0]
    return name in MOVES or (name == "constant_pad_nd" and not any(node.args[2:]))


def _hardtanh(node: fx.Node, importer: Any) -> Any:
    """TVM's importer does not look at bounds without a keyword, such as those of ReLU6."""
    bounds = {"min_val": -1.0, "max_val": 1.0, **_given(node)}
    low, high = float(bounds["min_val"]), float(bounds["max_val"])
    return importer.block_builder.emit(relax.op.clip(importer.env[node.args[0]], low, high))


def _steps(node: fx.Node, constants: Constants) -> QuantizerSteps:
    given = {"out_dtype": None, "axis": 0, **_given(node)}
    dtype = DTYPES.get(given["dtype"])
    if dtype is None:
        raise _error(node, "type", given["dtype"], ", ".join(DTYPES.values()))
    if given["out_dtype"] not in (None, torch.float32):
        raise _error(node, "type of the result", given["out_dtype"], torch.float32)
    limits = np.iinfo(dtype)
    scale = _number(node, given.get("scale", given.get("scales")), constants)
    zero = _number(node, given.get("zero_point", given.get("zero_points")) or 0, constants)
    low, high = (int(_number(node, given[name], constants)) for name in ("quant_min", "quant_max"))
    for name, value in (
        ("quant_min", low),
        ("quant_max", high),
        ("zero point", zero.min()),
        ("zero point", zero.max()),
    ):
        if not limits.min <= value <= limits.max:
            raise _error(node, name, value, f"{limits.min}..{limits.max}")
    return QuantizerSteps(scale.astype(np.float32), zero.astype(dtype), int(given["axis"]), low, high, dtype)


def _number(node: fx.Node, given: Any, constants: Constants) -> npt.NDArray[Any]:
    """A number, or a tensor of the program; of one element, a scalar."""
    if not isinstance(given, fx.Node):
        return np.asarray(given)
    if given.name not in constants:
        raise _error(node, "scale, zero point or range", f"computed by {given.name}", "constants")
    values: npt.NDArray[Any] = constants[given.name].detach().numpy()
    return values.reshape(()) if values.size == 1 else values


def _given(node: fx.Node) -> dict[str, Any]:
    """The arguments of a node by the names that the operator gives them."""
    names = (argument.name for argument in node.target._schema.arguments)
    return {**dict(zip(names, node.args, strict=False)), **node.kwargs}


def _name(node: fx.Node) -> str:
    return str(node.target.__name__) if node.op == "call_function" else ""


def _error(node: fx.Node, what: str, value: Any, limit: Any) -> Pt2eError:
    return Pt2eError(f"{node.name} ({_name(node)}): {what} {value}, must be {limit}")
