"""Models of Q-layers -> ONNX: the float network they stand for, and the QDQ file that the quantiser writes for such networks."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import fx, nn

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.quantize.emit import emit
from tvm_re2na.quantize.fold import fold
from tvm_re2na.quantize.layers import QuantisedLayers, find_layers
from tvm_re2na.quantize.load import load_net
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.plan import Integers, QuantizationPlan
from tvm_re2na.torch.layers import QInput, QLayer, QLinearLayer
from tvm_re2na.torch.onnx_nodes import to_constant, write

OPSET = 17


class ExportError(Re2naError, ValueError):
    """The model cannot be written as ONNX; the message names the layer."""


def export(model: nn.Module, image: tuple[int, ...], path: str | os.PathLike[str] | None = None) -> onnx.ModelProto:
    """The calibrated model as ONNX QDQ, as `tvm_re2na.quantize` writes it; also to a file, whole or not at all.

    `image` is (C, H, W); the batch is open, the input is called "input" and the output "output". Raises ExportError.
    """
    net = load_net(float_onnx(model, image))
    fold(net)
    result = to_onnx(emit(net, _plan(net, model)))
    if path is not None:
        write_atomically(path, result.SerializeToString())
    return result


def trace(model: nn.Module, leaves: tuple[type[nn.Module], ...] = ()) -> fx.Graph:
    """The model's graph, in which Q-layers and modules of the types `leaves` are single nodes."""
    if isinstance(model, fx.GraphModule):
        return model.graph

    class Tracer(fx.Tracer):
        def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
            return isinstance(m, (QLayer, *leaves)) or super().is_leaf_module(m, module_qualified_name)

    return Tracer().trace(model)


def float_onnx(model: nn.Module, image: tuple[int, ...]) -> onnx.ModelProto:
    """The float network that a model of Q-layers stands for; a node is called as its module."""
    writer = _Writer(model)
    for node in trace(model).nodes:
        writer.node(node)
    return writer.finish(image)


# ---- the float network


class _Writer:
    def __init__(self, model: nn.Module) -> None:
        self.model = model
        self.nodes: list[onnx.NodeProto] = []
        self.constants: list[onnx.TensorProto] = []
        self.tensors: dict[fx.Node, str] = {}

    def node(self, node: fx.Node) -> None:
        handlers: dict[str, Callable[[fx.Node], None]] = {
            "placeholder": self._input,
            "call_module": self._module,
            "call_function": self._function,
            "output": self._output,
        }
        if node.op not in handlers:
            raise ExportError(f"{node.name}: {node.op} of {node.target} has no form in ONNX here")
        handlers[node.op](node)

    def finish(self, image: tuple[int, ...]) -> onnx.ModelProto:
        value = helper.make_tensor_value_info("input", TensorProto.FLOAT, ["N", *image])
        result = helper.make_tensor_value_info("output", TensorProto.FLOAT, None)
        graph = helper.make_graph(self.nodes, "model", [value], [result], self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="tvm_re2na")
        model.ir_version = 8
        return onnx.shape_inference.infer_shapes(model)

    def _input(self, node: fx.Node) -> None:
        if self.tensors:
            raise ExportError(f"{node.name}: a second input; a model has one")
        self.tensors[node] = "input"

    def _module(self, node: fx.Node) -> None:
        module, name = self.model.get_submodule(str(node.target)), str(node.target)
        if isinstance(module, QInput | nn.Dropout | nn.Identity):
            self.tensors[node] = self.tensors[node.args[0]]
        elif isinstance(module, nn.Flatten):
            self._append(node, name, "Flatten", node.args[:1], axis=module.start_dim)
        elif not isinstance(module, QLayer):
            raise ExportError(f"{name}: {type(module).__name__} is no Q-layer")
        elif any(other.name == name for other in self.nodes):
            raise ExportError(f"{name}: is called twice; every call needs a layer with exponents of its own")
        else:
            inputs = [self.tensors[source] for source in node.args]
            self.nodes += write(module.onnx(), name, inputs, self._constant)
            self.tensors[node] = f"{name}:0"

    def _function(self, node: fx.Node) -> None:
        if node.target is torch.flatten:
            self._append(node, node.name, "Flatten", node.args[:1], axis=int(node.args[1]))
        elif node.target in (torch.cat, torch.concat):
            tensors, axis = (*node.args, 0)[:2]
            self._append(node, node.name, "Concat", tuple(tensors), axis=node.kwargs.get("dim", axis))
        else:
            raise ExportError(f"{node.name}: {node.target} is no Q-layer")

    def _append(self, node: fx.Node, name: str, op: str, inputs: tuple[Any, ...], **attributes: Any) -> None:
        names = [self.tensors[source] for source in inputs]
        self.nodes.append(helper.make_node(op, names, [f"{name}:0"], name=name, **attributes))
        self.tensors[node] = f"{name}:0"

    def _constant(self, name: str, value: torch.Tensor) -> None:
        self.constants.append(to_constant(name, value))

    def _output(self, node: fx.Node) -> None:
        tensor = self.tensors.get(node.args[0])
        if tensor is None:
            raise ExportError("the model returns something that is no tensor of its graph; one tensor is expected")
        for proto in self.nodes:
            for names in (proto.input, proto.output):
                for i, name in enumerate(names):
                    names[i] = "output" if name == tensor else name


# ---- the quantised network


def _plan(net: Net, model: nn.Module) -> QuantizationPlan:
    quantised = find_layers(net)
    modules = {name: module for name, module in model.named_modules() if isinstance(module, QLayer)}
    linear = [modules[layer.name] for layer in quantised.layers]
    if not linear:
        raise ExportError("the model has no convolution or dense layer")
    first = linear[0]
    limits = first.weight_limits if isinstance(first, QLinearLayer) else None
    plan = QuantizationPlan(
        quantised,
        limits or (first.arch.data_min, first.arch.data_max),
        first.limits,
        _groups(net, quantised, modules),
        {},
    )
    for layer in quantised.layers:
        module = modules[layer.name]
        if not isinstance(module, QLinearLayer) or module.weight_exponent is None:
            raise ExportError(f"{layer.name}: is not calibrated")
        plan.weight[layer.name] = module.weight_exponent
        weight, bias = (tensor.detach().cpu().numpy().astype(np.int64) for tensor in module.integers())
        plan.integers[layer.name] = Integers(weight, bias)
    return plan


def _groups(net: Net, quantised: QuantisedLayers, modules: dict[str, QLayer]) -> dict[str, int]:
    """The exponent of every group, which all layers that write to it must have."""
    tensors = {node.name: node.output for node in net.nodes}
    found: dict[str, int] = {}
    for name, module in modules.items():
        tensor = net.input_name if isinstance(module, QInput) else tensors.get(name, "")
        group = quantised.group_of.get(tensor)
        if group is None or module.exponent is None:
            continue
        if found.setdefault(group, module.exponent) != module.exponent:
            raise ExportError(f"{name}: exponent {module.exponent}, but {found[group]} in tensors that share its scale")
    missing = set(quantised.group_of.values()) - set(found)
    if missing:
        raise ExportError(f"{', '.join(sorted(missing))}: no layer gives an exponent; is the model calibrated?")
    return found
