"""Every rule of what is offloaded, provoked: on operators as front ends describe them, and on those that match no form."""

from __future__ import annotations

import dataclasses
import inspect

import numpy as np
import pytest

from tvm_re2na.codegen.arch import Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.graph.ops import Window
from tvm_re2na.codegen.offload import rules
from tvm_re2na.codegen.offload.explanation import foreign, kept, small
from tvm_re2na.codegen.offload.operator import KINDS, Operator, Rescale, Scalar, Tensor

ARCH, SMALL = Architecture(), Architecture(sram_bytes=1024)
LOOKING = Architecture(activation_table=1)
NO_RULES = {"check"}  # another function of the file
IMAGE, PIXEL, FLAT = Tensor((1, 4, 8, 8)), Tensor((1, 4, 1, 1)), Tensor((2, 16))
NO_BIAS = "computed, of another shape, or between two steps"
TO_CHANNELS = "(N, C, H, W) and (N, C, 1, 1)"
SAME = "the same of all channels"
CUTS = Architecture(channel_cuts=1)
BY_CHANNEL = (Rescale((2.0**-4, 2.0**-3, 2.0**-2, 2.0**-1), (1.0,)),)
SCALES = (Rescale((2.0**-12,), (2.0**-6,)),)

GOOD = {
    "conv2d": Operator(
        "conv2d",
        (IMAGE,),
        IMAGE,
        SCALES,
        (0, 0),
        np.ones((4, 4, 3, 3), np.int8),
        np.zeros(4, np.int32),
        Window((3, 3), padding=(1, 1, 1, 1)),
        layouts=("NCHW", "OIHW", ""),
    ),
    "conv2d_transpose": Operator(
        "conv2d_transpose",
        (IMAGE,),
        Tensor((1, 4, 16, 16)),
        SCALES,
        (0, 0),
        np.ones((4, 4, 2, 2), np.int8),
        np.zeros(4, np.int32),
        Window((2, 2), (2, 2)),
        layouts=("NCHW", "OIHW", ""),
    ),
    "dense": Operator("dense", (FLAT,), Tensor((2, 3)), SCALES, (0,), np.ones((3, 16), np.int8), np.zeros(3, np.int32)),
    "max_pool2d": Operator("max_pool2d", (IMAGE,), Tensor((1, 4, 4, 4)), window=Window((2, 2), (2, 2))),
    "resize2d": Operator("resize2d", (IMAGE,), Tensor((1, 4, 16, 24)), layouts=("NCHW",), factors=(2, 3)),
    "depth_to_space": Operator(
        "depth_to_space", (IMAGE,), Tensor((1, 1, 16, 16)), layouts=("NCHW",), factors=(2, 2), channels=np.arange(4)
    ),
    "add": Operator("add", (IMAGE, IMAGE), IMAGE, (*SCALES, *SCALES), (0, 0, 0)),
    "sub": Operator("sub", (IMAGE, IMAGE), IMAGE, (*SCALES, *SCALES), (0, 0, 0)),
    "mul": Operator("mul", (IMAGE, PIXEL), IMAGE, SCALES, (0, 0, 0)),
    "max": Operator("max", (IMAGE, IMAGE), IMAGE),
    "min": Operator("min", (IMAGE, IMAGE), IMAGE),
    "concat": Operator("concat", (IMAGE, IMAGE), Tensor((1, 8, 8, 8)), operands=(0, 1)),
    "take": Operator("take", (IMAGE,), IMAGE, channels=np.array([3, 1, 2, 0])),
    "strided_slice": Operator(
        "strided_slice",
        (IMAGE,),
        Tensor((1, 2, 8, 3)),
        window=Window((1, 1), (1, 3), (0, -1, 0, 0)),
        channels=np.array([1, 2]),
    ),
    "reshape": Operator("reshape", (IMAGE,), Tensor((1, 256))),
    "pad": Operator("pad", (IMAGE,), Tensor((1, 4, 10, 8)), window=Window((1, 1), padding=(1, 0, 1, 0))),
    "clip": Operator("clip", (IMAGE,), IMAGE, after=(0, 127)),
    "lookup": Operator("lookup", (IMAGE,), IMAGE, table=np.arange(-128, 128).astype(np.int8)),
}


def broken(kind: str, **changes: object) -> Operator:
    return dataclasses.replace(GOOD[kind], **changes)  # type: ignore[arg-type]


def images(count: int, **changes: object) -> tuple[Tensor, ...]:
    return (dataclasses.replace(IMAGE, **changes),) * count  # type: ignore[arg-type]


