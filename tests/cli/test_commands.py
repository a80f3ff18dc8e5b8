"""What the commands print, write and return when all is well."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import onnx
import pytest

from tests.cli.conftest import Command
from tests.counting import counted
from tests.runtime import oracle
from tests.runtime.trace_reader import read_file, read_trace
from tvm_re2na import __version__
from tvm_re2na.cli.outputs import first_and_last
from tvm_re2na.codegen import compiler
from tvm_re2na.codegen.compiler import PASSES
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime.library import LoadedProgram, Simulator

pytestmark = pytest.mark.usefixtures("shared")  # LeNet-5 is compared again and again

NUMBER = (int, float)
TRAFFIC = {"regions": int, "crossing_bytes": int, "network_dram_bytes_compulsory": int, "network_dram_ratio": float}
COMPARISON = {
    "images": int,
    "float": {"top1": float, "top5": float},
    "onnx_runtime_int8": {"top1": float, "top5": float, "snr_db": (float, type(None))},
    "cpu_int8": {"top1": float, "top5": float, "snr_db": (float, type(None))},
    "re2na": {
        "top1": float,
        "top5": float,
        "snr_db": (float, type(None)),
        "overflows": int,
        "cycles": NUMBER,
        "milliseconds": float,
        "utilisation": float,
        "dram_bytes": NUMBER,
    },
    "agreement": float,
    "bit_identical": bool,
    "offloaded_macs_share": float,
    **TRAFFIC,
    "scores": str,
    "second_opinion": {"images": int, "operators": int, "agrees": bool, "parting": list},
}
CAUSES = dict.fromkeys(("mac", "overhead", "reconfigure", "alu", "wait_load", "wait_store"), int)
ENERGY = dict.fromkeys(("mac", "sram", "dram", "idle"), NUMBER)
LAYER = {
    "name": str,
    "op": str,
    "macs": int,
    "cycles": int,
    "cycles_bound": int,
    "dram_bytes": int,
    "dram_bytes_compulsory": int,
    "utilisation": float,
    "overflow_bound": int,
    "causes": CAUSES,
    "causes_beyond": CAUSES,
    "energy_pj": ENERGY,
    "loss": (str, type(None)),
    "loss_cycles": int,
}
TOTAL = {
    "macs": int,
    "cycles": int,
    "cycles_bound": int,
    "dram_bytes": int,
    "dram_bytes_compulsory": int,
    "dram_bytes_bound": int,
    **TRAFFIC,
    "sram_peak_bytes": int,
    "sram_bound_bytes": (int, type(None)),
    "compile_seconds": float,
    "causes": CAUSES,
    "energy_pj": ENERGY,
    "utilisation": float,
    "microseconds": float,
    "tops_per_watt": float,
    "tops_per_watt_without_dram": float,
    "milliwatts": float,
}


def check(value: object, contract: object, where: str = "") -> None:
    """Exactly the keys and types of the contract."""
    if isinstance(contract, dict):
        assert isinstance(value, dict) and value.keys() == contract.keys(), where
        for key, part in contract.items():
            check(value[key], part, f"{where}.{key}")
    else:
        assert isinstance(value, contract), f"{where} = {value!r}"


def test_compare_json(re2na: Command, quantized: Path, demo_data: Path) -> None:
    found = re2na("compare", quantized, "--data", demo_data / "mnist_test1000.npz", "--limit", 50, "--json")
    assert found.code == 0, found.stderr
    check(found.json, COMPARISON)
    assert found.json["images"] == 50
    assert found.json["bit_identical"] is True
    assert found.json["re2na"]["overflows"] == 0
    assert found.json["offloaded_macs_share"] == 1.0


def test_compare_of_a_float_model_in_batches(re2na: Command, small_float: tuple[Path, Path]) -> None:
    model, data = small_float
    arguments = ("--data", data, "--calibration", data, "--batch", 8, "--limit", 20)
    found = re2na("compare", model, *arguments, "--calibration-limit", 32)
    assert found.code == 0, found.stderr
    assert "int8, Re²Na" in found.stdout
    assert "bit-identical" in found.stdout


def test_demo(re2na: Command) -> None:
    found = re2na("demo", "--limit", 100, "--json")
    assert found.code == 0, found.stderr
    check(found.json, COMPARISON)
    assert found.json["re2na"]["top1"] >= 0.95


def test_quantize_writes_a_plain_model(quantized: Path) -> None:
    model = onnx.load(quantized)
    onnx.checker.check_model(model)
    assert {"QuantizeLinear", "DequantizeLinear"} <= {node.op_type for node in model.graph.node}


def test_quantize_json(re2na: Command, demo_data: Path, tmp_path: Path) -> None:
    images = demo_data / "mnist_calibration128.npz"
    found = re2na(
        "quantize", demo_data / "lenet5_mnist.onnx", "--calibration", images, "--output", tmp_path / "q.onnx", "--json"
    )
    assert found.code == 0, found.stderr
    lists = {"layers": list, "outputs": list, "kept_float": list}
    check(found.json | {"layers": []}, {"model": str, "bytes": int, "images": dict, "widths": type(None), **lists})
    assert found.json["images"] == {"seen": 96, "held_back": 32, "synthetic": False}
    (output,) = found.json["outputs"]
    check(output, {"name": str, "snr_db": float, "onnxruntime_snr_db": float, "seen_snr_db": float})
    assert output["snr_db"] > 30 and output["onnxruntime_snr_db"] > 30 and found.json["kept_float"] == []
    assert len(found.json["layers"]) == 5
    for layer in found.json["layers"]:
        assert layer["lsb"] == layer["e_y"] - layer["e_x"] - layer["e_w"]
        assert layer["observed_max"] <= layer["limit"] == 65535
        assert layer["observed_max"] <= layer["worst_case"]


def test_operators_are_kept_in_float_by_name(re2na: Command, small_float: tuple[Path, Path], tmp_path: Path) -> None:
    model, images = small_float
    for option in ("--keep-float", "--skip-from"):
        path = tmp_path / f"{option}.onnx"
        found = re2na("quantize", model, "--calibration", images, option, "conv_0", "--output", path, "--json")
        assert found.code == 0 and found.json["layers"] == []
        assert "Conv" in {node.op_type for node in onnx.load(path).graph.node}
        found = re2na("quantize", model, "--calibration", images, option, "conv_0", option, "conv", "--output", path)
        assert found.code == 2
        assert f"{option[2:].replace('-', '_')}: 'conv' is no operator of the model (near: conv_0)" in found.stderr


def test_compile_json(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    path = tmp_path / "net.re2na"
    found = re2na("compile", quantized, "--output", path, "--json")
    assert found.code == 0, found.stderr
    report = found.json
    check(report | {"layers": []}, {"program": str, "layers": list, "total": TOTAL, "offloaded_macs_share": float})
    for layer in report["layers"]:
        check(layer, LAYER)
    assert report["program"] == str(path)
    assert [layer["op"] for layer in report["layers"]].count("conv2d") == 2
    assert sum(layer["macs"] for layer in report["layers"]) == report["total"]["macs"]
    assert Program.open(path).to_bytes() == path.read_bytes()


def test_report_and_figure(re2na: Command, small: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    options = ("--output", tmp_path / "net.re2na", "--plot", tmp_path / "net.svg")
    found = re2na("compile", small, "--report", *options)
    assert found.code == 0, found.stderr
    for word in ("Cycles of the array by cause", "Energy in uJ", "TOPS/W", "waiting for"):
        assert word in found.stdout
    assert (tmp_path / "net.svg").read_bytes().startswith(b"<?xml")


def test_compile_writes_beside_the_user(
    re2na: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    found = re2na("compile", small)
    assert found.code == 0, found.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["small.re2na"]
    assert "conv" in found.stdout
    assert "by cause" not in found.stdout  # that takes --report


@pytest.mark.parametrize("name", PASSES)
def test_dump_after(re2na: Command, small: Path, tmp_path: Path, name: str) -> None:
    found = re2na("compile", small, "--output", tmp_path / "net.re2na", "--dump-after", name, "--json")
    assert found.code == 0
    assert f"== after {name}" in found.stderr
    assert found.json


def test_a_dump_is_of_the_one_compilation(
    re2na: Command, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plans = counted(monkeypatch, compiler, "_plan")
    found = re2na("compile", small, "--output", tmp_path / "dumped.re2na", "--dump-after", "listing")
    assert (found.code, found.stderr.count("== after listing"), len(plans)) == (0, 1, 1)
    assert re2na("compile", small, "--output", tmp_path / "plain.re2na").code == 0
    assert (tmp_path / "dumped.re2na").read_bytes() == (tmp_path / "plain.re2na").read_bytes()


def test_compile_for_another_machine(re2na: Command, small: Path, tmp_path: Path) -> None:
    arch = tmp_path / "pipelined.toml"
    arch.write_text("mac_interval = 1\n")
    found = re2na("compile", small, "--arch", arch, "--output", tmp_path / "net.re2na")
    assert found.code == 0, found.stderr
    assert Program.open(tmp_path / "net.re2na").arch.mac_interval == 1


def test_a_tiny_machine_takes_what_fits(re2na: Command, quantized: Path, tmp_path: Path) -> None:
    """The rest stays on the CPU, so that the network falls into several regions with a program each."""
    arch = tmp_path / "tiny.toml"
    arch.write_text("sram_bytes = 1024\n")
    found = re2na("compile", quantized, "--arch", arch, "--output", tmp_path / "net.re2na", "--json")
    assert found.code == 0, found.stderr
    written = sorted(str(path) for path in tmp_path.glob("*.re2na"))
    assert found.json["program"] == written
    assert len(written) > 1
    assert found.json["total"]["regions"] == len(written)
    assert found.json["total"]["network_dram_ratio"] > 1
    cell = first_and_last(written)
    assert cell == f"{written[0]} ... net.{len(written) - 1}.re2na ({len(written)} files)"
    assert first_and_last(written[:1]) == written[0]
    table = re2na("explain", quantized, "--arch", arch).stdout
    assert "Re²Na/0" in table and f"regions on Re²Na: {len(written)}" in table
    assert 0 < found.json["offloaded_macs_share"] < 1


def test_run(re2na: Command, program: Path, demo_data: Path, tmp_path: Path) -> None:
    output, trace = tmp_path / "out.npz", tmp_path / "lenet.pftrace"
    data = demo_data / "mnist_test1000.npz"
    found = re2na("run", program, "--data", data, "--limit", 30, "--output", output, "--trace", trace, "--json")
    assert found.code == 0, found.stderr
    assert found.json["images"] == 30
    assert found.json["top1"] >= 0.9
    assert found.json["overflows"] == 0
    assert found.json["cycles"] == Simulator(Program.open(program)).timing.cycles
    (name, scores) = next(iter(np.load(output).items()))
    assert scores.dtype == np.int8
    assert scores.shape == (30, 10)
    assert found.json["outputs"] == [{"name": name, "shape": [30, 10]}]
    timeline = read_file(trace)
    assert timeline.process == f"Re²Na: {program.stem}"
    assert f"{found.json['cycles']:,} cycles" in timeline.labels
    assert len(timeline.arrows) == len(oracle.tokens(Program.open(program).instructions))


def test_run_says_what_it_wrote(re2na: Command, program: Path, demo_data: Path, tmp_path: Path) -> None:
    output, trace = tmp_path / "out.npz", tmp_path / "lenet.pftrace.gz"
    words = ("--data", demo_data / "mnist_test1000.npz", "--limit", 1, "--output", output, "--trace", trace)
    found = re2na("run", program, *words)
    assert found.code == 0, found.stderr
    assert found.stdout.endswith(f"wrote {output}\nwrote {trace}\n")
    assert read_trace(gzip.decompress(trace.read_bytes())).named("layers")


def test_run_takes_int8_as_it_is(re2na: Command, program: Path, tmp_path: Path) -> None:
    shape = Program.open(program).inputs[0].shape
    x = np.random.default_rng(0).integers(-128, 128, (3, *shape[1:]), np.int8)
    np.savez(tmp_path / "raw.npz", x=x)
    found = re2na("run", program, "--data", tmp_path / "raw.npz", "--output", tmp_path / "out.npz")
    assert found.code == 0, found.stderr
    expected = [Simulator(Program.open(program)).run([image[None]]).outputs[0] for image in x]
    np.testing.assert_array_equal(next(iter(np.load(tmp_path / "out.npz").values())), np.concatenate(expected))


@pytest.mark.parametrize("command", ["run", "compare"])
def test_any_number_of_threads_gives_the_same(
    re2na: Command, program: Path, quantized: Path, demo_data: Path, command: str
) -> None:
    file = program if command == "run" else quantized
    words = [command, file, "--data", demo_data / "mnist_test1000.npz", "--limit", 40, "--json"]
    one, three = (re2na(*words, "--threads", threads) for threads in (1, 3))
    assert one.code == three.code == 0, one.stderr + three.stderr
    assert one.json == three.json


def test_check(re2na: Command, program: Path) -> None:
    found = re2na("check", program, "--json")
    assert found.code == 0, found.stderr
    check(
        found.json,
        {"program": str, "instructions": int, "cycles": int, "tokens": int, "memory_bytes": int, "work": int},
    )
    instructions = Program.open(program).instructions
    assert found.json["instructions"] == len(instructions)
    assert found.json["cycles"] == Simulator(program).timing.cycles
    assert found.json["tokens"] == len(oracle.tokens(instructions))
    asks = LoadedProgram(program).asks
    assert (found.json["memory_bytes"], found.json["work"]) == (asks.memory_bytes, asks.work)
    table = re2na("check", program)
    assert table.code == 0
    assert f"none, {found.json['tokens']} tokens" in table.stdout


def test_explain_json(re2na: Command, quantized: Path, small: Path) -> None:
    found = re2na("explain", quantized, "--json")
    assert found.code == 0, found.stderr
    for row in found.json:
        fields = {"name", "op", "offloaded", "rule", "reason", "value", "limit", "region", "crossing_bytes"}
        assert row.keys() == fields
        assert row["region"] == (0 if row["offloaded"] else None)
    offloaded = [row["op"] for row in found.json if row["offloaded"]]
    assert offloaded.count("conv2d") == 2
    assert offloaded.count("dense") == 3
    assert sum(row["crossing_bytes"] for row in found.json) == 28 * 28 + 10
    assert "regions on Re²Na: 1; in and out of them:" in re2na("explain", small).stdout


def test_disasm(re2na: Command, program: Path) -> None:
    found = re2na("disasm", program)
    assert found.code == 0, found.stderr
    assert "halt" in found.stdout.lower()


def test_version(re2na: Command) -> None:
    assert re2na("--version").stdout == f"re2na {__version__}\n"
