"""Vela, Arm's compiler for Ethos-U: what it makes of a TFLite twin at one size of SRAM."""

from __future__ import annotations

import csv
from pathlib import Path

from benchmarks.peers_row import MissingTool, Row, check_package, run

PORT_BYTES = 16  # a cycle, of an Ethos-U's DRAM port at the core's clock
CHIPS = {"ethos-u65-512": 512, "ethos-u85-2048": 2048}  # MACs a cycle
# where the maps are: in DRAM, with the SRAM as their cache, or all of them in SRAM
MODES = {"dedicated": ("Axi1", "Axi0"), "shared": ("Axi0", "Axi0")}
CONFIG = """[System_Config.Peer]
core_clock=200e6
axi0_port=Sram
axi1_port=Dram
Sram_clock_scale=1.0
Sram_burst_length=32
Sram_read_latency=32
Sram_write_latency=32
Sram_max_reads=16
Sram_max_writes=16
Dram_clock_scale={scale}
Dram_burst_length=128
Dram_read_latency={latency}
Dram_write_latency={latency}
Dram_max_reads=24
Dram_max_writes=12

[Memory_Mode.Peer]
const_mem_area=Axi1
arena_mem_area={arena}
cache_mem_area={cache}
"""


class Vela:
    """`python`: an interpreter with the package ethos-u-vela."""

    def __init__(self, python: Path, folder: Path) -> None:
        self.version = check_package(python, "ethosu.vela", "ethos-u-vela")
        self.python, self.folder = python, folder

    def rows(
        self, network: str, twin: bytes, border: int, sram_bytes: int, dram_bytes_per_cycle: int, dram_latency: int
    ) -> list[Row]:
        """One for each chip and mode. `border`: bytes of the network's input and output, which Vela does not count where the
        SRAM is shared, and which are added there."""
        model = self.folder / f"{network}.tflite"
        model.write_bytes(twin)
        found = []
        for chip, peak in CHIPS.items():
            for mode, (arena, cache) in MODES.items():
                config = self.folder / "peer.ini"
                scale = dram_bytes_per_cycle / PORT_BYTES
                config.write_text(CONFIG.format(scale=scale, latency=dram_latency, arena=arena, cache=cache))
                tool = f"Vela {chip.removeprefix('ethos-')}, {mode}"
                try:
                    figures, seconds = self._compile(model, chip, config, sram_bytes)
                except MissingTool as error:
                    found.append(Row(network, sram_bytes, tool, peak, note=str(error)))
                    continue
                used = int(figures["sram_memory_used"] * 1024)
                traffic = int(figures["dram_total_bytes"]) + (border if mode == "shared" else 0)
                cycles = int(figures["cycles_total"])
                found.append(
                    Row(network, sram_bytes, tool, peak, cycles, traffic, used, seconds, fits=used <= sram_bytes)
                )
        return found

    def _compile(self, model: Path, chip: str, config: Path, sram_bytes: int) -> tuple[dict[str, float], float]:
        """The numbers of its summary."""
        output = self.folder / "vela"
        options = {
            "--accelerator-config": chip,
            "--config": config,
            "--system-config": "Peer",
            "--memory-mode": "Peer",
            "--arena-cache-size": sram_bytes,
            "--output-dir": output,
        }
        words = [str(word) for pair in options.items() for word in pair]
        _, seconds = run([self.python, "-m", "ethosu.vela", *words, model], self.folder)
        with (output / f"{model.stem}_summary_Peer.csv").open() as stream:
            row = next(csv.DictReader(stream))
        names = ("sram_memory_used", "dram_total_bytes", "cycles_total")
        return {name: float(row[name]) for name in names}, seconds
