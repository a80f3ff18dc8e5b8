"""Re²Na beside Vela (Arm, for Ethos-U) and ZigZag (KU Leuven): cycles, DRAM bytes, SRAM and the tools' time on the same networks.

    make peers                                          # both tools, in an environment of their own
    python benchmarks/peers.py [--page docs/peers.md] [--json] [--python PATH] [--zigzag-factors 0] [NETWORK ...]

Every tool gets the same int8 weights and shapes, the same sizes of SRAM and the same DRAM bandwidth. A tool that is not installed
is left out, with its reason. The exit status is 1 where our DRAM traffic is not below the least of Vela's on one of JUDGED, or
where there is no Vela to judge by.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks import schedule  # noqa: E402
from benchmarks.peers_page import cells, heading, write_page  # noqa: E402
from benchmarks.peers_row import MissingTool, Row  # noqa: E402
from benchmarks.peers_vela import MODES, PORT_BYTES, Vela  # noqa: E402
from benchmarks.peers_zigzag import ZigZag  # noqa: E402
from tests.models.resnets import resnet_graph  # noqa: E402
from tests.models.topologies import quickly_quantized, synthetic_images  # noqa: E402
from tvm_re2na import Architecture, pipeline  # noqa: E402
from tvm_re2na.codegen.compiler import CompileError, compile_graph  # noqa: E402
from tvm_re2na.codegen.graph.graph import Graph  # noqa: E402
from tvm_re2na.runtime.report import compile_report  # noqa: E402

PYTHON = ROOT / ".venv-peers" / "bin" / "python"
SRAM_KIB = (1536, 512, 256, 128)
JUDGED = ("resnet18", "mobilenet_v2")
ANY_MODE = "any"
CODING = "weight_coding"  # of the machine, where this version knows it


def networks() -> dict[str, Callable[[], list[Graph]]]:
    """How each is lowered."""
    return {
        "resnet18": lambda: schedule.lowered("resnet18"),
        "mobilenet_v2": lambda: schedule.lowered("mobilenet_v2"),
        "resnet50": lambda: [resnet_graph(50)],
        "efficientnet_lite0": _efficientnet,
        "vgg16": lambda: schedule.lowered("vgg16"),
    }


def _efficientnet() -> list[Graph]:
    folder = os.environ.get("RE2NA_DATA")
    if folder is None:
        raise MissingTool("the network's file is in the folder that RE2NA_DATA names, which is not set")
    model = pipeline.load_model(Path(folder) / "efficientnet_lite0_imagenet.onnx")
    images = synthetic_images(schedule.CALIBRATION_IMAGES, 3, 224, seed=7)
    # the search cuts layers in parts, which no TFLite model has
    return schedule.lowered_model("efficientnet_lite0", quickly_quantized(model, images, Architecture()))


def codings() -> list[str]:
    """Of weights: every way that the machine knows, plain first."""
    for field in dataclasses.fields(Architecture):
        if field.name == CODING:
            return [name.lower() for name in type(field.default).__members__]
    return ["none"]


def ours(network: str, graphs: list[Graph], sram_bytes: int, dram_bytes_per_cycle: int) -> Iterator[Row]:
    """One row for each interval of the MACs and coding of the weights."""
    for interval in (5, 1):
        for coding in codings():
            fields: dict[str, Any] = {
                "sram_bytes": sram_bytes,
                "dram_bytes_per_cycle": dram_bytes_per_cycle,
                "mac_interval": interval,
            }
            arch = Architecture.from_dict(fields | ({} if coding == "none" else {CODING: coding}))
            told = "" if coding == "none" else f", weights in {coding}"
            tool = f"Re²Na, a MAC every {interval} cycles{told}" if interval > 1 else f"Re²Na, pipelined{told}"
            started = time.process_time()
            try:
                total = compile_report([compile_graph(graph, arch) for graph in graphs])["total"]
            except CompileError as error:
                yield Row(network, sram_bytes, tool, arch.peak_macs_per_cycle, note=str(error))
                continue
            yield Row(
                network,
                sram_bytes,
                tool,
                arch.peak_macs_per_cycle,
                total["cycles"],
                total["dram_bytes"],
                total["sram_peak_bytes"],
                time.process_time() - started,
            )


class Peers:
    """The tools that are there; `missing` says why the others are not."""

    def __init__(self, python: Path, folder: Path, factors: int) -> None:
        self.missing: list[str] = []
        self.vela: Vela | None = self._found(lambda: Vela(python, folder))
        self.zigzag: ZigZag | None = self._found(lambda: ZigZag(python, folder, factors)) if factors else None
        if not factors:
            self.missing.append("ZigZag: left out (--zigzag-factors 0)")
        self.versions = [tool.version for tool in (self.vela, self.zigzag) if tool is not None]

    def _found(self, make: Callable[[], Any]) -> Any:
        try:
            return make()
        except MissingTool as error:
            self.missing.append(str(error))
            return None

    def rows(self, network: str, graphs: list[Graph], sram_bytes: int, dram_bytes_per_cycle: int) -> Iterator[Row]:
        """Of one point; a network that is not in one piece has none."""
        if len(graphs) != 1:
            yield Row(network, sram_bytes, "others", 0, note=f"in {len(graphs)} pieces: their files hold one network")
            return
        (graph,) = graphs
        arch = Architecture(dram_bytes_per_cycle=dram_bytes_per_cycle, mac_interval=1)
        if self.vela is not None:
            from benchmarks.peers_twin import TwinError, border_bytes, twin

            try:
                model, border = twin(graph), border_bytes(graph)
            except TwinError as error:
                yield Row(network, sram_bytes, "Vela", 0, note=str(error))
            else:
                yield from self.vela.rows(network, model, border, sram_bytes, dram_bytes_per_cycle, arch.dram_latency)
        if self.zigzag is not None:
            try:
                yield self.zigzag.row(network, graph, arch, sram_bytes)
            except MissingTool as error:
                yield Row(network, sram_bytes, "ZigZag", arch.peak_macs_per_cycle, note=str(error))


def misses(rows: list[Row], judged: list[str], mode: str = ANY_MODE) -> list[str]:
    """Where our DRAM bytes are not below the least of Vela's that fit the SRAM, in one of its modes or in any, in words."""
    found = []
    for network, kib in ((network, kib) for network in judged for kib in SRAM_KIB):
        here = [row for row in rows if (row.network, row.sram_bytes) == (network, kib * 1024)]
        own = [row for row in here if row.tool.startswith("Re²Na") and row.dram_bytes is not None]
        theirs = [row for row in here if row.tool.startswith("Vela") and (mode == ANY_MODE or row.tool.endswith(mode))]
        vela = [row for row in theirs if row.dram_bytes is not None and row.fits]
        least_own = min((row.dram_bytes or 0 for row in own), default=None)
        best = min(vela, key=lambda row: row.dram_bytes or 0, default=None)
        if least_own is None:
            found.append(f"{network} at {kib} KiB: not compiled")
        elif best is None:
            found.append(f"{network} at {kib} KiB: no Vela to judge by")
        elif least_own >= (best.dram_bytes or 0):
            found.append(f"{network} at {kib} KiB: {least_own:,} bytes, {best.tool}: {best.dram_bytes:,}")
    return found


