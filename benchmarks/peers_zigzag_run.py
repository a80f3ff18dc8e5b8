"""Runs in the interpreter that has ZigZag: layers, machine and mapping out of a folder, what each layer costs back as JSON.

    PYTHON benchmarks/peers_zigzag_run.py FOLDER FACTORS

`layers.json` holds a list of layers, `machine.yaml` and `mapping.yaml` are as ZigZag reads them. FACTORS: how
many prime factors of a layer's loops the search permutes.
"""

from __future__ import annotations

import json
import logging
import sys
from pathlib import Path
from typing import Any

from zigzag.api import get_hardware_performance_zigzag


def cost_of(layer: dict[str, Any], folder: Path, factors: int) -> dict[str, float]:
    """Cycles, energy in pJ, bits that cross the DRAM's port."""
    energy, cycles, found = get_hardware_performance_zigzag(
        workload=[layer],
        accelerator=str(folder / "machine.yaml"),
        mapping=str(folder / "mapping.yaml"),
        opt="latency",
        dump_folder=str(folder / "dump"),
        lpf_limit=factors,
        loma_show_progress_bar=False,
    )
    evaluation = found[0][1][0][0]
    machine = json.loads((folder / "machine.yaml").read_text())
    word = machine["memories"]["dram"]["ports"][0]["bandwidth_max"]
    words = sum(count for levels in evaluation.memory_word_access.values() for count in levels[-1].data.values())
    return {"cycles": float(cycles), "energy_pj": float(energy), "dram_bits": float(words) * word}


def main() -> int:
    logging.disable(logging.CRITICAL)
    folder, factors = Path(sys.argv[1]), int(sys.argv[2])
    layers = json.loads((folder / "layers.json").read_text())
    print(json.dumps([cost_of(layer, folder, factors) for layer in layers]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
