"""What Re²Na can take over: one function per rule.

A rule's docstring is the rule itself and the reason shown to the user. A rule returns None where the operator keeps it, otherwise
the offending value and the limit. The front ends describe their operators as an `Operator` (nothing of TVM in it), ask `check`,
and leave on the CPU what it rejects.
"""

from __future__ import annotations

import math
from collections.abc import Collection

import numpy as np

from tvm_re2na.codegen.arch import Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.arithmetic import compose, half, halves, inverting_bias
from tvm_re2na.codegen.graph.bounds import largest_product
from tvm_re2na.codegen.graph.ops import four_axes
from tvm_re2na.codegen.isa.limits import limits_of
from tvm_re2na.codegen.offload.constraint import (
    RULES,
    Rejection,
    Violation,
    constraint,
    field_violation,
    reason,
    shape_text,
)
from tvm_re2na.codegen.offload.needs import sram_bytes
from tvm_re2na.codegen.offload.operator import EXTREMA, KINDS, LINEAR, RESCALED, SELECTING, SUMS, WINDOWED, Operator


def check(op: Operator, arch: Architecture) -> Rejection | None:
    """The first rule that `op` breaks on `arch`, or None where it can be offloaded."""
    for kinds, rule in RULES:
        violation = rule(op, arch) if op.kind in kinds else None
        if violation is not None:
            return Rejection(rule.__name__, reason(rule), *violation)
    return None


@constraint(*KINDS)
def quantised(op: Operator, arch: Architecture) -> Violation | None:
    """The operator must be quantised: floating-point operators run on the CPU."""
    del arch
    floats = [tensor.dtype for tensor in (*op.inputs, op.output) if tensor.dtype.startswith(("float", "bfloat"))]
    return (floats[0], "int8") if floats else None


@constraint(*KINDS)
def int8_data(op: Operator, arch: Architecture) -> Violation | None:
    """Inputs, weights and result must be signed 8-bit integers."""
    del arch
    dtypes = [tensor.dtype for tensor in (*op.inputs, op.output)]
    dtypes += [str(op.weight.dtype)] if op.weight is not None else []
    wrong = [dtype for dtype in dtypes if dtype != "int8"]
    return (wrong[0], "int8") if wrong else None


@constraint(*KINDS)
def static_shapes(op: Operator, arch: Architecture) -> Violation | None:
    """All sizes, the batch included, must be known when the model is compiled."""
    del arch
    unknown = [tensor.shape for tensor in (*op.inputs, op.output) if None in tensor.shape]
    return (shape_text(unknown[0]), "static sizes") if unknown else None


@constraint(*KINDS)
def tensor_rank(op: Operator, arch: Architecture) -> Violation | None:
    """Tensors must be shaped (N, C, H, W) or (N, C), with at least one element."""
    del arch
    wrong = [t.shape for t in (*op.inputs, op.output) if len(t.shape) not in (2, 4) or 0 in t.shape]
    return (shape_text(wrong[0]), "rank 2 or 4") if wrong else None


@constraint(*LINEAR)
def constant_weights(op: Operator, arch: Architecture) -> Violation | None:
    """Weights must be constants of the model."""
    del arch
    return ("computed", "constant") if op.weight is None else None


@constraint(*KINDS)
def computed_operands(op: Operator, arch: Architecture) -> Violation | None:
    """Data operands must be activations: an operand that is a constant of the model is not streamed to the machine."""
    del arch
    return ("constant", "activation") if any(tensor.constant for tensor in op.inputs) else None


@constraint("conv2d", "conv2d_transpose", "max_pool2d", "resize2d", "depth_to_space")
def nchw_layout(op: Operator, arch: Architecture) -> Violation | None:
    """Data must be laid out NCHW, weights OIHW."""
    del arch
    wrong = [layout for layout in op.layouts if layout not in ("NCHW", "OIHW", "")]
    return (wrong[0], "NCHW, OIHW") if wrong else None


@constraint("conv2d_transpose")
def interleaved_results(op: Operator, arch: Architecture) -> Violation | None:
    """A transposed convolution must have dilation 1; the channels of as many pixels as its stride must fit the instruction's field
    for a stride, because its results lie so far apart."""
    if op.window is None:
        return None
    if op.window.dilation != (1, 1):
        return f"dilation {shape_text(op.window.dilation)}", "1x1"
    return field_violation(arch, "CONV", {"out_pixel_stride": op.window.stride[1] * op.output.sizes[1]})


