"""Swapping a float model's layers for Re²Na's, on the graph that torch.fx traces."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Mapping
from typing import Any, TypeAlias

import torch
import torch.nn.functional as F
from torch import fx, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.torch.export import trace
from tvm_re2na.torch.functions import FUNCTIONS as TABLES
from tvm_re2na.torch.functions import QFunction
from tvm_re2na.torch.layers import QAdd, QClip, QConv2d, QInput, QLayer, QLinear, QMaxPool2d, QReLU, QSumPool2d
from tvm_re2na.torch.moves import QChannels, QMul, QUpsample2d
from tvm_re2na.torch.origins import Origin, Origins
from tvm_re2na.torch.transposed import QConvTranspose2d

Layers: TypeAlias = Mapping[type[nn.Module], type[QLayer]]

PASSING = (nn.Dropout, nn.Dropout2d, nn.Identity)
AVERAGES = (nn.AvgPool2d, nn.AdaptiveAvgPool2d)
HOMOGENEOUS = (nn.Flatten, nn.ReLU, nn.MaxPool2d, QChannels, *PASSING)
SUMS = (operator.add, operator.iadd, torch.add, "add", "add_")
PRODUCTS = (operator.mul, operator.imul, torch.mul, "mul", "mul_")
GATED: dict[type[nn.Module], Callable[[], nn.Module]] = {
    nn.Sigmoid: nn.SiLU,
    nn.Hardsigmoid: nn.Hardswish,
}  # x * gate(x)
LINEAR = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
LONGEST_AVERAGE = 16  # values that are averaged at once, unless their number is a power of two
LONGEST_SUM = 256


def _interpolate(
    x: Any, size: Any = None, scale_factor: Any = None, mode: str = "nearest", **options: Any
) -> nn.Module:
    del options
    return nn.Upsample(size, scale_factor, mode)


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
    F.interpolate: _interpolate,
    **dict.fromkeys((F.sigmoid, torch.sigmoid, "sigmoid"), lambda x: nn.Sigmoid()),
    **dict.fromkeys((F.tanh, torch.tanh, "tanh"), lambda x: nn.Tanh()),
    F.hardswish: lambda x, inplace=False: nn.Hardswish(),
    F.hardsigmoid: lambda x, inplace=False: nn.Hardsigmoid(),
    F.silu: lambda x, inplace=False: nn.SiLU(),
    F.mish: lambda x, inplace=False: nn.Mish(),
    F.gelu: lambda x, approximate="none": nn.GELU(approximate),
    F.elu: lambda x, alpha=1.0, inplace=False: nn.ELU(alpha),
    F.selu: lambda x, inplace=False: nn.SELU(),
    F.softsign: lambda x: nn.Softsign(),
    F.leaky_relu: lambda x, negative_slope=0.01, inplace=False: nn.LeakyReLU(negative_slope),
}
MADE: dict[type[nn.Module], Callable[[Any], QLayer]] = {
    nn.Conv2d: QConv2d.from_float,
    nn.ConvTranspose2d: QConvTranspose2d.from_float,
    nn.Linear: QLinear.from_float,
    nn.MaxPool2d: QMaxPool2d.from_float,
    nn.ReLU: lambda module: QReLU(),
    nn.ReLU6: lambda module: QReLU(6.0),
    nn.Hardtanh: lambda module: QClip(module.min_val, module.max_val) if module.min_val else QReLU(module.max_val),
    **dict.fromkeys(TABLES, QFunction),
}


class ConvertError(Re2naError, ValueError):
    """The model holds something that has no form on Re²Na; the message names it."""


def replace_layers(model: nn.Module, image: tuple[int, ...], layers: Layers | None = None) -> fx.GraphModule:
    """The model's graph with every operator replaced by its Q-layer, not calibrated yet; `image` is (C, H, W).

    Conv2d, ConvTranspose2d, Linear, BatchNorm2d (folded), ReLU, ReLU6, Hardtanh, MaxPool2d, average pooling, nearest Upsample by
    whole factors, functions of single numbers (`functions.FUNCTIONS`), `+`, `*`, flatten, concatenation along the channels, and
    what takes channels apart or shuffles them, as modules or as functions, and the types of `layers`. Raises ConvertError.
    """
    known = dict(layers or {})
    root = copy.deepcopy(model).eval()
    graph = fx.GraphModule(root, trace(root, tuple(known)))
    _functions_to_modules(graph)
    _own_modules(graph)
    _fold_batch_norm(graph)
    _settle_moves(graph, torch.zeros(1, *image))
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
        elif node.op != "call_module" and node.target in (torch.mean, "mean"):
            _mean(graph, node, *node.args[1:], **node.kwargs)
        elif node.op == "call_function" and _what(node) == "stochastic_depth":
            # torchvision's, nothing once it is trained
            node.replace_all_uses_with(node.args[0])
            graph.graph.erase_node(node)


def _mean(graph: fx.GraphModule, node: fx.Node, dim: Any = None, keepdim: bool = False) -> None:
    """Of the pixels of an image."""
    axes = sorted(axis % 4 for axis in dim) if isinstance(dim, tuple | list) else dim
    if axes != [2, 3]:
        raise ConvertError(f"{node.name}: mean over the axes {dim}, expected those of the pixels, 2 and 3")
    if not keepdim:
        with graph.graph.inserting_after(node):
            flat = graph.graph.call_function(torch.flatten, (node, 1))
        node.replace_all_uses_with(flat, delete_user_cb=lambda user: user is not flat)
    _become(graph, node, nn.AdaptiveAvgPool2d(1), node.args[:1])


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
        if not isinstance(conv, nn.Conv2d | nn.ConvTranspose2d) or len(before.users) != 1:
            raise ConvertError(f"{node.target}: BatchNorm2d that does not follow a convolution of its own")
        norm, transposed = graph.get_submodule(str(node.target)), isinstance(conv, nn.ConvTranspose2d)
        graph.add_submodule(str(before.target), fuse_conv_bn_eval(conv, norm, transposed))
        node.replace_all_uses_with(before)
        graph.graph.erase_node(node)


# ---- moves


def _settle_moves(graph: fx.GraphModule, image: torch.Tensor) -> None:
    """Of chains of moves one flatten, or one layer that takes channels; every node has its shape then."""
    origins = Origins(graph)
    origins.propagate(image)
    for node in list(graph.graph.nodes):
        users = [user for user in node.users if origins.reads(user)] if origins.moves(node) else []
        origin = origins.found.get(node)
        if not users or origin is None or not isinstance(origin.positions, torch.Tensor):
            continue
        with graph.graph.inserting_before(node):
            settled = _settled(graph, node, origin)
        for user in users:
            user.replace_input_with(node, settled)
    graph.graph.eliminate_dead_code()


def _settled(graph: fx.GraphModule, node: fx.Node, origin: Origin) -> fx.Node:
    source, after = origin.source, tuple(origin.positions.shape)
    if origin.is_all() and after == origin.shape:
        return source
    channels = origin.channels()
    if origin.is_all() and len(after) == 2 and after[0] == origin.shape[0]:
        made = graph.graph.call_function(torch.flatten, (source, 1))
    elif channels:
        name = f"{node.name}_channels"
        graph.add_submodule(name, QChannels(channels))
        made = graph.graph.call_module(name, (source,))
    else:
        raise ConvertError(
            f"{node.name}: {_what(node)} of {origin.shape} to {after}, expected (N, features) or channels"
        )
    made.meta = dict(node.meta)
    return made


# ---- replacing


def _replace(graph: fx.GraphModule, node: fx.Node, layers: Layers) -> None:
    module = _module(graph, node)
    if node.op == "placeholder":
        _quantise_input(graph, node)
    elif node.op in ("output", "get_attr") or isinstance(module, QLayer | nn.Flatten):
        return
    elif module is not None:
        _replace_module(graph, node, module, layers)
    elif node.target in SUMS and _of_tensors(node):
        _become(graph, node, QAdd(), node.args[:2])
    elif node.target in PRODUCTS and _of_tensors(node):
        _multiply(graph, node)
    elif node.target not in (torch.cat, torch.concat, torch.flatten) and node.users:
        raise ConvertError(f"{node.name}: {_what(node)} has no form on Re²Na")


def _replace_module(graph: fx.GraphModule, node: fx.Node, module: nn.Module, layers: Layers) -> None:
    kind = type(module)
    if kind in layers:
        _become(graph, node, layers[kind].from_float(module), node.args)
    elif kind is nn.Hardsigmoid and _into_linear(graph, node):
        _become(graph, node, QClip(0.0, 1.0), node.args)
    elif kind is nn.PReLU and module.num_parameters > 1:
        raise ConvertError(f"{node.target}: PReLU with {module.num_parameters} slopes, expected one")
    elif kind in MADE:
        _become(graph, node, MADE[kind](module), node.args)
    elif isinstance(module, AVERAGES):
        _average(graph, node, module)
    elif isinstance(module, nn.Upsample):
        _become(graph, node, _upsampling(node, module), node.args)
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
    quantised.meta = dict(node.meta)
    node.replace_all_uses_with(quantised, delete_user_cb=lambda user: user is not quantised)


def _of_tensors(node: fx.Node) -> bool:
    return len(node.args) == 2 and all(isinstance(arg, fx.Node) and "tensor_meta" in arg.meta for arg in node.args)


def _multiply(graph: fx.GraphModule, node: fx.Node) -> None:
    """A product; of a tensor with its own sigmoid it is one function."""
    for x, gate in (node.args, node.args[::-1]):
        activation = _module(graph, gate)
        kind = type(activation.activation) if isinstance(activation, QFunction) else None
        if kind in GATED and gate.args[0] is x:
            _become(graph, node, QFunction(GATED[kind]()), (x,))
            if not gate.users:
                graph.graph.erase_node(gate)
            return
    _become(graph, node, QMul(), node.args)


def _into_linear(graph: fx.GraphModule, node: fx.Node) -> bool:
    """Whether the layer before a hard sigmoid could take its factor and number; its bounds are left."""
    before = node.args[0]
    linear: Any = _module(graph, before)
    if not isinstance(linear, LINEAR) or not isinstance(linear, QLayer) or len(before.users) != 1:
        return False
    with torch.no_grad():
        linear.weight /= 6
        linear.bias.copy_(linear.bias / 6 + 0.5)
    return True


def _upsampling(node: fx.Node, module: nn.Upsample) -> QUpsample2d:
    before, after = _shape(node.args[0]), _shape(node)
    if len(before) != 4:
        raise ConvertError(f"{node.target}: Upsample of {before}, expected (N, C, H, W)")
    (rows, columns), sizes = (new // old for old, new in zip(before[2:], after[2:], strict=True)), after[2:]
    whole = (before[2] * rows, before[3] * columns) == sizes
    if module.mode != "nearest" or not whole:
        raise ConvertError(
            f"{node.target}: Upsample of {before} to {after}, mode {module.mode}, expected nearest and whole factors"
        )
    return QUpsample2d((rows, columns))


def _average(graph: fx.GraphModule, node: fx.Node, module: Any) -> None:
    """Sums, and the linear layers behind them divided by the number of values; where anything else reads them, averages."""
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
    values = kernel[0] * kernel[1]
    takers = _takers(graph, node)
    if takers is not None:
        with torch.no_grad():
            for taker in takers:
                taker.weight /= values
        _become(graph, node, QSumPool2d(channels, kernel, stride, padding), node.args[:1])
        return
    if values > (LONGEST_SUM if values.bit_count() == 1 else LONGEST_AVERAGE) and min(kernel) > 1:
        with graph.graph.inserting_before(node):  # along the columns, then along the rows
            name = f"{node.name}_columns"
            along = QSumPool2d(channels, (1, kernel[1]), (1, stride[1]), (0, padding[1]), 1 / kernel[1])
            graph.add_submodule(name, along)
            node.args = (graph.graph.call_module(name, node.args[:1]),)
        kernel, stride, padding = (kernel[0], 1), (stride[0], 1), (padding[0], 0)
    weight = 1 / (kernel[0] * kernel[1])
    _become(graph, node, QSumPool2d(channels, kernel, stride, padding, weight), node.args[:1])


def _takers(graph: fx.GraphModule, node: fx.Node) -> list[Any] | None:
    """The linear layers behind an average, through what f(a x) = a f(x) holds for; None where anything else reads it."""
    found: list[Any] = []
    for user in node.users:
        module = _module(graph, user)
        if isinstance(module, LINEAR):
            found.append(module)
        elif user.target is torch.flatten or isinstance(module, HOMOGENEOUS):
            behind = _takers(graph, user)
            if behind is None:
                return None
            found += behind
        else:
            return None
    return found or None


def _module(graph: fx.GraphModule, node: Any) -> nn.Module | None:
    calls = isinstance(node, fx.Node) and node.op == "call_module"
    return graph.get_submodule(str(node.target)) if calls else None


def _shape(node: Any) -> tuple[int, ...]:
    return tuple(node.meta["tensor_meta"].shape)


def _pair(value: Any) -> tuple[int, int]:
    return (value, value) if isinstance(value, int) else (value[0], value[1])


def _what(node: fx.Node) -> str:
    return getattr(node.target, "__name__", str(node.target))
