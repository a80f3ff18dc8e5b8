"""Swapping a float model's layers for Re²Na's, on the graph that torch.fx traces."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.fx.passes.shape_prop import ShapeProp
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.torch.export import trace
from tvm_re2na.torch.layers import QAdd, QClip, QConv2d, QInput, QLayer, QLinear, QMaxPool2d, QReLU, QSumPool2d

Layers: TypeAlias = Mapping[type[nn.Module], type[QLayer]]

PASSING = (nn.Dropout, nn.Dropout2d, nn.Identity)
AVERAGES = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
FLAT = (torch.flatten, "flatten", "view", "reshape")
FUNCTIONS: dict[Any, Callable[..., nn.Module]] = {
    F.relu: lambda x, inplace=False: nn.ReLU(),
    torch.relu: lambda x: nn.ReLU(),
    "relu": lambda x: nn.ReLU(),
    "relu_": lambda x: nn.ReLU(),
    F.relu6: lambda x, inplace=False: nn.ReLU6(),
    F.hardtanh: lambda x, min_val=-1.0, max_val=1.0, inplace=False: nn.Hardtanh(min_val, max_val),
    F.max_pool2d: lambda x, *args, **options: nn.MaxPool2d(*args, **options),
    F.avg_pool2d: lambda x, *args, **options: nn.AvgPool2d(*args, **options),
    F.adaptive_avg_pool2d: lambda x, size: nn.AdaptiveAvgPool2d(size),
    F.dropout: lambda x, *args, **options: nn.Identity(),
}
MADE: dict[type[nn.Module], Callable[[Any], QLayer]] = {
    nn.Conv2d: QConv2d.from_float,
    nn.Linear: QLinear.from_float,
    nn.MaxPool2d: QMaxPool2d.from_float,
    nn.ReLU: lambda module: QReLU(),
    nn.ReLU6: lambda module: QReLU(6.0),
    nn.Hardtanh: lambda module: QClip(module.min_val, module.max_val) if module.min_val else QReLU(module.max_val),
}


class ConvertError(Re2naError, ValueError):
    """The model holds something that has no form on Re²Na; the message names it."""


def replace_layers(model: nn.Module, image: tuple[int, ...], layers: Layers | None = None) -> fx.GraphModule:
    """The model's graph with every operator replaced by its Q-layer, not calibrated yet; `image` is (C, H, W).

    Conv2d, Linear, BatchNorm2d (folded), ReLU, ReLU6, Hardtanh, MaxPool2d, average pooling before a linear layer, `+`, flatten and
    concatenation along the channels, as modules or as functions, and the types of `layers`. Raises ConvertError.
    """
    known = dict(layers or {})
    root = copy.deepcopy(model).eval()
    graph = fx.GraphModule(root, trace(root, tuple(known)))
    _functions_to_modules(graph)
    _own_modules(graph)
    _fold_batch_norm(graph)
    ShapeProp(graph).propagate(torch.zeros(1, *image))
    for node in list(graph.graph.nodes):
        _replace(graph, node, known)
    graph.graph.lint()
    graph.recompile()
    graph.delete_all_unused_submodules()
    return graph.train(model.training)


# ---- one form for modules and functions


def _functions_to_modules(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if node.op in ("call_function", "call_method") and node.target in FUNCTIONS:
            _become(graph, node, FUNCTIONS[node.target](*node.args, **node.kwargs), node.args[:1])


def _own_modules(graph: fx.GraphModule) -> None:
    """A module that is called twice becomes two: every call has exponents of its own."""
    seen: set[str] = set()
    for node in graph.graph.nodes:
        if node.op == "call_module" and str(node.target) in seen:
            graph.add_submodule(node.name, copy.deepcopy(graph.get_submodule(str(node.target))))
            node.target = node.name
        if node.op == "call_module":
            seen.add(str(node.target))


def _become(graph: fx.GraphModule, node: fx.Node, module: nn.Module, inputs: tuple[Any, ...]) -> None:
    """The node calls `module`, under the name of the one it called before."""
    name = str(node.target) if node.op == "call_module" else node.name
    graph.add_submodule(name, module)
    node.op, node.target, node.args, node.kwargs = "call_module", name, inputs, {}


def _fold_batch_norm(graph: fx.GraphModule) -> None:
    for node in list(graph.graph.nodes):
        if not isinstance(_module(graph, node), nn.BatchNorm2d):
            continue
        before = node.args[0]
        conv = _module(graph, before)
        if not isinstance(conv, nn.Conv2d) or len(before.users) != 1:
            raise ConvertError(f"{node.target}: BatchNorm2d that does not follow a convolution of its own")
        graph.add_submodule(str(before.target), fuse_conv_bn_eval(conv, graph.get_submodule(str(node.target))))
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)


# ---- replacing


def _replace(graph: fx.GraphModule, node: fx.Node, layers: Layers) -> None:
    module = _module(graph, node)
    if node.op == "placeholder":
        _quantise_input(graph, node)
    elif node.op in ("output", "get_attr") or isinstance(module, QLayer | nn.Flatten):
        return
    elif module is not None:
        _replace_module(graph, node, module, layers)
    elif node.target in (operator.add, operator.iadd, torch.add, "add", "add_"):
        _become(graph, node, QAdd(), node.args[:2])
    elif node.target in FLAT:
        _flatten(graph, node)
    elif node.target is not torch.cat and node.users:
        raise ConvertError(f"{node.name}: {_what(node)} has no form on Re²Na")


def _replace_module(graph: fx.GraphModule, node: fx.Node, module: nn.Module, layers: Layers) -> None:
    kind = type(module)
    if kind in layers:
        _become(graph, node, layers[kind].from_float(module), node.args)
    elif kind in MADE:
        _become(graph, node, MADE[kind](module), node.args)
    elif isinstance(module, AVERAGES):
        _average(graph, node, module)
    elif isinstance(module, PASSING):
        node.replace_all_uses_with(node.args[0])
        graph.graph.erase_node(node)
    else:
        raise ConvertError(f"{node.target}: {kind.__name__} has no form on Re²Na; name one of yours in `layers`")


def _quantise_input(graph: fx.GraphModule, node: fx.Node) -> None:
    name = f"{node.name}_quantised"
    graph.add_submodule(name, QInput())
    with graph.graph.inserting_after(node):
        quantised = graph.graph.call_module(name, (node,))
    node.replace_all_uses_with(quantised, delete_user_cb=lambda user: user is not quantised)


def _flatten(graph: fx.GraphModule, node: fx.Node) -> None:
    before, after = _shape(node.args[0]), _shape(node)
    if len(after) != 2 or after[0] != before[0]:
        raise ConvertError(f"{node.name}: {_what(node)} of {before} to {after}, expected (N, features)")
    source = node.args[0]
    node.op, node.target, node.args, node.kwargs = "call_function", torch.flatten, (source, 1), {}


def _average(graph: fx.GraphModule, node: fx.Node, module: Any) -> None:
    """Sums, and the linear layers behind them divided by the number of values."""
    (_, channels, *size), (*_, rows, columns) = _shape(node.args[0]), _shape(node)
    if isinstance(module, nn.AdaptiveAvgPool2d):
        kernel = stride = size[0] // rows, size[1] // columns
        padding = (0, 0)
        if (kernel[0] * rows, kernel[1] * columns) != tuple(size):
            raise ConvertError(
                f"{node.target}: AdaptiveAvgPool2d of {size} to {[rows, columns]}: windows of several sizes"
            )
    else:
        kernel, stride, padding = (_pair(value) for value in (module.kernel_size, module.stride, module.padding))
        if module.ceil_mode or (any(padding) and not module.count_include_pad) or module.divisor_override:
            raise ConvertError(f"{node.target}: AvgPool2d that divides by several numbers")
    for taker in _takers(graph, node, str(node.target)):
        with torch.no_grad():
            taker.weight /= kernel[0] * kernel[1]
    _become(graph, node, QSumPool2d(channels, kernel, stride, padding), node.args[:1])


def _takers(graph: fx.GraphModule, node: fx.Node, pool: str) -> Iterator[Any]:
    """The linear layers behind an average, through what f(a x) = a f(x) holds for."""
    for user in node.users:
        module = _module(graph, user)
        if isinstance(module, nn.Linear | nn.Conv2d):
            yield module
        elif user.target in FLAT or isinstance(module, (nn.Flatten, nn.ReLU, nn.MaxPool2d, *PASSING)):
            yield from _takers(graph, user, pool)
        else:
            raise ConvertError(f"{pool}: average pooling is exact before a linear layer only, here comes {_what(user)}")


def _module(graph: fx.GraphModule, node: Any) -> nn.Module | None:
    calls = isinstance(node, fx.Node) and node.op == "call_module"
    return graph.get_submodule(str(node.target)) if calls else None


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _what(node: fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target))