@constraint("resize2d")
def repeated_pixels(op: Operator, arch: Architecture) -> Violation | None:
    """A resizing must repeat each row and each column, all of them equally often, and interpolate nothing."""
    del arch
    return ("interpolated, or other pixels", "each pixel repeated") if op.factors is None else None


@constraint("resize2d", "depth_to_space")
def blocks_of_pixels(op: Operator, arch: Architecture) -> Violation | None:
    """The channels of all the pixels that become of one in its row must fit the instruction's field for a stride."""
    across = 1 if op.factors is None else op.factors[1]
    return field_violation(arch, "POOL", {"out_pixel_stride": across * op.output.sizes[1]})


@constraint("lookup")
def activation_table(op: Operator, arch: Architecture) -> Violation | None:
    """A function of single numbers is computed by an activation table, which a machine has only by its option activation_table."""
    del op
    return None if arch.activation_table else ("a function of single numbers", "activation_table = 1")


@constraint(*RESCALED)
def zero_points(op: Operator, arch: Architecture) -> Violation | None:
    """Zero points must be constant and 0 (symmetric quantisation)."""
    del arch
    wrong = [zero for zero in op.zero_points if zero != 0]
    return ("computed" if wrong[0] is None else wrong[0], 0) if wrong else None


@constraint(*RESCALED)
def per_tensor_scales(op: Operator, arch: Architecture) -> Violation | None:
    """Scales must be constants, one per tensor (or the same one for every channel); on a machine with `channel_cuts` the weights of
    a convolution may have one for each output channel."""
    by_channel = op.kind == "conv2d" and arch.channel_cuts == 1
    for scales in (scales for rescale in op.rescales for scales in (rescale.source, rescale.target)):
        channels = by_channel and scales is op.rescales[0].source and len(scales) == op.output.shape[1]
        if len(set(scales)) != 1 and not channels:
            return (f"{min(scales):g}..{max(scales):g}" if scales else "computed", "one scale")
    return None


@constraint(*RESCALED)
def power_of_two_scales(op: Operator, arch: Architecture) -> Violation | None:
    """Scales must be powers of two, exactly: the machine shifts, it does not multiply."""
    del arch
    for scale in (scale for rescale in op.rescales for scale in (*rescale.source, *rescale.target)):
        if not math.isfinite(scale) or scale <= 0 or math.frexp(scale)[0] != 0.5:
            return (scale, 2.0 ** round(math.log2(scale)) if scale > 0 and math.isfinite(scale) else "a power of two")
    return None


@constraint(*RESCALED)
def shift_range(op: Operator, arch: Architecture) -> Violation | None:
    """The result's exponent must lie 0 to (accumulator bits - 1) above the exponent of what is rescaled: the machine shifts
    right only, and no further than its accumulator is wide."""
    least, most = limits_of(arch, "ELTWISE", "shift_a") if op.kind in SUMS else limits_of(arch, _instruction(op), "lsb")
    shifts = [shift for rescale in op.rescales for shift in rescale.shifts if not least <= shift <= most]
    return (shifts[0], f"{least}..{most}") if shifts else None


@constraint(*RESCALED)
def saturating_cut(op: Operator, arch: Architecture) -> Violation | None:
    """The machine must saturate results, as the operator does."""
    del op
    return None if arch.cut_overflow is CutOverflow.SATURATE else ("wrap", "saturate")


@constraint(*SUMS)
def rounding_mode(op: Operator, arch: Architecture) -> Violation | None:
    """The machine must round the operands of a sum as the operator does, one half added before the shift, unless none is
    shifted; convolutions and dense layers take the half with their bias on a machine that truncates."""
    truncates = arch.rounding is not Rounding.HALF_UP and any(rescale.shift for rescale in op.rescales)
    return ("truncate", "half_up") if truncates else None


@constraint(*LINEAR, "max_pool2d", "resize2d", "depth_to_space", *SUMS, "mul", *EXTREMA, "clip")
def whole_bounds(op: Operator, arch: Architecture) -> Violation | None:
    """Bounds of a clip must be constant whole numbers of 32 bits, the same for all channels, the lower not above the upper."""
    del arch
    for bounds in (op.before, op.after):
        if bounds is None or bounds[0] > bounds[1]:
            return ("no such bounds" if bounds is None else f"{bounds[0]}..{bounds[1]}", "whole numbers")
    found = sorted({op.bounds(lsb) for lsb in op.rescales[0].shifts}) if op.kind in LINEAR else []
    text = ", ".join(f"{low}..{high}" for low, high in found)
    return (text, "the same of all channels") if len(found) > 1 else None


