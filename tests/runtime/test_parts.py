"""Sums in parts along k, parked between them: against plain NumPy, and against the same sums in one part."""

from __future__ import annotations

import dataclasses
import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.runtime.parted import Int8, Layer
from tests.runtime.programs import changed
from tests.runtime.test_kernels import check
from tvm_re2na.codegen.arch import AccOverflow, Architecture, CutOverflow, Rounding
from tvm_re2na.codegen.isa.durations import duration_parts
from tvm_re2na.runtime import hazards, timing
from tvm_re2na.runtime.instructions import Operands, meaning
from tvm_re2na.runtime.library import Simulator, SimulatorError

RNG = np.random.default_rng(22)


def inputs_of(layer: Layer, rng: np.random.Generator = RNG) -> Int8:
    return rng.integers(-128, 128, (*layer.size, layer.weights.shape[2])).astype(np.int8)


def agree(layer: Layer, x: Int8 | None = None, threads: tuple[int, ...] = (1, 2)) -> int:
    """Every kernel, the reference and NumPy; and the sums in one part, unless they clip at each step. Returns the overflows."""
    x = inputs_of(layer) if x is None else x
    program = layer.program()
    hazards.check(program)
    assert Simulator(program).timing == timing.timing(program)
    values = [np.ascontiguousarray(x.transpose(0, 3, 1, 2))]
    results, overflows = layer.expected(x)
    found = check(program, values, threads)
    np.testing.assert_array_equal(found.outputs[0], results)
    assert found.counters.total.overflows == overflows
    if layer.arch.acc_overflow is AccOverflow.WRAP:
        whole = dataclasses.replace(layer, splits=()).program()
        expected = Simulator(whole).run(values)
        np.testing.assert_array_equal(found.outputs[0], expected.outputs[0])
        counted = [at.counters.total for at in (found, expected)]
        assert counted[0].overflows == counted[1].overflows
        assert layer.drop or counted[0].macs == counted[1].macs
    return overflows


def drawn(seed: int) -> Layer:
    """Any convolution, machine and parts, with weights of which some steps are zero for all outputs."""
    rng = np.random.default_rng(seed)

    def pick(*values: int) -> int:
        return int(rng.choice(values))

    rows = pick(4, 16, 64)
    arch = Architecture(
        array_rows=rows,
        array_columns=pick(4, 16, 64),
        sram_bytes=1 << 18,
        acc_bits=int(rng.integers(8, 33)),
        data_bits=pick(8, 8, 5),
        acc_overflow=AccOverflow(int(rng.integers(2))),
        cut_overflow=CutOverflow(int(rng.integers(2))),
        rounding=Rounding(int(rng.integers(2))),
        sram_bytes_per_cycle=pick(1, 7, 64, 4096),
        channel_cuts=1,
    )
    in_c, out_c, kernel = pick(1, 2, 5, 17), pick(1, 3, rows), (pick(1, 2, 3), pick(1, 2, 3))
    window = pick(0, 1) and (pick(1, 2), pick(1, 2))
    weights = rng.integers(-128, 128, (*kernel, in_c, out_c))
    weights *= rng.random((*kernel, in_c, 1)) < pick(0, 1, 1, 2) / 2
    splits = sorted({int(rng.integers(1, in_c)) for _ in range(pick(1, 2, 4))}) if in_c > 1 else []
    layer = Layer(
        arch,
        weights.astype(np.int8),
        rng.integers(-(2**15), 2**15, out_c).astype(np.int32),
        (pick(1, 2, 3), pick(8, 9), pick(8, 11)),
        tuple(splits),
        stride=(pick(1, 2), pick(1, 1, 2)),
        dilation=(pick(1, 2), pick(1, 2)),
        pad=(pick(0, 1), pick(0, 2)),
        pool=window or (1, 1),
        lsbs=tuple(int(lsb) for lsb in rng.integers(0, min(arch.acc_bits, 12), out_c if pick(0, 1) else 1)),
        lo=pick(-128, -128, 0),
        drop=bool(pick(0, 1)),
        late=pick(0, 1, 2) == 0,
    )
    if not window and pick(0, 1):
        layer = dataclasses.replace(layer, operand=rng.integers(-128, 128, layer.shape).astype(np.int8))
    return layer


@settings(max_examples=150, deadline=None)
@given(seed=st.integers(0, 2**32 - 1))
def test_any_convolution_in_parts(seed: int) -> None:
    agree(drawn(seed), inputs_of(drawn(seed), np.random.default_rng(seed)), threads=(1,))


