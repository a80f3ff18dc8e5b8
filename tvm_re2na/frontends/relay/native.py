"""Convolutions and dense layers of the CPU, as functions of `tvm_re2na.kernels`: TVM gets calls of them, and nothing to lower.

TVM 0.19 makes several functions of each layer in Python, folds its constants with LLVM, and infers the types of all between two
rewritings. A layer that is a call of an external function, with constants as the function takes them, costs nothing of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import tvm
from tvm import relay

from tvm_re2na.codegen.offload.fixed_point import is_computable
from tvm_re2na.codegen.offload.operator import Operator
from tvm_re2na.frontends.common.marks import kind_of
from tvm_re2na.frontends.relay.describe import parts_of, shape_of
from tvm_re2na.frontends.relay.exact import BYTES
from tvm_re2na.frontends.relay.partition import composite_kind, composites, inline_composites, operator_of
from tvm_re2na.frontends.relay.patterns import form_table
from tvm_re2na.kernels.convolution import ConvolutionKernel
from tvm_re2na.kernels.dense import DenseKernel
from tvm_re2na.kernels.instructions import LEVEL, Instructions, instructions_of
from tvm_re2na.kernels.scaling import scaling_of
from tvm_re2na.kernels.selection import COMPUTED, KernelLayer, function_of, layer_of, name_of

Kernel = ConvolutionKernel | DenseKernel
COMPILER = "re2na_cpu"
KERNELS_ATTR = "re2na_kernels"
TARGET_ATTR = "re2na_target"
RANKS = {"conv2d": 4, "dense": 2}


def with_kernels(mod: tvm.IRModule, target: tvm.target.Target) -> tvm.IRModule:
    """`mod`, in whose main function every layer that has a kernel on `target` calls it. Integers are those of `exact_build`.

    Operators that a machine did not take are found and described a second time here: partitioning has put them back as plain
    operators, which any build of TVM's takes, and the integer network for the CPU alone was never searched for them.
    """
    isa = instructions_of(target)
    ops = {str(name) for name in relay.analysis.list_op_freqs(mod)}
    if isa is None or ops.isdisjoint(("qnn.conv2d", "qnn.dense")):
        return mod
    forms = [form for form in form_table(ops) if kind_of(form[0]) in COMPUTED]
    mod = relay.transform.MergeComposite(forms)(mod)
    composed = mod["main"]
    layers = {call: layer for call in composites(composed) if (layer := kernel_layer(call, isa)) is not None}
    if layers:
        functions = _functions([layer.kernel for layer in layers.values()], target)
        composed = _Calls(layers, functions).visit(composed)
    mod = tvm.IRModule(dict(mod.functions.items()), mod.type_definitions)
    mod["main"] = inline_composites(composed)
    return relay.transform.InferType()(mod)


def kernel_layer(call: relay.Call, isa: Instructions) -> KernelLayer | None:
    """How a call of a composite function is computed; None where its arithmetic is not that of a kernel."""
    kind = composite_kind(call)
    if kind not in COMPUTED:
        return None
    op = operator_of(call)
    padded = parts_of(call.op.body).pad is not None  # with zeros, and not with the zero point
    return layer_of(op, scaling_of(op), isa) if _fits(op) and not (padded and op.zero_points[0]) else None


def _fits(op: Operator) -> bool:
    """Whether everything is a constant, one for the tensor, and laid out as kernels expect, and no sum outgrows 32 bits.

    TVM narrows a rescaled sum after the zero point is added and the bounds are kept; kernels before.
    """
    shapes = [tensor.shape for tensor in (*op.inputs, op.output)]
    static = not any(None in shape for shape in shapes) and not any(tensor.constant for tensor in op.inputs)
    known = op.weight is not None and op.bias is not None and op.before is not None and op.after is not None
    plain = all(layout in ("NCHW", "OIHW", "") for layout in op.layouts) and len(op.output.shape) == RANKS[op.kind]
    if not (static and known and plain) or None in op.zero_points or len(op.rescales) != 1:
        return False
    rescale = op.rescales[0]
    if rescale.ties_away or not is_computable(rescale) or op.output.dtype != "int8" or op.inputs[0].dtype not in BYTES:
        return False
    ratio = rescale.source[0] / rescale.target[0]
    return ratio <= 0.5 or (ratio <= 1 and op.zero_points[-1] == 0)


class _Calls(relay.ExprMutator):  # type: ignore[misc]
    """Replaces calls of composite functions by calls of kernels."""

    def __init__(self, layers: Mapping[relay.Call, KernelLayer], functions: Mapping[Kernel, relay.Function]) -> None:
        super().__init__()
        self._layers = layers
        self._functions = functions

    def visit_call(self, call: relay.Call) -> relay.Expr:
        layer = self._layers.get(call)
        if layer is None:
            return super().visit_call(call)
        data = self.visit(call.args[0])
        if layer.data != shape_of(call.args[0]):
            data = relay.reshape(data, layer.data)
        constants = [relay.const(constant.reshape(-1)) for constant in layer.constants]
        result = relay.Call(self._functions[layer.kernel], [data, *constants])
        return result if layer.result == shape_of(call) else relay.reshape(result, shape_of(call))


def _functions(kernels: Iterable[Kernel], target: tvm.target.Target) -> dict[Kernel, relay.Function]:
    """What is called. The first carries the code of all: LLVM starts once."""
    code = {}
    for index, kernel in enumerate(dict.fromkeys(kernels)):
        code[kernel] = function_of(kernel).with_attr("global_symbol", name_of(kernel, index))
    functions = {kernel: stub(function) for kernel, function in code.items()}
    module = tvm.IRModule({str(function.attrs["global_symbol"]): function for function in code.values()})
    target = tvm.target.Target({**target.export(), "opt-level": LEVEL})
    first = next(iter(functions))
    functions[first] = functions[first].with_attr({KERNELS_ATTR: module, TARGET_ATTR: target})
    return functions


def stub(kernel: tvm.tir.PrimFunc) -> relay.Function:
    """An external function of the kernel's signature."""
    *buffers, result = (kernel.buffer_map[parameter] for parameter in kernel.params)
    parameters = [relay.var(buffer.name, shape=buffer.shape, dtype=buffer.dtype) for buffer in buffers]
    returned = relay.TensorType(result.shape, result.dtype)
    attributes = {"Compiler": COMPILER, "Primitive": 1, "global_symbol": kernel.attrs["global_symbol"]}
    return relay.Function(parameters, nothing(returned), returned).with_attr(attributes)


def nothing(returned: tvm.ir.Type) -> relay.Expr:
    """The body of an external function for TVM's passes: of the right type, and never run."""
    if isinstance(returned, tvm.ir.TupleType):
        return relay.Tuple([nothing(field) for field in returned.fields])
    return relay.zeros([int(size) for size in returned.shape], returned.dtype)


@tvm.register_func(f"relay.ext.{COMPILER}", override=True)
def _codegen(function: relay.Function) -> tvm.runtime.Module | None:
    module = function.attrs.get(KERNELS_ATTR)
    return None if module is None else tvm.build(module, target=function.attrs[TARGET_ATTR])