# (operator, machine, rule, value, limit)
CASES: list[tuple[Operator, Architecture, str, Scalar, Scalar]] = [
    (broken("add", output=Tensor(IMAGE.shape, "float32")), ARCH, "quantised", "float32", "int8"),
    (broken("conv2d", inputs=images(1, dtype="uint8")), ARCH, "int8_data", "uint8", "int8"),
    (broken("dense", weight=np.ones((3, 16), np.int16)), ARCH, "int8_data", "int16", "int8"),
    (broken("clip", inputs=images(1, shape=(None, 4, 8, 8))), ARCH, "static_shapes", "?x4x8x8", "static sizes"),
    (broken("reshape", output=Tensor((4, 8, 8))), ARCH, "tensor_rank", "4x8x8", "rank 2 or 4"),
    (broken("reshape", output=Tensor((0, 256))), ARCH, "tensor_rank", "0x256", "rank 2 or 4"),
    (broken("dense", weight=None), ARCH, "constant_weights", "computed", "constant"),
    (broken("add", inputs=(IMAGE, Tensor(IMAGE.shape, constant=True))), ARCH, "computed_operands", "constant", "activation"),
    (broken("conv2d", layouts=("NHWC", "HWIO", "")), ARCH, "nchw_layout", "NHWC", "NCHW, OIHW"),
    (broken("max_pool2d", layouts=("NCHW4c",)), ARCH, "nchw_layout", "NCHW4c", "NCHW, OIHW"),
    (broken("resize2d", layouts=("NHWC",)), ARCH, "nchw_layout", "NHWC", "NCHW, OIHW"),
    (broken("conv2d_transpose", layouts=("NHWC", "HWOI", "")), ARCH, "nchw_layout", "NHWC", "NCHW, OIHW"),
    (broken("conv2d_transpose", weight=None), ARCH, "constant_weights", "computed", "constant"),
    (broken("conv2d_transpose", window=Window((2, 2), dilation=(1, 2))), ARCH, "interleaved_results", "dilation 1x2", "1x1"),
    (broken("conv2d_transpose", window=Window((2, 2), (1, 16384))), ARCH, "interleaved_results", "out_pixel_stride 65536", 65535),
    (broken("conv2d_transpose", window=Window((65536, 2), (2, 2))), ARCH, "window_fields", "kernel_h 65536", 65535),
    (broken("conv2d_transpose", rescales=BY_CHANNEL), CUTS, "per_tensor_scales", "0.0625..0.5", "one scale"),
    (broken("resize2d", factors=None), ARCH, "repeated_pixels", "interpolated, or other pixels", "each pixel repeated"),
    (broken("resize2d", factors=(1, 16384)), ARCH, "blocks_of_pixels", "out_pixel_stride 65536", 65535),
    (broken("depth_to_space", factors=(1, 65536)), ARCH, "blocks_of_pixels", "out_pixel_stride 65536", 65535),
    (broken("depth_to_space", layouts=("NHWC",)), ARCH, "nchw_layout", "NHWC", "NCHW, OIHW"),
    (broken("conv2d", zero_points=(0, 3)), ARCH, "zero_points", 3, 0),
    (broken("add", zero_points=(0, None, 0)), ARCH, "zero_points", "computed", 0),
    (broken("conv2d", rescales=(Rescale((0.25, 0.5), (1.0,)),)), ARCH, "per_tensor_scales", "0.25..0.5", "one scale"),
    (broken("conv2d", rescales=(Rescale((0.25, 0.5), (1.0,)),)), CUTS, "per_tensor_scales", "0.25..0.5", "one scale"),
    (broken("dense", rescales=(Rescale((0.25, 0.5, 1.0), (1.0,)),)), CUTS, "per_tensor_scales", "0.25..1", "one scale"),
    (broken("conv2d", rescales=(Rescale((0.25, 0.5, 0.3, 1.0), (1.0,)),)), CUTS, "power_of_two_scales", 0.3, 0.25),
    (broken("conv2d", rescales=(Rescale((0.25, 0.5, 1.0, 2.0), (1.0,)),)), CUTS, "shift_range", -1, "0..16"),
    (broken("conv2d", rescales=BY_CHANNEL, before=(0, 128)), CUTS, "whole_bounds", "0..8, 0..16, 0..32, 0..64", SAME),
    (broken("conv2d", rescales=BY_CHANNEL, bias=np.full(4, 2**16 - 4, np.int32)), CUTS, "bias_fits", 2**16 + 4, 2**16 - 1),
    (broken("dense", rescales=(Rescale((), (1.0,)),)), ARCH, "per_tensor_scales", "computed", "one scale"),
    (broken("dense", rescales=(Rescale((0.3,), (1.0,)),)), ARCH, "power_of_two_scales", 0.3, 0.25),
    (broken("conv2d", rescales=(Rescale((2.0,), (1.0,)),)), ARCH, "shift_range", -1, "0..16"),
    (broken("add", rescales=(Rescale((1.0,), (2.0**17,)),) * 2), ARCH, "shift_range", 17, "0..16"),
    (broken("add", rescales=(Rescale((1.0,), (16.0,)),) * 2), Architecture(acc_bits=4), "shift_range", 4, "0..3"),
    (GOOD["dense"], Architecture(cut_overflow=CutOverflow.WRAP), "saturating_cut", "wrap", "saturate"),
    (GOOD["add"], Architecture(rounding=Rounding.TRUNCATE), "rounding_mode", "truncate", "half_up"),
    (broken("clip", after=(5, 3)), ARCH, "whole_bounds", "5..3", "whole numbers"),
    (broken("conv2d", before=None), ARCH, "whole_bounds", "no such bounds", "whole numbers"),
    (GOOD["max_pool2d"], Architecture(data_bits=7), "data_width", "-128..127", "-64..63"),
    (GOOD["lookup"], Architecture(data_bits=7, activation_table=1), "data_width", "-128..127", "-64..63"),
    (GOOD["lookup"], ARCH, "activation_table", "a function of single numbers", "activation_table = 1"),
    (broken("conv2d", bias=None), ARCH, "constant_bias", NO_BIAS, "one whole number per channel"),
    (broken("conv2d", bias=np.full(4, 2**16, np.int32)), ARCH, "bias_fits", 2**16 + 32, 2**16 - 1),
    (broken("add", inputs=(IMAGE, Tensor((1, 4, 1, 1)))), ARCH, "equal_shapes", "1x4x8x8 and 1x4x1x1", "equal shapes"),
    (broken("sub", inputs=(IMAGE, Tensor((1, 4, 1, 1)))), ARCH, "equal_shapes", "1x4x8x8 and 1x4x1x1", "equal shapes"),
    (broken("sub", rescales=(Rescale((1.0,), (64.0,)),) * 2), Architecture(acc_bits=8), "inverted_operand_fits", -193, -128),
    (broken("max", inputs=(IMAGE, Tensor((1, 4, 1, 1)))), ARCH, "equal_shapes", "1x4x8x8 and 1x4x1x1", "equal shapes"),
    (broken("max", output=Tensor((1, 32768, 8, 8))), ARCH, "side_by_side", "in_pixel_stride 65536", 65535),
    (GOOD["min"], Architecture(acc_bits=8), "inverted_operand_fits", -129, -128),
    (broken("mul", inputs=(IMAGE, IMAGE)), ARCH, "one_factor_for_each_channel", "1x4x8x8 and 1x4x8x8", TO_CHANNELS),
    (broken("mul", inputs=(IMAGE, Tensor((1, 1, 1, 1)))), ARCH, "one_factor_for_each_channel", "1x4x8x8 and 1x1x1x1", TO_CHANNELS),
    (broken("mul", inputs=(Tensor((1, 4)), PIXEL)), ARCH, "one_factor_for_each_channel", "1x4 and 1x4x1x1", TO_CHANNELS),
    (broken("mul", inputs=(IMAGE, Tensor(PIXEL.shape, constant=True))), ARCH, "computed_operands", "constant", "activation"),
    (broken("mul", rescales=(Rescale((2.0**-12,), (2.0**-13,)),)), ARCH, "shift_range", -1, "0..16"),
    (GOOD["mul"], Architecture(acc_bits=15), "products_fit", 2**14 + 32, 2**14 - 1),
    (broken("mul", after=(-128, 127)), Architecture(data_bits=7), "data_width", "-128..127", "-64..63"),
    (broken("concat", axis=0), ARCH, "channel_axis", "axis 0", "1, 2, 3"),
    (broken("take", axis=2), ARCH, "channel_axis", "axis 2", "1"),
    (broken("take", channels=None), ARCH, "constant_channels", "computed, or no list", "constant"),
    (broken("reshape", output=Tensor((2, 128))), ARCH, "batch_stays", 2, 1),
    (broken("strided_slice", channels=None), ARCH, "constant_channels", "computed, or no list", "constant"),
    (broken("strided_slice", window=None), ARCH, "every_nth_pixel", "images, or counted backwards", "every n-th row or column"),
    (broken("strided_slice", window=Window((1, 1), (65536, 1))), ARCH, "window_fields", "stride_h 65536", 65535),
    (broken("pad", pad_value=1.5), ARCH, "constant_padding", 1.5, "-128..127"),
    (broken("pad", pad_value=-100), Architecture(data_bits=7), "constant_padding", -100, "-64..63"),
    (broken("pad", pad_value=None), ARCH, "constant_padding", "computed", "-128..127"),
    (broken("conv2d", window=None), ARCH, "constant_padding", "padding of images, or negative", "channels, rows and columns"),
    (broken("conv2d", window=Window((3, 65536))), ARCH, "window_fields", "kernel_w 65536", 65535),
    (broken("max_pool2d", window=Window((2, 2), (65536, 2))), ARCH, "window_fields", "stride_h 65536", 65535),
    (broken("max_pool2d", window=Window((2, 2), (0, 2))), ARCH, "window_fields", "stride_h 0", 1),
    (broken("conv2d", window=Window((3, 3), dilation=(1, 256))), ARCH, "window_fields", "dilation_w 256", 255),
    (broken("pad", window=Window((1, 1), padding=(65536, 0, 0, 0))), ARCH, "window_fields", "pad_top 65536", 65535),
    (broken("clip", inputs=images(1, shape=(1, 65536, 1, 1))), ARCH, "size_fields", "in_c 65536", 65535),
    (broken("max_pool2d", inputs=images(1, shape=(1, 1, 2, 70000))), ARCH, "size_fields", "in_w 70000", 65535),
    (broken("dense", inputs=(Tensor((65536, 16)),)), ARCH, "size_fields", "n 65536", 65535),
    (broken("dense", output=Tensor((2, 65536))), ARCH, "size_fields", "out_c 65536", 65535),
    (broken("clip", inputs=images(1, shape=(1, 1024, 2, 8)), output=Tensor((1, 1024, 2, 8))), SMALL, "fits_sram", 3264, 1024),
    (broken("lookup", inputs=images(1, shape=(1, 256, 2, 8)), output=Tensor((1, 256, 2, 8))),
     Architecture(sram_bytes=1024, activation_table=1), "fits_sram", 1216, 1024),
]  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: f"{case[2]} {case[3]}")
def test_a_rule_names_the_value_and_the_limit(case: tuple[Operator, Architecture, str, Scalar, Scalar]) -> None:
    op, arch, rule, value, limit = case
    found = rules.check(op, arch)
    assert found is not None
    assert (found.rule, found.value, found.limit) == (rule, value, limit)
    assert found.reason == rules.reason(getattr(rules, rule))