def table(rows: list[Row], macs: dict[str, int]) -> Table:
    result = Table(title="side by side")
    for index, name in enumerate(heading()):
        result.add_column(name, justify="left" if index < 3 else "right", overflow="fold")
    for row in rows:
        result.add_row(row.network, *cells(row, macs[row.network]))
    return result


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="beside other tools")
    parser.add_argument(
        "networks", nargs="*", metavar="NETWORK", help=f"of {', '.join(networks())} (default: the first two)"
    )
    parser.add_argument("--python", type=Path, default=PYTHON, help="an interpreter that has Vela and ZigZag")
    parser.add_argument("--dram-bytes-per-cycle", type=int, default=PORT_BYTES, help="of every machine")
    parser.add_argument("--zigzag-factors", type=int, default=6, help="how far ZigZag searches; 0: leave it out")
    parser.add_argument("--page", type=Path, help="write the page and its picture")
    parser.add_argument(
        "--judge",
        choices=[ANY_MODE, *MODES],
        default=ANY_MODE,
        help="the mode of Vela's that our traffic is held against",
    )
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    for name in options.networks:
        if name not in networks():
            parser.error(f"unknown network '{name}'; known: {', '.join(networks())}")
    if not 1 <= options.dram_bytes_per_cycle <= PORT_BYTES:
        parser.error(
            f"--dram-bytes-per-cycle {options.dram_bytes_per_cycle} is outside 1..{PORT_BYTES}, an Ethos-U's port"
        )
    return options


def main() -> int:
    options = parse()
    rows: list[Row] = []
    macs: dict[str, int] = {}
    names = options.networks or list(JUDGED)
    with tempfile.TemporaryDirectory() as folder:
        peers = Peers(options.python.absolute(), Path(folder), options.zigzag_factors)
        for reason in peers.missing:
            print(f"skipped: {reason}", file=sys.stderr)
        for network in names:
            print(f"{network} ...", file=sys.stderr)
            try:
                graphs = networks()[network]()
            except MissingTool as error:
                print(f"skipped: {network}: {error}", file=sys.stderr)
                continue
            macs[network] = sum(graph.macs(op) for graph in graphs for op in graph.ops)
            for kib in SRAM_KIB:
                rows += ours(network, graphs, kib * 1024, options.dram_bytes_per_cycle)
                rows += peers.rows(network, graphs, kib * 1024, options.dram_bytes_per_cycle)
    judged = [name for name in JUDGED if name in names]
    missed = misses(rows, judged, options.judge)
    if options.json:
        print(json.dumps({"rows": [dataclasses.asdict(row) for row in rows], "missed": missed}, indent=2))
    else:
        Console(width=None if sys.stdout.isatty() else 160).print(table(rows, macs))
    if options.page:
        told = [*peers.versions, *(f"skipped: {reason}" for reason in peers.missing)]
        write_page(options.page, rows, macs, options.dram_bytes_per_cycle, told, misses(rows, judged))
    for line in missed:
        print(f"missed: {line}", file=sys.stderr)
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
