"""Stage 8: what the quantised network answers, beside what the float network does."""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from tvm_re2na.onnx_runtime import session
from tvm_re2na.quantize.emit import emit
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.observe import batches
from tvm_re2na.quantize.plan import QuantizationPlan
from tvm_re2na.quantize.report import OutputReport

IMAGES = 64  # the first ones of the calibration images: three networks run on them


def judge_outputs(net: Net, plan: QuantizationPlan, images: Calibration) -> tuple[OutputReport, ...]:
    """Signal over noise of every output, halves rounded upward as the machine does, and to even as ONNX Runtime does."""
    few = images[:IMAGES]
    wanted, machine, even = (_answers(made, few) for made in (net, emit(net, plan, half_up=True), emit(net, plan)))
    return tuple(
        OutputReport(name, _snr_db(wanted[name], machine[name]), _snr_db(wanted[name], even[name]))
        for name in net.output_names
    )


def _answers(net: Net, images: Calibration) -> dict[str, npt.NDArray[np.generic]]:
    running = session(to_onnx(net).SerializeToString())
    names = list(dict.fromkeys(net.output_names))
    parts = [running.run(names, {net.input_name: batch}) for _, batch in batches(net, images)]
    return {name: np.concatenate([part[index] for part in parts]) for index, name in enumerate(names)}


def _snr_db(wanted: npt.NDArray[np.generic], got: npt.NDArray[np.generic]) -> float | None:
    """None where there is no difference, or no number."""
    signal = wanted.astype(np.float64)
    energy, noise = (float(np.square(values).sum()) for values in (signal, got.astype(np.float64) - signal))
    usable = 0 < noise < math.inf and 0 < energy < math.inf
    return round(10 * math.log10(energy / noise), 2) if usable else None