def plain(acc_overflow: AccOverflow = AccOverflow.WRAP, acc_bits: int = 17, **changed: object) -> Layer:
    """3 x 3 over 6 channels to 5, of two images, in three parts."""
    arch = Architecture(sram_bytes=1 << 15, acc_bits=acc_bits, acc_overflow=acc_overflow, channel_cuts=1)
    weights = RNG.integers(-128, 128, (3, 3, 6, 5)).astype(np.int8)
    biases = RNG.integers(-4000, 4000, 5).astype(np.int32)
    layer = Layer(arch, weights, biases, (2, 6, 7), (1, 4), pad=(1, 1))
    return dataclasses.replace(layer, **changed)  # type: ignore[arg-type]


modes = pytest.mark.parametrize("mode", list(AccOverflow))


@modes
@pytest.mark.parametrize("acc_bits", [8, 17, 31, 32])
def test_accumulators(mode: AccOverflow, acc_bits: int) -> None:
    assert (agree(plain(mode, acc_bits)) > 0) == (acc_bits < 31)


@modes
@pytest.mark.parametrize("empty", [(0,), (1,), (2,), (0, 1, 2)])
@pytest.mark.parametrize("drop", [False, True])
def test_parts_without_weights(mode: AccOverflow, empty: tuple[int, ...], drop: bool) -> None:
    """All of a part's weights are zero, or its steps are all dropped."""
    layer = plain(mode, drop=drop)
    weights = layer.weights.copy()
    for part in empty:
        weights[:, :, slice(*layer.parts[part])] = 0
    agree(dataclasses.replace(layer, weights=weights))


@modes
@pytest.mark.parametrize("late", [False, True])
def test_one_pixel_and_one_channel(mode: AccOverflow, late: bool) -> None:
    weights = np.array([100, -3], np.int8).reshape(1, 1, 2, 1)
    layer = plain(mode, weights=weights, biases=np.array([7], np.int32), size=(1, 1, 1), splits=(1,), pad=(0, 0))
    agree(dataclasses.replace(layer, late=late))


@modes
@pytest.mark.parametrize("late", [False, True])
def test_what_results_and_sums_may_overwrite(mode: AccOverflow, late: bool) -> None:
    """Sums are read where the output goes; and parked, by the last part but one, over its weights and its inputs."""
    free = plain(mode).program()
    conv = [at for at in free.instructions if at.name == "CONV"]
    for place in (conv[0]["sum_addr"], conv[0]["sum_addr"] + 3):
        agree(plain(mode, late=late, place={"out": place}))
    two = plain(mode, late=late, splits=(3,))
    for place in (conv[0]["weight_addr"], conv[0]["in_addr"] - 7):
        program = dataclasses.replace(two, place={"sums": place}).program()
        x = inputs_of(two)
        check(program, [np.ascontiguousarray(x.transpose(0, 3, 1, 2))])


@pytest.mark.parametrize("pool", [(1, 1), (2, 2), (1, 3)])
def test_parts_that_threads_share(pool: tuple[int, int]) -> None:
    weights = RNG.integers(-128, 128, (3, 3, 24, 40)).astype(np.int8)
    layer = plain(weights=weights, biases=np.arange(40, dtype=np.int32), size=(2, 12, 12), splits=(8, 16), pool=pool)
    arch = dataclasses.replace(layer.arch, sram_bytes=1 << 18)
    agree(dataclasses.replace(layer, arch=arch), threads=(1, 2, 5))


def test_parts_that_share_weights_and_what_lies_at_bias_addr() -> None:
    """One reads biases there, the other LSBs; neither may get what was packed for the other."""
    layer = plain(lsbs=(1, 2, 3, 4, 5), splits=(3,))
    program = layer.program()
    first, second = (i for i, at in enumerate(program.instructions) if at.name == "CONV")
    shared = {name: program.instructions[first][name] for name in ("weight_addr", "bias_addr")}
    check(changed(program, second, **shared), [np.ascontiguousarray(inputs_of(layer).transpose(0, 3, 1, 2))])


EDGES = {"positive": (2**30 - 1, 2**30, 2**31 - 1), "negative": (-(2**30), -(2**30) - 1, -(2**31))}