@pytest.mark.parametrize("kind", KINDS)
def test_what_the_cases_are_made_of_breaks_none(kind: str) -> None:
    assert rules.check(GOOD[kind], LOOKING) is None


def test_a_scale_for_each_channel_needs_a_cut_for_each() -> None:
    assert rules.check(broken("conv2d", rescales=BY_CHANNEL, before=(0, 2**31 - 1)), CUTS) is None


FOREIGN = {
    "host_boundary": foreign("q", "qnn.quantize", ["float32", "int8"], False),
    "requantised": foreign("c", "qnn.conv2d", ["int8", "int32"], True),
    "quantised": foreign("s", "nn.softmax", ["float32"], False),
    "exact_average": foreign("a", "nn.avg_pool2d", ["int8"], False),
    "known_operator": foreign("t", "transpose", ["int8"], False),
    "worthwhile": kept("r", "reshape", None),
    "enough_work": kept("p", "max_pool2d", small(64, 80)),
}


@pytest.mark.parametrize("rule", FOREIGN)
def test_what_matched_no_form_or_is_not_worth_it_has_a_rule_too(rule: str) -> None:
    row = FOREIGN[rule]
    assert (row.rule, row.reason, row.offloaded) == (rule, rules.reason(getattr(rules, rule)), False)
    assert row.value is not None and row.limit is not None


