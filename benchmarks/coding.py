"""What coded weights buy: DRAM bytes and cycles of networks without coding, with Golomb-Rice and with Huffman codes.

    RE2NA_DATA=... python benchmarks/coding.py [--json | --bits] [NETWORK ...]

Shares are of the compulsory bytes without coding: of VGG-16's convolutions pruned in two ways, those of the network before pruning.
"Trained" networks are in the folder that RE2NA_DATA names, and left out where it is not set; the others have random weights, which
are harder to code. Where a network's share is above its limit, it is marked, and the exit status is 1.
`--bits`: what codes chosen for layers, blocks of 64 output channels or the network make of the weights, instead.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from benchmarks.schedule import CALIBRATION_IMAGES, PRUNED_SHARE  # noqa: E402
from tests.models.pruning import prune_convolutions, prune_weights  # noqa: E402
from tests.models.topologies import TOPOLOGIES, synthetic_images  # noqa: E402
from tvm_re2na import Architecture, Dataset, pipeline  # noqa: E402
from tvm_re2na.codegen.arch import WeightCoding  # noqa: E402
from tvm_re2na.codegen.coding.words import Counts, best_book, magnitudes  # noqa: E402
from tvm_re2na.codegen.compiler import compile_graph  # noqa: E402
from tvm_re2na.codegen.graph.bounds import network_bounds  # noqa: E402
from tvm_re2na.codegen.graph.graph import Graph  # noqa: E402
from tvm_re2na.codegen.graph.ops import Conv2d, Dense  # noqa: E402
from tvm_re2na.codegen.graph.transposed import ConvTranspose2d  # noqa: E402
from tvm_re2na.data import load_dataset  # noqa: E402
from tvm_re2na.runtime.report import compile_report  # noqa: E402

WHOLE = "vgg16_features"
PRUNED: dict[str, Callable[[onnx.ModelProto], onnx.ModelProto]] = {
    "vgg16_features, 70 % of the steps of each block zero": partial(prune_convolutions, share=PRUNED_SHARE),
    "vgg16_features, 70 % of the weights zero": partial(prune_weights, share=PRUNED_SHARE),
}
TRAINED = {
    "resnet18_fmnist64 (trained)": ("resnet18_fmnist64.onnx", "fmnist64_calib512.npz"),
    "mobilenet_v3_small_fmnist64 (trained)": ("mobilenet_v3_small_fmnist64.onnx", "fmnist64_calib512.npz"),
    "efficientnet_lite0 (trained)": ("efficientnet_lite0_imagenet.onnx", "photos224.npz"),
}
RANDOM = ("resnet18", "mobilenet_v2", WHOLE)
LIMITS = {"resnet18_fmnist64 (trained)": 0.75, **dict.fromkeys(PRUNED, 0.35)}  # of the best coding's share
COLUMNS = ("network", "coding", "DRAM bytes", "share", "to its bound", "cycles", "to its bound", "compile s")


def lowered(name: str) -> list[Graph] | None:
    """The network's regions for a machine without coding; None where its file is not at hand."""
    arch = Architecture(activation_table=int("mobilenet_v3" in name))
    if name in TRAINED:
        folder = os.environ.get("RE2NA_DATA")
        if folder is None:
            return None
        model_file, images = (Path(folder) / file for file in TRAINED[name])
        model, calibration = pipeline.load_model(model_file), load_dataset(images, limit=64)
    else:
        model = TOPOLOGIES[WHOLE if name in PRUNED else name]()
        model = PRUNED[name](model) if name in PRUNED else model
        calibration = synthetic(model)
    mod, params = pipeline.import_into_tvm(pipeline.quantized_model(model, calibration, arch))
    (result,) = pipeline.lower_for_each(mod, params, [arch])
    return list(result.graphs)


def synthetic(model: onnx.ModelProto) -> Dataset:
    image = pipeline.model_input(model).image
    x = synthetic_images(CALIBRATION_IMAGES, image[0], image[1], seed=7)
    return Dataset("synthetic", image, None, len(x), lambda start, stop: x[start:stop])


