"""Offloaded against CPU against float: the comparison a user came for."""

from __future__ import annotations

import os
from concurrent.futures import Executor

import onnx

from tvm_re2na import pipeline
from tvm_re2na.artefacts import artefacts
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.comparison_shards import compare_images, load_front_end, runners_for
from tvm_re2na.data import DataSource
from tvm_re2na.float_runner import float_runner
from tvm_re2na.identity import identity
from tvm_re2na.model_file import ModelSource
from tvm_re2na.onnx_form.inputs import InputShape
from tvm_re2na.opinion.opinion import IMAGES, opinion_if_any
from tvm_re2na.parallel.cuts import cut
from tvm_re2na.parallel.journal import open_journal
from tvm_re2na.parallel.worker_pool import open_worker_pool
from tvm_re2na.preprocessing import Preprocessing
from tvm_re2na.progress import Progress, shown
from tvm_re2na.tally import Comparison, count_hits

__all__ = ["Comparison", "compare", "count_hits", "float_runner"]


def compare(
    model: ModelSource,
    data: DataSource,
    calibration: DataSource | None = None,
    arch: Architecture | None = None,
    *,
    input_shape: InputShape | None = None,
    limit: int | None = None,
    preprocessing: Preprocessing | None = None,
    batch: int = 1,
    threads: int | None = None,
    executor: Executor | None = None,
    jobs: int = 1,
    shard: int | None = None,
    resume: str | os.PathLike[str] | None = None,
    opinion_images: int = IMAGES,
    quantized: onnx.ModelProto | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Run one model in float and in int8 (ONNX Runtime), in int8 on the CPU (TVM, exact) and on Re²Na, image by image.

    `data` and `calibration`: Datasets, files or folders, or map-style datasets, which `preprocessing` is for (`load_dataset`).
    `input_shape`: sizes of the model's input that it leaves open, as of `load_model`.
    A float model is quantised first and needs `calibration`; of a quantised one, "float" is what ONNX Runtime makes of it.
    The images run on `executor` (any `concurrent.futures.Executor`) or in `jobs` processes of this machine (a script needs
    `if __name__ == "__main__":` then), `shard` at a time; the result is the same for any of them. What is finished is noted in the
    file `resume`, and not done again.
    ONNX Runtime judges TVM's integers operator by operator (`second_opinion`) on the first `opinion_images` images; 0: it does not.
    `quantized`: the int8 model, where somebody has quantised the given one already; a given one that is int8 itself is its own.
    `progress(stage, done, total)` is called along the way; left out, it is a bar on stderr, if that is a terminal. `print` of the
    result is a table.
    `threads` of the simulator work on one run (default: RE2NA_THREADS, or 1).
    Raises DataError, ModelError, QuantizeError, CompileError, SimulatorError, JournalError or WorkersLostError.
    """
    arch = arch or Architecture()
    proto = pipeline.opened(model, input_shape)
    known = pipeline.calibration_if_any(calibration, proto, None, preprocessing)
    images = pipeline.images_for(data, proto, known, limit, preprocessing)
    shards = cut(len(images), images.bytes_of_one, batch, shard)

    def run() -> dict[str, object]:
        return identity(
            "compare", model=proto, data=images, calibration=known, arch=arch, batch=batch, shard=shards.size
        )

    with (
        open_worker_pool(executor, jobs) as pool,
        open_journal(resume, run, len(shards)) as journal,
        shown(progress) as bar,
    ):
        pool.warm(load_front_end)
        if quantized is None:
            quantized = pipeline.quantized_model(proto, known, arch, bar)
        cpu, re2na = artefacts(quantized, arch, batch, bar)
        runners = runners_for(pool, proto, quantized, (cpu, re2na), arch, batch, threads)
        tally = compare_images(pool, runners, images, shards, batch, journal, bar)
        opinion = opinion_if_any(quantized, images.read(0, min(opinion_images, len(images))), bar)
    figures = re2na.offloaded_macs_share, re2na.traffic
    return tally.comparison(arch, *figures, batch, opinion, given_quantized=quantized is proto)