@pytest.mark.parametrize("inputs", [(PIXEL, IMAGE), (PIXEL, PIXEL), (FLAT, FLAT)], ids=str)
def test_either_operand_may_have_a_factor_for_each_channel(inputs: tuple[Tensor, Tensor]) -> None:
    assert rules.check(broken("mul", inputs=inputs, output=inputs[1]), ARCH) is None


def test_a_product_of_bytes_may_fill_the_accumulator_with_its_half() -> None:
    most = broken("mul", rescales=(Rescale((2.0**-20,), (2.0**-6,)),))  # -128 * -128 and a half of 2**13
    found = rules.check(most, Architecture(acc_bits=16))
    assert found is None
    found = rules.check(broken("mul", rescales=(Rescale((2.0**-21,), (2.0**-6,)),)), Architecture(acc_bits=16))
    assert found is not None and (found.rule, found.value) == ("products_fit", 2**15)


def test_every_rule_is_provoked() -> None:
    """A new rule needs a case."""
    functions = {
        name
        for name, function in inspect.getmembers(rules, inspect.isfunction)
        if function.__module__ == rules.__name__ and not name.startswith("_")
    }
    declared = functions - NO_RULES
    assert {rule.__name__ for _, rule in rules.RULES} <= declared
    assert {case[2] for case in CASES} | FOREIGN.keys() == declared
    assert {case[2] for case in CASES} == {rule.__name__ for _, rule in rules.RULES}