@modes
@pytest.mark.parametrize("sign", EDGES)
@pytest.mark.parametrize("acc_bits", [17, 31, 32])
def test_parked_sums_at_the_edge_of_32_bits(mode: AccOverflow, acc_bits: int, sign: str) -> None:
    """The last part alone goes on from what lies there: sums beyond those that kernels form in 32 bits among small ones."""
    layer = plain(mode, acc_bits, splits=(), pad=(0, 0), size=(2, 3, 5), weights=np.full((3, 3, 6, 5), 127, np.int8))
    program = layer.program()
    index = next(i for i, at in enumerate(program.instructions) if at.name == "CONV")
    sums = np.array([*EDGES[sign], *EDGES[sign], *range(24)], "<i4")  # two images of three pixels
    constants = sums.tobytes() + program.constants[sums.nbytes :]
    weights = program.instructions[index]["weight_addr"]
    assert weights < sums.nbytes < len(constants)  # the first weights are bytes of these
    program = dataclasses.replace(changed(program, index, first=0, sum_addr=0), constants=constants)
    for value in (-128, 127, 0):
        x = np.full((2, 6, 3, 5), value, np.int8)
        lines = np.frombuffer(constants, np.int8)[weights : weights + 54 * 5].reshape(54, 5).astype(np.int64)
        low, high = -(1 << (acc_bits - 1)), (1 << (acc_bits - 1)) - 1
        exact = sums.astype(np.int64).reshape(6, 5)
        if mode is AccOverflow.WRAP:
            exact = exact + value * lines.sum(axis=0)
            overflows = int(((exact < low) | (exact > high)).sum())
        else:
            exact, overflows = exact.clip(low, high), 0
            for line in lines:
                total = exact + value * line
                exact = total.clip(low, high)
                overflows += int((total != exact).sum())
        found = check(program, [x], threads=(1,))
        assert found.counters.total.overflows == overflows
        expected = (((exact - low) % (1 << acc_bits) + low) >> 4).clip(-128, 127)
        np.testing.assert_array_equal(found.outputs[0].transpose(0, 2, 3, 1).reshape(6, 5), expected)


@pytest.mark.parametrize("acc_bits", [17, 32])
def test_sums_that_leave_32_bits_keep_their_bits(acc_bits: int) -> None:
    """Each part adds 2**29 and more; what is counted is the sum of the last part and the 32 bits it goes on from."""
    arch = Architecture(sram_bytes=1 << 20, acc_bits=acc_bits)
    channels = 40_000
    weights = np.full((1, 1, channels, 1), -128, np.int8)
    for parts in (2, 4, 6):
        splits = tuple(channels * part // parts for part in range(1, parts))
        layer = Layer(arch, weights, np.array([2**31 - 1], np.int32), (1, 1, 1), splits, lsbs=(acc_bits - 8,))
        x = np.full((1, channels, 1, 1), -128, np.int8)
        found = check(layer.program(), [x], threads=(1,))
        total = 2**31 - 1 + channels * 2**14
        last = (total - (channels - splits[-1]) * 2**14 + 2**31) % 2**32 - 2**31 + (channels - splits[-1]) * 2**14
        limit = 1 << (acc_bits - 1)
        assert found.counters.total.overflows == int(not -limit <= last < limit)
        bits = (total + limit) % (2 * limit) - limit
        assert int(found.outputs[0][0, 0, 0, 0]) == bits >> (acc_bits - 8)


def test_a_part_of_more_steps_than_32_bits_hold() -> None:
    weights = RNG.choice(np.array([-128, 127], np.int8), (1, 1, 65_535, 2))
    arch = Architecture(sram_bytes=1 << 20, acc_bits=32, array_rows=64)
    layer = Layer(arch, weights[:, :, :40_000], np.array([5, -5], np.int32), (1, 1, 1), (10,), lsbs=(20,))
    agree(layer, np.full((1, 1, 1, 40_000), -128, np.int8))
    rows = np.concatenate([weights, weights])  # two rows of the kernel: 131,060 steps in the second part
    agree(dataclasses.replace(layer, weights=rows, size=(1, 2, 1)), np.full((1, 2, 1, 65_535), -128, np.int8))


def test_parts_may_be_rows_of_the_kernel() -> None:
    """Without padding: each reads the input from another row on."""
    layer = plain(splits=(), pad=(0, 0))
    whole = layer.program()
    index = next(i for i, at in enumerate(whole.instructions) if at.name == "CONV")
    at, line = whole.instructions[index], 3 * 6 * 5
    parts = []
    for row in range(3):
        values = {"kernel_h": 1, "steps": 18, "in_h": at["in_h"] - row, "weight_addr": at["weight_addr"] + row * line}
        values |= {"in_addr": at["in_addr"] + row * at["in_row_stride"], "sum_addr": 1 << 14}
        parts.append(changed(whole, index, **values, first=int(row == 0), last=int(row == 2)).instructions[index])
    parts = [part.with_tokens(0, at.signal if i == 2 else 0) for i, part in enumerate(parts)]
    code = (*whole.instructions[:index], *parts, *whole.instructions[index + 1 :])
    x = [np.ascontiguousarray(inputs_of(layer).transpose(0, 3, 1, 2))]
    found, expected = check(dataclasses.replace(whole, instructions=code), x), Simulator(whole).run(x)
    np.testing.assert_array_equal(found.outputs[0], expected.outputs[0])
    assert found.counters.total == expected.counters.total


# ---- what is asked of a part


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"first": 0, "groups": 2}, r"groups = 2 is outside 1\.\.1"),
        ({"last": 0, "groups": 2}, r"groups = 2 is outside 1\.\.1"),
        ({"first": 0, "sum_addr": 2**32 - 1}, "parked sums at SRAM bytes 4294967295"),
        ({"last": 0, "sum_addr": (1 << 15) - 1679}, r"parked sums at SRAM bytes 31089\.\.32769, the SRAM has 32768"),
    ],
)
def test_what_a_part_must_keep_to(values: dict[str, int], message: str) -> None:
    program = plain(splits=()).program()
    index = next(i for i, at in enumerate(program.instructions) if at.name == "CONV")
    with pytest.raises(SimulatorError, match=message):
        Simulator(changed(program, index, **values))


