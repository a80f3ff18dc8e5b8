"""Files that people have: small networks exported by PyTorch in both ways, with open and fixed batch; the models of ONNX's wheel.

    python benchmarks/exports.py [NAME ...]      # needs PyTorch: pip install 'tvm_re2na[torch]'
    python benchmarks/exports.py --light         # AlexNet, DenseNet, ... at 3x224x224: half an hour on Relay

Each is quantised, explained, built and run; the bits have to be those of TVM's CPU, the answers the float network's to 20 dB.
The exit code is 1 where one is not so, and each of these is listed.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnx
import onnx.backend.test

sys.path.insert(0, str(Path(__file__).parent.parent))

from tests.models.topologies import quickly_quantized
from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.decibels import floored_decibels
from tvm_re2na.onnx_runtime import session
from tvm_re2na.quantize import quantize

LEAST_DB = 20.0
FloatArray = npt.NDArray[np.float32]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", help="networks whose names begin so (all)")
    parser.add_argument("--light", action="store_true", help="the models of ONNX's wheel instead")
    options = parser.parse_args()
    failed = []
    with tempfile.TemporaryDirectory() as folder:
        for name, path, images in light() if options.light else exported(options.names, Path(folder)):
            try:
                fault, figures = judged(path, images, search=not options.light)
            except Re2naError as error:
                fault, figures = f"{type(error).__name__}: {error}", ""
            print(f"{name:<40} {fault or 'ok'} {figures}", flush=True)
            failed += [name] * bool(fault)
    print(f"{len(failed)} failed: {', '.join(failed)}" if failed else "all as they should be")
    return 1 if failed else 0


def light() -> Iterator[tuple[str, Path, FloatArray]]:
    """Their weights are equal numbers, and their values grow with every layer: small images keep most of them in range."""
    folder = Path(onnx.backend.test.__file__).parent / "data" / "light"
    rng = np.random.default_rng(0)
    for path in sorted(folder.glob("*.onnx")):
        yield path.stem, path, rng.normal(0, 0.01, (2, 3, 224, 224)).astype(np.float32)


def exported(names: list[str], folder: Path) -> Iterator[tuple[str, Path, FloatArray]]:
    from tests.torch.exported import NETWORKS, export, trained

    for name, made in NETWORKS.items():
        if names and not name.startswith(tuple(names)):
            continue
        model, images = trained(made)
        for dynamo in (False, True):
            for open_batch in (False, True):
                full = f"{name}, {'dynamo' if dynamo else 'TorchScript'}, {'open' if open_batch else 'fixed'}"
                export(model, images, folder / "net.onnx", dynamo=dynamo, open_batch=open_batch)
                yield full, folder / "net.onnx", images.numpy()


def judged(path: Path, images: FloatArray, *, search: bool) -> tuple[str, str]:
    """What is wrong, or nothing; and figures."""
    arch, model = Architecture(), pipeline.load_model(path)
    given = pipeline.model_input(model)
    part = images[: given.batch or 2]
    quantized = quantize(model, images).model if search else quickly_quantized(model, images, arch)
    rows = pipeline.explain(*pipeline.import_into_tvm(quantized, len(part)), arch)
    built = pipeline.build_for_re2na(*pipeline.import_into_tvm(quantized, len(part)), arch)
    found = built.executor()(part)
    cpu = pipeline.build_for_cpu(*pipeline.import_into_tvm(quantized, len(part))).executor()(part)
    wanted = session(onnx.load(path).SerializeToString()).run(None, {given.name: part})
    figures = (
        f"{built.offloaded_macs_share:.0%} of the MACs, {sum(row.offloaded for row in rows)} of {len(rows)} operators"
    )
    if not all(np.array_equal(ours, theirs) for ours, theirs in zip(found, cpu, strict=True)):
        return "OTHER BITS than TVM's CPU", figures
    noises = [snr_db(np.asarray(a), b) for a, b in zip(found, wanted, strict=True) if b.dtype == np.float32]
    figures += f", {min(noises):.1f} dB"
    return ("" if min(noises) >= LEAST_DB else f"below {LEAST_DB:.0f} dB"), figures


def snr_db(found: npt.NDArray[np.generic], wanted: FloatArray) -> float:
    """Signal over noise; minus infinity where the shapes differ."""
    if found.shape != wanted.shape:
        return -np.inf
    exact = wanted.astype(np.float64)
    noise = float(((found.astype(np.float64) - exact) ** 2).sum())
    return floored_decibels(float((exact**2).sum()), noise)


if __name__ == "__main__":
    sys.exit(main())
