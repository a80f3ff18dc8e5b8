"""One network of benchmarks/zoo.py, from the model to bits, in a process of its own.

The row is written after each step, so that whoever ends this process knows how far it came.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

sys.path.insert(0, str(Path(__file__).parent.parent))

from benchmarks.zoo_networks import ZooNetwork, networks
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.files import write_atomically
from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.dataset import Dataset
from tvm_re2na.decibels import decibels
from tvm_re2na.frontends.common.door import machine_of_fields
from tvm_re2na.onnx_runtime import session
from tvm_re2na.runtime import library
from tvm_re2na.runtime.report import compile_report

FloatArray = npt.NDArray[np.float32]
STEPS = ("make", "quantise", "explain", "compile", "compare")


@dataclass
class Row:
    """What is known of a network, and the step at which it is; `path` is where that is kept."""

    path: Path
    data: dict[str, Any] = field(default_factory=lambda: {"seconds": {}})

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        """Seconds of what is done within."""
        self.data["step"] = name
        self.save()
        print(name, file=sys.stderr, flush=True)
        started = time.perf_counter()
        yield
        self.data["seconds"][name] = round(time.perf_counter() - started, 2)

    def save(self) -> None:
        write_atomically(self.path, json.dumps(self.data, indent=1).encode())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name")
    parser.add_argument("row", type=Path, help="the file that the row is written to")
    parser.add_argument("--models", type=Path, required=True, help="where models lie that have been made")
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--machine", action="append", default=[], metavar="FIELD=VALUE")
    options = parser.parse_args()
    row = Row(options.row)
    try:
        arch = machine_of_fields(dict(field.partition("=")[::2] for field in options.machine))
        network = networks(options.folder)[options.name]
        measure(row, network, options.models, arch)
        row.data["step"] = "done"
    except Exception as error:  # a network that fails is what this is about
        ours = isinstance(error, Re2naError)
        row.data["error"] = " ".join(str(error if ours else f"{type(error).__name__}: {error}").split())[:500]
    row.save()


def measure(row: Row, network: ZooNetwork, models: Path, arch: Architecture) -> None:
    row.data |= {"name": network.name, "family": network.family}
    with row.step("make"):
        path = models / f"{network.name}.onnx"
        made = path if path.exists() else network.make(path)
        known, unseen = network.images(made)
        model = pipeline.load_model(made, input_shape=dict(network.sizes) or None)
    with row.step("quantise"):
        quantized = _quantized(row, network, model, known, arch, row.path.parent)
    mod = pipeline.import_into_tvm(quantized)
    with row.step("explain"):
        row.data |= explained(pipeline.explain(*mod, arch))
    with row.step("compile"):
        compiled = pipeline.compile_for_re2na(*mod, arch)
    total = compile_report([program for _, program in compiled.programs], compiled.border_bytes)["total"]
    names = ("macs", "cycles", "cycles_bound", "dram_bytes", "dram_bytes_compulsory", "regions", "crossing_bytes")
    row.data |= {name: total[name] for name in (*names, "network_dram_bytes_compulsory", "network_dram_ratio")}
    row.data["macs_share"] = compiled.offloaded_macs_share
    with row.step("compare"):
        row.data |= compared(model, quantized, unseen, arch)


def _quantized(
    row: Row, network: ZooNetwork, model: onnx.ModelProto, images: FloatArray, arch: Architecture, quantised: Path
) -> onnx.ModelProto:
    """Quantising needs no TVM: the other one finds the model here, with what was said of it."""
    path, told = (quantised / f"{network.name}.int8.{kind}" for kind in ("onnx", "json"))
    if not (path.exists() and told.exists()):
        data = Dataset(network.name, images.shape[1:], None, len(images), lambda start, stop: images[start:stop])
        started = time.perf_counter()
        found = pipeline.quantize(model, data, arch)
        seconds = round(time.perf_counter() - started, 2)
        noises = [output.snr_db for output in found.report.outputs if output.snr_db is not None]
        facts = {"snr_reported": min(noises, default=None), "kept_float": list(found.report.kept_float)}
        write_atomically(path, found.model.SerializeToString())
        write_atomically(told, json.dumps(facts | {"quantise_seconds": seconds}).encode())
    row.data |= json.loads(told.read_text())
    return onnx.load(path)


def explained(rows: list[Explanation]) -> dict[str, Any]:
    """How many operators are offloaded, and the others by what keeps them there; borders between float and integers are none."""
    inner = [row for row in rows if row.rule != "host_boundary"]
    kept: dict[str, Counter[str]] = {}
    for row in inner:
        if row.rule is not None:
            kept.setdefault(row.rule, Counter())[row.op] += 1
    return {
        "operators": len(inner),
        "offloaded": sum(row.offloaded for row in inner),
        "on_cpu": {rule: dict(found.most_common()) for rule, found in kept.items()},
    }


def compared(
    model: onnx.ModelProto, quantized: onnx.ModelProto, images: FloatArray, arch: Architecture
) -> dict[str, Any]:
    """All outputs' bits against TVM's CPU, and their noise against the float model, on images that nothing was calibrated with."""
    mod, params = pipeline.import_into_tvm(quantized)
    ours = pipeline.build_for_re2na(mod, params, arch).executor()
    cpu = pipeline.build_for_cpu(*pipeline.import_into_tvm(quantized)).executor()
    given = session(model.SerializeToString())
    name = pipeline.model_inputs(model)[0].name
    library.bridge_reset()
    equal, signal, noise = True, defaultdict[int, float](float), defaultdict[int, float](float)
    for image in np.split(images, len(images)):
        found, expected, wanted = ours(image), cpu(image), given.run(None, {name: image})
        equal &= all(_same_bits(a, b) for a, b in zip(found, expected, strict=True))
        for index, (a, b) in enumerate(zip(found, wanted, strict=True)):
            if b.dtype == np.float32 and np.isfinite(b).all():
                signal[index] += float((b.astype(np.float64) ** 2).sum())
                noise[index] += float(((np.asarray(a, np.float64) - b) ** 2).sum())
    noises = [decibels(signal[index], noise[index]) for index in signal]
    known = [value for value in noises if value is not None]
    totals = library.bridge_totals()
    return {"bit_identical": equal, "overflows": totals["overflows"], "snr_unseen": min(known, default=None)}


def _same_bits(a: npt.NDArray[Any], b: npt.NDArray[Any]) -> bool:
    return a.dtype == b.dtype and a.shape == b.shape and a.tobytes() == b.tobytes()


if __name__ == "__main__":
    main()