def test_what_a_part_does_not_touch_may_lie_anywhere() -> None:
    """Biases of a part that goes on, output and operand of one that parks its sums, and the sums of one that does neither."""
    program, far = plain(operand=None).program(), 2**32 - 1
    places = [i for i, at in enumerate(program.instructions) if at.name == "CONV"]
    other = changed(program, places[0], out_addr=far, add_addr=far, add=1)
    other = changed(other, places[1], bias_addr=far, out_addr=far, out_row_stride=far)
    other = changed(other, places[2], bias_addr=far)
    x = [np.ascontiguousarray(inputs_of(plain()).transpose(0, 3, 1, 2))]
    np.testing.assert_array_equal(check(other, x).outputs[0], Simulator(program).run(x).outputs[0])
    whole = plain(splits=()).program()
    Simulator(changed(whole, places[0], sum_addr=far))


# ---- what it costs


def test_cycles_by_hand() -> None:
    """100 pixels on 64 columns are two passes, of 64 and 36; 5 outputs of 4 bytes each, 7 bytes a cycle."""
    arch = Architecture(sram_bytes_per_cycle=7, mac_interval=1)
    fields = {"n": 1, "out_h": 10, "out_w": 10, "rows": 64, "out_c": 5, "groups": 1, "steps": 9}
    operands, sums = 2 * 9 * (5 + 64), 4 * 5
    for first, last in itertools.product((0, 1), repeat=2):
        parts = duration_parts(arch, "CONV", fields | {"first": first, "last": last})
        moving = (2 - first - last) * sums * 36
        assert parts["mac"] == max(2 * 9, -(-(operands + moving) // 7))
        assert parts["enter"] == (0 if first else -(-sums * 64 // 7))
        assert parts["leave"] == -(-(5 if last else sums) * 64 // 7)
        together = sum(parts[name] for name in ("enter", "mac", "path", "leave"))
        assert parts["cycles"] == arch.array_fill_cycles + together + arch.mac_latency
    one = duration_parts(arch, "CONV", fields | {"out_h": 1, "first": 0, "last": 0})
    assert one["mac"] == -(-9 * (5 + 10) // 7)  # nothing moves while a single pass computes
    pooled = duration_parts(arch, "CONV", fields | {"pool_h": 2, "pool_w": 2, "last": 0})
    assert (pooled["path"], pooled["leave"]) == (0, -(-sums * 4 * 16 // 7))


def test_energy_counts_what_is_read_and_written() -> None:
    layer = plain(lsbs=(1, 2, 3, 4, 5))
    program = layer.program()
    counted = [meaning(at).operands(layer.arch, at) for at in program.instructions if at.name == "CONV"]
    passes, pixels = 2, 2 * 6 * 7
    sums = 4 * pixels * 5
    expected = []
    for channels, (first, last) in zip((1, 3, 2), ((1, 0), (0, 0), (0, 1)), strict=True):
        steps = 9 * channels
        read = passes * (steps * 5 + 20 * first + 5 * last) + pixels * steps + (0 if first else sums)
        expected.append(Operands(pixels * 5 * steps, read, pixels * 5 if last else sums))
    assert counted == expected
