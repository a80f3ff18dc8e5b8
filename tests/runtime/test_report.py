"""The report: every cycle and every joule belongs to one layer, and the layers add up to the whole."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
import pytest

from tests.codegen.networks import random_graph
from tests.runtime.programs import random_input, random_program
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.compiler import compile_graph
from tvm_re2na.codegen.isa import Engine, Instruction, Mode, make
from tvm_re2na.codegen.isa.table import BY_NAME
from tvm_re2na.codegen.program import Program, SourceOperator
from tvm_re2na.runtime.energy import PARTS, counted, efficiency, energies, peak
from tvm_re2na.runtime.instructions import Operands, meaning
from tvm_re2na.runtime.library import Simulator
from tvm_re2na.runtime.losses import Usage, largest_loss, usages
from tvm_re2na.runtime.report import compile_report
from tvm_re2na.runtime.timeline import CAUSES, Share, pieces, shares
from tvm_re2na.runtime.timing import timing as timing_by_the_reference

ARRAY, LOAD, STORE = (1 << Engine.ARRAY, 1 << Engine.LOAD, 1 << Engine.STORE)


def compiled(seed: int) -> Program:
    """A random network on a random small machine, batch included."""
    rng = np.random.default_rng(seed)
    arch = Architecture(
        array_rows=int(rng.choice([16, 64])),
        sram_bytes=int(rng.choice([24 * 1024, 256 * 1024])),
        dram_bytes_per_cycle=int(rng.choice([1, 8, 24])),
        sram_bytes_per_cycle=int(rng.choice([64, 4096])),
        mac_interval=int(rng.choice([1, 5])),
        clock_mhz=int(rng.choice([7, 200])),
    )
    return compile_graph(random_graph(rng, 7), arch)


PROGRAMS = [random_program(seed, length=8) for seed in range(40)] + [compiled(seed) for seed in range(12)]


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_the_timeline_has_no_gap_and_no_overlap(program: Program) -> None:
    timing = Simulator(program).timing
    now = 0
    for piece in pieces(program, timing):
        assert piece.start == now
        assert piece.cycles >= 0
        now += piece.cycles
    assert now == timing.cycles


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_waits_end_with_what_they_wait_for(program: Program) -> None:
    """The spans say it independently: a wait ends when a transfer of that engine has finished, and not before the array starts."""
    timing = Simulator(program).timing
    finishes: dict[str, set[int]] = {"wait_load": set(), "wait_store": set()}
    busy = 0
    for at, span in zip(program.instructions, timing.instructions, strict=True):
        if at.engine is Engine.ARRAY:
            busy += span.finish - span.start
        else:
            finishes[f"wait_{at.name.lower()}"].add(span.finish)
    waited = 0
    for piece in pieces(program, timing):
        if piece.cause in finishes:
            waited += piece.cycles
            assert piece.start + piece.cycles in finishes[piece.cause]
    assert busy + waited == timing.cycles
    for share in shares(program, timing):
        assert sum(share.bus.values()) == share.causes["wait_load"]
        assert min(share.bus.values()) >= 0


def transfer(name: str, dram: int, size: int, source: int, **tokens: int) -> object:
    strides = {f"{memory}_{step}_stride": 0 for memory in ("dram", "sram") for step in ("row", "plane")}
    at = make(name, source, dram_addr=dram, sram_addr=0, bytes=size, rows=1, planes=1, **strides)
    return at.with_tokens(tokens.get("wait", 0), tokens.get("signal", 0))


def by_hand() -> Program:
    """Weights and inputs come, a pooling and an addition wait for them in turn, results go: durations that are easy to follow."""
    arch = Architecture(
        **{"dram_bytes_per_cycle": 1, "dram_latency": 10, "reconfigure_cycles": 5, "array_fill_cycles": 2},
        **{"array_rows": 4, "array_columns": 4, "sram_bytes_per_cycle": 16, "alu_interval": 3},
    )
    eltwise = dict.fromkeys(("a_addr", "b_addr", "out_addr", "shift_a", "shift_b", "unary"), 0) | {"lo": 0, "hi": 9}
    body = [
        transfer("LOAD", 0, 20, 0, signal=ARRAY),  # weights: 0..20, there at 30
        transfer("LOAD", 64, 40, 1, signal=ARRAY),  # inputs: 20..60, there at 70
        make("RECONFIGURE", 0, mode=Mode.ELTWISE, rows=4),  # 0..5
        make("ELTWISE", 0, bytes=16, **eltwise).with_tokens(LOAD, 0),  # 30..39: fill 2, work 6, leave 1
        make("ELTWISE", 1, bytes=16, **eltwise).with_tokens(LOAD, STORE),  # 70..79
        transfer("LOAD", 0, 30, 2),  # 60..90, nobody waits for it
        transfer("STORE", 128, 7, 2, wait=ARRAY),  # 90..97, over at 107
        make("HALT"),
    ]
    sources = tuple(SourceOperator(name, "add", 0) for name in ("first", "second", "third"))
    return dataclasses.replace(
        random_program(0), arch=arch, constants=bytes(64), instructions=tuple(body), sources=sources, meta={}
    )


def test_causes_by_hand() -> None:
    """The gap before the second addition is the inputs' 21 cycles on the bus from 39 to 60, and 10 of latency; that the bus brings
    something else meanwhile does not count."""
    program = by_hand()
    times = timing_by_the_reference(program)
    assert [span.finish for span in times.instructions] == [30, 70, 5, 39, 79, 100, 107, 107]
    found = shares(program, times)
    none = dict.fromkeys(CAUSES, 0)
    assert found[0].causes == none | {"reconfigure": 5, "wait_load": 25, "alu": 6, "overhead": 3}
    assert found[0].bus == {"weights": 15, "inputs": 0, "results": 0, "latency": 10}
    assert found[1].causes == none | {"wait_load": 31, "alu": 6, "overhead": 3}
    assert found[1].bus == {"weights": 0, "inputs": 21, "results": 0, "latency": 10}
    assert found[2].causes == none | {"wait_store": 28}


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_layers_add_up_to_the_total(program: Program) -> None:
    report = compile_report([program])
    layers, total, batch = report["layers"], report["total"], program.inputs[0].shape[0]
    assert total["cycles"] == Simulator(program).timing.cycles // batch
    for name in ("macs", "cycles", "dram_bytes", "dram_bytes_compulsory"):
        assert sum(layer[name] for layer in layers) == total[name]
    for cause in CAUSES:
        assert sum(layer["causes"][cause] for layer in layers) == total["causes"][cause]
    for layer in (*layers, total):
        assert sum(layer["causes"].values()) == layer["cycles"]
        assert min(layer["causes"].values()) >= 0
    for part in PARTS:
        assert sum(round(1000 * layer["energy_pj"][part]) for layer in layers) == round(1000 * total["energy_pj"][part])
    everything = sum(total["energy_pj"].values())
    assert total["milliwatts"] * total["microseconds"] * 1000 == pytest.approx(everything)
    assert total["tops_per_watt"] * everything == pytest.approx(2 * total["macs"])


@pytest.mark.parametrize("program", PROGRAMS, ids=range(len(PROGRAMS)))
def test_what_is_counted_is_what_the_simulator_executes(program: Program) -> None:
    counters = Simulator(program).run(random_input(program, 1)).counters
    counts = counted(program)
    assert [(count.macs, count.dram) for count in counts] == [(item.macs, item.dram_bytes) for item in counters.sources]
    total = sum(counts, Operands())
    assert (total.macs, total.dram) == (counters.total.macs, counters.total.dram_bytes)


def operands(arch: Architecture, at: Instruction) -> Operands:
    return meaning(at).operands(arch, at)


def test_operands_by_hand() -> None:
    arch = Architecture(array_rows=4, array_columns=4, sram_bytes=4096)
    names = ("in_addr", "weight_addr", "bias_addr", "out_addr", "lsb", "lo", "hi", "pad_top", "pad_left")
    names += tuple(f"{side}_{step}_stride" for side in ("in", "out") for step in ("pixel", "row", "image"))
    conv = dict.fromkeys(names, 0) | dict.fromkeys(("n", "stride_h", "stride_w", "dilation_h", "dilation_w"), 1)
    conv |= {"in_h": 3, "in_w": 3, "in_c": 4, "kernel_h": 3, "kernel_w": 1, "groups": 2, "out_h": 3, "out_w": 3}
    conv |= {"out_c": 4, "rows": 4, "steps": 6}
    # 9 pixels on 4 columns: 3 passes of 6 steps with 4 weights each, 4 biases of 4 bytes; 2 inputs for each pixel and step
    expected = Operands(9 * 4 * 6, 3 * (6 * 4 + 16) + 9 * 6 * 2, 9 * 4)
    assert operands(arch, make("CONV", **conv)) == expected
    # 5 of the 6 steps, whose bitmap takes a byte; a second operand for each of the 36 results
    sparse = make("CONV", **conv | {"steps": 5, "add": 1})
    assert operands(arch, sparse) == Operands(9 * 4 * 5, 3 * (5 * 4 + 16 + 1) + 9 * 5 * 2 + 36, 36)
    # pooled 3 x 1: as many pixels, a third of the results; one window fits the columns at a time, so 3 passes
    pooled = make("CONV", **conv | {"pool_h": 3, "out_h": 1})
    assert operands(arch, pooled) == Operands(9 * 4 * 6, 3 * (6 * 4 + 16) + 9 * 6 * 2, 12)
    dense = dict.fromkeys((*names[:7], "in_image_stride", "out_image_stride"), 0) | {"n": 2, "in_c": 10, "out_c": 3}
    both = make("DENSE", **dense, steps=10, first=1, last=1)
    assert operands(arch, both) == Operands(60, 2 * 10 * 4 + 2 * 3 * 4, 6)
    begun = make("DENSE", **dense, steps=10, first=1, last=0)
    assert operands(arch, begun) == Operands(60, 2 * 10 * 4 + 2 * 3 * 4, 0)
    ended = make("DENSE", **dense, steps=10, first=0, last=1)
    assert operands(arch, ended) == Operands(60, 2 * 10 * 4, 6)
    assert operands(arch, make("DENSE", **dense, steps=9, first=0, last=0)) == Operands(54, 2 * (9 * 4 + 2), 0)
    eltwise = dict.fromkeys(("a_addr", "b_addr", "out_addr", "shift_a", "shift_b", "lo", "hi"), 0) | {"bytes": 50}
    assert operands(arch, make("ELTWISE", **eltwise, unary=0)) == Operands(0, 100, 50)
    assert operands(arch, make("ELTWISE", **eltwise, unary=1)) == Operands(0, 50, 50)
    lookup = {field.name: 0 for field in BY_NAME["LOOKUP"].body} | {"n": 2, "in_c": 5, "out_h": 3, "out_w": 4}
    assert operands(arch, make("LOOKUP", **lookup)) == Operands(0, 256 + 2 * 120, 120)
    assert operands(arch, make("HALT")) == Operands()


def test_energy_is_counts_times_the_table() -> None:
    table = {"mac_energy_fj": 3, "sram_energy_fj": 5, "dram_energy_fj": 7, "idle_power_uw": 11, "clock_mhz": 6}
    arch = Architecture(**table)
    found = energies(arch, [Operands(10, 20, 30, 40), Operands(1, 0, 0, 0)], [5, 4])
    assert found[0] == {"mac": 30, "sram": 250, "dram": 280, "idle": 5 * 11 * 1000 // 6}
    assert found[1] == {"mac": 3, "sram": 0, "dram": 0, "idle": 9 * 11 * 1000 // 6 - 5 * 11 * 1000 // 6}
    assert efficiency(50, 200_000) == pytest.approx(0.5)  # 100 operations for 200 pJ
    assert efficiency(50, 0) == 0


def test_peak_of_the_energy_table() -> None:
    """4,096 MACs of 150 fJ, 128 bytes of 1,000 fJ and 25 ns of 1 mW; docs/energy.md quotes it."""
    found = peak(Architecture())
    assert found["tops_per_watt"] == pytest.approx(8192 / (614.4 + 128 + 25))
    assert found["gops"] == pytest.approx(327.68)
    assert found["milliwatts"] == pytest.approx((614.4 + 128 + 25) / 25)
    quoted = f"{found['tops_per_watt']:.1f} TOPS/W at {found['gops']:.0f} GOPS and {found['milliwatts']:.0f} mW"
    assert quoted in (Path(__file__).parents[2] / "docs" / "energy.md").read_text(encoding="utf-8")
    free = Architecture(mac_energy_fj=0, sram_energy_fj=0, idle_power_uw=0)
    assert peak(free)["milliwatts"] == 0


def loss_of(bound: dict[str, int], macs: int = 100, executed: int = 100, bus: str = "weights", **causes: int) -> object:
    share = Share()
    share.causes |= causes
    share.bus[bus] = causes.get("wait_load", 0)
    usage = Usage(causes.get("mac", 0), 0, [64.0 * 50, 64.0 * 50], [49.0 * 50, 64.0 * 50], {"CONV": 3})
    usage.multiply = 50
    found = largest_loss(share, usage, bound, macs, executed)
    return found.words, found.cycles


def test_losses_in_words() -> None:
    bound = {"compute_bound": 40, "cycles_bound": 60}
    assert loss_of(bound, mac=50) == ("rounding: 64 of 64 rows, 49 of 64 columns used", 10)
    assert loss_of(bound, mac=50, executed=125) == ("computes 25.0% of its MACs twice", 10)
    assert loss_of(bound, mac=50, executed=450) == ("computes its MACs 4.5 times", 10)
    none = ("multiplications, of which the operator itself has none", 50)
    assert loss_of({"compute_bound": 0, "cycles_bound": 9}, macs=0, mac=50) == none
    assert loss_of(bound, mac=40, wait_load=20) == (None, 0)  # what must be transferred takes 60 cycles
    assert loss_of(bound, mac=40, wait_load=29) == ("waiting for loads: weights", 9)
    assert loss_of(bound, mac=40, wait_load=29, bus="inputs") == ("waiting for loads: inputs", 9)
    assert loss_of(bound, mac=40, wait_load=29, overhead=12) == ("fill and drain: 3", 12)
    assert loss_of(bound, mac=40, wait_store=8) == ("waiting for stores", 8)
    assert loss_of(bound, mac=40, reconfigure=64, alu=63) == ("switching the array: 0", 64)
    assert loss_of(bound, mac=40, alu=63) == ("pooling, additions, tables", 63)
    assert loss_of({}, mac=50) == (None, 0)  # an older program does not tell


def test_operands_that_come_too_slowly_are_a_loss() -> None:
    program = by_hand()
    conv = dict.fromkeys(("n", "stride_h", "stride_w", "dilation_h", "dilation_w", "kernel_h", "kernel_w", "groups"), 1)
    conv |= dict.fromkeys(("in_addr", "weight_addr", "bias_addr", "out_addr", "lsb", "lo", "hi", "pad_top"), 0)
    conv |= {f"{side}_{step}_stride": 0 for side in ("in", "out") for step in ("pixel", "row", "image")}
    conv |= {
        "pad_left": 0,
        "in_h": 1,
        "in_w": 4,
        "in_c": 10,
        "out_h": 1,
        "out_w": 4,
        "out_c": 4,
        "rows": 4,
        "steps": 10,
    }
    arch = dataclasses.replace(program.arch, mac_interval=1, sram_bytes_per_cycle=4)
    slow = dataclasses.replace(program, arch=arch, instructions=(make("CONV", 0, **conv),))
    usage, share = usages(slow)[0], Share()
    share.causes["mac"] = 20  # 10 steps of 8 operands, 4 bytes a cycle; the multiplication takes 10
    assert (usage.multiply, usage.starved) == (20, 10)
    found = largest_loss(share, usage, {"compute_bound": 10}, 160, 160)
    assert (found.words, found.cycles) == ("operands from the SRAM take longer than the multiplication", 10)


def test_bounds_and_meta_reach_the_report() -> None:
    program = random_program(9, length=8)
    sources = tuple(SourceOperator(f"op{index}", "conv2d", 2 * index) for index in range(len(program.sources)))
    bound = {"cycles_bound": 10, "dram_bytes_compulsory": 6, "overflow_bound": 5}
    total = {"cycles_bound": 24, "dram_bytes_compulsory": 18, "sram_peak_bytes": 99, "compile_seconds": 0.5}
    program = dataclasses.replace(program, sources=sources, meta={"layers": [bound] * 3, "total": total})
    report = compile_report([program])
    assert [layer["name"] for layer in report["layers"]] == ["op0", "op1", "op2"]
    assert [layer["overflow_bound"] for layer in report["layers"]] == [5, 5, 5]
    expected = {"macs": 3, "cycles_bound": 12, "dram_bytes_compulsory": 9, "sram_peak_bytes": 99}
    expected |= {"compile_seconds": 0.5, "sram_bound_bytes": None}
    assert {name: report["total"][name] for name in expected} == expected
    known = dataclasses.replace(program, meta=program.meta | {"total": total | {"sram_bound_bytes": 77}})
    assert compile_report([program, known])["total"]["sram_bound_bytes"] == 77
    assert compile_report([])["total"]["cycles"] == 0


def test_a_program_without_sources_has_no_layers() -> None:
    program = random_program(3)
    code = tuple(dataclasses.replace(at, source=0) for at in program.instructions)
    assert compile_report([dataclasses.replace(program, instructions=code, sources=())])["layers"] == []