@constraint(*LINEAR, "max_pool2d", "resize2d", "depth_to_space", *SUMS, "mul", *EXTREMA, "clip", "lookup")
def data_width(op: Operator, arch: Architecture) -> Violation | None:
    """Results and weights must stay within the machine's data width."""
    bounds = compose((-128, 127), op.after or (-128, 127))
    if op.kind in LINEAR or op.kind == "mul":
        cut = op.cut()
        bounds = cut.lo, cut.hi
    if op.table is not None:
        bounds = int(op.table.min()), int(op.table.max())
    if op.weight is not None:
        bounds = min(bounds[0], int(op.weight.min())), max(bounds[1], int(op.weight.max()))
    fits = arch.data_min <= bounds[0] and bounds[1] <= arch.data_max
    return None if fits else (f"{bounds[0]}..{bounds[1]}", f"{arch.data_min}..{arch.data_max}")


@constraint(*LINEAR)
def constant_bias(op: Operator, arch: Architecture) -> Violation | None:
    """The bias must be a constant: for each output channel a whole number of steps of the sum, of 32 bits."""
    del arch
    return (
        ("computed, of another shape, or between two steps", "one whole number per channel")
        if op.bias is None
        else None
    )


@constraint(*LINEAR)
def bias_fits(op: Operator, arch: Architecture) -> Violation | None:
    """The bias, with the rounding's half added, must fit the accumulator."""
    if op.bias is None:
        return None
    starts = op.bias + halves(np.array(op.rescales[0].shifts))
    low, high = int(starts.min()) - op.splits_ties, int(starts.max())
    if low >= arch.acc_min and high <= arch.acc_max:
        return None
    return (high if high > arch.acc_max else low, arch.acc_max if high > arch.acc_max else arch.acc_min)


@constraint(*SUMS, *EXTREMA)
def equal_shapes(op: Operator, arch: Architecture) -> Violation | None:
    """The operands of a sum, difference, maximum or minimum must have the same shape: nothing is broadcast."""
    del arch
    return _two_shapes(op, "equal shapes") if op.inputs[0].shape != op.inputs[1].shape else None


@constraint("mul")
def one_factor_for_each_channel(op: Operator, arch: Architecture) -> Violation | None:
    """Of two tensors that are multiplied, one must have one number for each image and channel, (N, C, 1, 1) beside (N, C, H, W):
    the array multiplies pixels by weights, which are the same for all pixels of a channel."""
    del arch
    scale, data = op.inputs[op.scale_operand], op.inputs[1 - op.scale_operand]
    fits = len(scale.shape) == len(data.shape) and four_axes(scale.sizes) == (*four_axes(data.sizes)[:2], 1, 1)
    return None if fits else _two_shapes(op, "(N, C, H, W) and (N, C, 1, 1)")


@constraint("mul")
def products_fit(op: Operator, arch: Architecture) -> Violation | None:
    """The product of any two bytes, with the rounding's half added, must fit the accumulator."""
    lsb = op.rescales[0].shift
    largest = largest_product(lsb, half(lsb) - arch.half(lsb), arch)
    return (largest, arch.acc_max) if largest > arch.acc_max else None


@constraint(*EXTREMA)
def side_by_side(op: Operator, arch: Architecture) -> Violation | None:
    """The channels of both operands of a maximum or minimum, which lie side by side, must fit the instruction's field for a
    stride."""
    return field_violation(arch, "POOL", {"in_pixel_stride": 2 * op.output.sizes[1]})


@constraint("sub", "min")
def inverted_operand_fits(op: Operator, arch: Architecture) -> Violation | None:
    """The first operand of a difference, and both of a minimum, are inverted, -1 - x, by a weight; with what a shift needs that
    must fit the accumulator."""
    lowest = arch.data_min + inverting_bias(op.rescales[0].shift if op.rescales else 0)
    return (lowest, arch.acc_min) if lowest < arch.acc_min else None


@constraint("concat", "take")
def channel_axis(op: Operator, arch: Architecture) -> Violation | None:
    """What is taken by its numbers must be channels, the second axis; what is put together may be rows or columns as well."""
    del arch
    axes = (1, 2, 3) if op.kind == "concat" else (1,)
    return (f"axis {op.axis}", ", ".join(map(str, axes))) if op.axis not in axes else None


@constraint(*SELECTING)
def constant_channels(op: Operator, arch: Architecture) -> Violation | None:
    """The channels that are taken must be constants of the model, a list of numbers."""
    del arch
    return ("computed, or no list", "constant") if op.channels is None else None