def measured(name: str, graphs: Sequence[Graph], whole: int) -> list[dict[str, Any]]:
    """A row for each coding; `whole`: the bytes that shares are of."""
    rows = []
    for coding in WeightCoding:
        arch = Architecture(weight_coding=coding, activation_table=1)
        started = time.process_time()
        programs = [compile_graph(graph, arch) for graph in graphs]
        seconds = time.process_time() - started
        total = compile_report(programs)["total"]
        moved, cycles = total["dram_bytes"], total["cycles"]
        ratios = {"dram_ratio": moved / total["dram_bytes_compulsory"], "cycles_ratio": cycles / total["cycles_bound"]}
        rows.append(
            {"network": name, "coding": coding.name.lower(), "dram_bytes": moved, "share": moved / whole}
            | {"cycles": cycles, **ratios, "compile_s": seconds}
        )
    return rows


def bits(graphs: Sequence[Graph]) -> dict[str, float]:
    """Of a weight on average, by what is coded how; tables for blocks of 64 outputs count, the others are too few to."""
    linear = (op for graph in graphs for op in graph.ops if isinstance(op, Conv2d | ConvTranspose2d | Dense))
    layers = [op.weight.reshape(len(op.weight), -1).view(np.uint8) for op in linear]
    counts = [magnitudes(layer) for layer in layers]
    blocks = [magnitudes(layer[first : first + 64]) for layer in layers for first in range(0, len(layer), 64)]
    size = int(sum(counts).sum())

    def coded(coding: WeightCoding, parts: Sequence[Counts], tables: bool = False) -> float:
        books = [(part, best_book(coding, part)) for part in parts]
        return sum(int(part @ book.bits) + 8 * tables * len(book.parameters) for part, book in books) / size

    return {
        "entropy, a table for each layer": sum(map(entropy, layers)) / size,
        "Huffman, a table for each layer": coded(WeightCoding.HUFFMAN, counts),
        "Huffman, a table for each block of 64 output channels": coded(WeightCoding.HUFFMAN, blocks, tables=True),
        "Huffman, one table for the network": coded(WeightCoding.HUFFMAN, [sum(counts)]),
        "Golomb-Rice, a parameter for each layer": coded(WeightCoding.GOLOMB, counts),
    }


def entropy(layer: npt.NDArray[np.uint8]) -> float:
    """Bits of all of its bytes."""
    counts = np.bincount(layer.reshape(-1))
    return -float((counts[counts > 0] * np.log2(counts[counts > 0] / layer.size)).sum())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("networks", nargs="*", metavar="NETWORK")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--bits", action="store_true")
    options = parser.parse_args()
    rows, wanted, of_whole = [], options.networks or [*TRAINED, *RANDOM, *PRUNED], 0
    for name in wanted:
        graphs = lowered(name)
        if graphs is None:
            print(f"{name}: left out, RE2NA_DATA is not set", file=sys.stderr)
            continue
        if options.bits:
            print("\n".join([name, *(f"  {found:.2f}  {what}" for what, found in bits(graphs).items())]))
            continue
        compulsory = sum(network_bounds(graph, Architecture(activation_table=1)).dram_bytes for graph in graphs)
        of_whole = compulsory if name == WHOLE else of_whole
        rows += measured(name, graphs, of_whole if name in PRUNED and of_whole else compulsory)
    best = {row["network"]: row["share"] for row in sorted(rows, key=lambda row: -row["share"])}
    missed = [name for name, limit in LIMITS.items() if best.get(name, 0) > limit]
    if options.bits:
        return 0
    if options.json:
        print(json.dumps({"rows": rows, "missed": missed}))
    else:
        show(rows, missed)
    return 1 if missed else 0


def show(rows: list[dict[str, Any]], missed: list[str]) -> None:
    table = Table(*COLUMNS)
    for row in rows:
        name = row["network"] + (f" - above {LIMITS[row['network']]}" if row["network"] in missed else "")
        shown = (f"{row['dram_bytes']:,}", f"{row['share']:.3f}", f"{row['dram_ratio']:.4f}")
        table.add_row(
            name, row["coding"], *shown, f"{row['cycles']:,}", f"{row['cycles_ratio']:.4f}", f"{row['compile_s']:.2f}"
        )
    Console(width=None if sys.stdout.isatty() else 160).print(table)


if __name__ == "__main__":
    sys.exit(main())