@constraint("strided_slice")
def every_nth_pixel(op: Operator, arch: Architecture) -> Violation | None:
    """Of rows and columns each n-th may be taken, counted forwards; of the images all must be."""
    del arch
    return ("images, or counted backwards", "every n-th row or column") if op.window is None else None


@constraint("reshape")
def batch_stays(op: Operator, arch: Architecture) -> Violation | None:
    """A reshape must keep the batch, the first axis."""
    del arch
    before, after = op.inputs[0].sizes[0], op.output.sizes[0]
    return (after, before) if before != after else None


@constraint("pad", "conv2d")
def constant_padding(op: Operator, arch: Architecture) -> Violation | None:
    """Padding must be a constant byte that the machine's data can hold, beyond channels, rows and columns."""
    if op.window is None:
        return ("padding of images, or negative", "channels, rows and columns")
    fits = op.pad_value is not None and arch.data_min <= op.pad_value <= arch.data_max
    if fits and float(op.pad_value or 0).is_integer():
        return None
    return "computed" if op.pad_value is None else op.pad_value, f"{arch.data_min}..{arch.data_max}"


@constraint(*WINDOWED, "pad", "strided_slice")
def window_fields(op: Operator, arch: Architecture) -> Violation | None:
    """Kernel, stride, dilation and top and left padding must fit the instruction's fields."""
    if op.window is None:
        return None
    top, left, _, _ = op.window.padding
    pairs = {"kernel": op.window.kernel, "stride": op.window.stride, "dilation": op.window.dilation}
    found = {f"{name}_{axis}": size for name, pair in pairs.items() for axis, size in zip("hw", pair, strict=True)}
    return field_violation(arch, _instruction(op), {**found, "pad_top": max(top, 0), "pad_left": max(left, 0)})


@constraint(*KINDS)
def size_fields(op: Operator, arch: Architecture) -> Violation | None:
    """Batch, channels, rows and columns must fit the instruction's fields."""
    for tensor in (*op.inputs, op.output):
        names = ("n", "out_c") if len(tensor.shape) == 2 and op.kind == "dense" else ("n", "in_c", "in_h", "in_w")
        inputs_of_dense = op.kind == "dense" and tensor is not op.output
        sizes = dict(zip(names, tensor.sizes[:1] if inputs_of_dense else tensor.sizes, strict=False))
        flat = len(tensor.shape) == 2 and op.kind != "dense"
        violation = None if flat else field_violation(arch, "DENSE" if op.kind == "dense" else "CONV", sizes)
        if violation:
            return violation
    return None


@constraint(*KINDS)
def fits_sram(op: Operator, arch: Architecture) -> Violation | None:
    """One output row, the input rows it needs and one block of weights must fit the SRAM."""
    needed = sram_bytes(op, arch)
    return (needed, arch.sram_bytes) if needed > arch.sram_bytes else None


def worthwhile(kinds: Collection[str]) -> bool:
    """A part of the model must hold a convolution, dense layer, pooling, addition, product or maximum: moving data to the machine
    only to reshape, pad, clip or look it up costs more than it saves."""
    return not {*RESCALED, *EXTREMA, "max_pool2d"}.isdisjoint(kinds)


def enough_work(computed: int, crossing_bytes: int) -> Violation | None:
    """Where several parts of the model could run on Re²Na, each must compute more than it moves: multiplications, comparisons and
    additions against the bytes that come from the CPU and go there."""
    return (computed, crossing_bytes) if computed < crossing_bytes else None


def host_boundary(name: str) -> bool:
    """Quantising inputs and dequantising results is done on the CPU: the machine knows integers only."""
    return name.split(".")[-1] in ("quantize", "dequantize")


def requantised(name: str) -> bool:
    """A convolution or dense layer must be requantised to int8: the machine keeps no wider results."""
    return name.split(".")[-1] in LINEAR


def exact_average(name: str) -> bool:
    """Average pooling divides, the machine shifts: only a depthwise convolution with weights 1, which the quantiser makes of it,
    is exact."""
    return "avg_pool" in name or name == "mean"


def known_operator(name: str) -> bool:
    """Re²Na has no such operator."""
    return name in KINDS


def _two_shapes(op: Operator, wanted: str) -> Violation:
    left, right = op.inputs
    return f"{shape_text(left.shape)} and {shape_text(right.shape)}", wanted


def _instruction(op: Operator) -> str:
    """That computes a windowed or linear operator, a product, or padding."""
    return {"conv2d": "CONV", "conv2d_transpose": "CONV", "mul": "CONV", "dense": "DENSE"}.get(op.kind, "POOL")
