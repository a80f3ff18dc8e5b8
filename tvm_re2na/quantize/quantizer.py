"""The quantiser: its stages in order, on one page."""

from __future__ import annotations

import copy
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import onnx
from threadpoolctl import threadpool_limits

from tvm_re2na.batches import Batch
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.onnx_form.inputs import InputShape
from tvm_re2na.progress import Progress, silent
from tvm_re2na.quantize import proof
from tvm_re2na.quantize.accumulators import longest_sum
from tvm_re2na.quantize.balance import balance
from tvm_re2na.quantize.channels import scale_channels
from tvm_re2na.quantize.counterparts import note_counterparts
from tvm_re2na.quantize.describe import describe
from tvm_re2na.quantize.emit import emit
from tvm_re2na.quantize.equalise import candidates, equalise
from tvm_re2na.quantize.errors import QuantizeError, SumsDoNotFitError
from tvm_re2na.quantize.exponents import ExponentErrors
from tvm_re2na.quantize.fold import fold
from tvm_re2na.quantize.importance import Importance, moments
from tvm_re2na.quantize.layers import Layer, QuantisedLayers, find_layers
from tvm_re2na.quantize.limits import check_layers
from tvm_re2na.quantize.load import Calibration, check_calibration, load_net
from tvm_re2na.quantize.net import Net, to_onnx
from tvm_re2na.quantize.observe import Extremes, check_runs, extremes, largest_by_channel, observe
from tvm_re2na.quantize.options import IntegerRange, QuantizeOptions
from tvm_re2na.quantize.parts import operators_of, split_layers
from tvm_re2na.quantize.plan import QuantizationPlan
from tvm_re2na.quantize.pool import pools_to_convolutions
from tvm_re2na.quantize.report import QuantizationReport
from tvm_re2na.quantize.samples import Samples
from tvm_re2na.quantize.scales import error_at, is_sum, start_plan
from tvm_re2na.quantize.search import WeightsTooFineError, search
from tvm_re2na.quantize.skipped import behind, check_names, postprocessing, without_images
from tvm_re2na.quantize.split import CalibrationSplit, split

ATTEMPTS = 8  # each one makes at least one layer or one group coarser by a factor of two
IMAGE_AXES = 4


@dataclass(frozen=True)
class QuantizedModel:
    """`model` is plain ONNX QDQ with the float model's input and output names; `report` says what was chosen."""

    model: onnx.ModelProto
    report: QuantizationReport


def quantize(
    model: onnx.ModelProto | str | os.PathLike[str],
    calibration: Batch | Mapping[str, npt.NDArray[np.float32]],
    *,
    arch: Architecture | None = None,
    options: QuantizeOptions | None = None,
    input_shape: InputShape | None = None,
    progress: Progress | None = None,
) -> QuantizedModel:
    """Quantise a float ONNX model to the machine's integers with power-of-two per-tensor scales and zero point 0.

    `calibration` is float32 (N, C, H, W), normalised as the network's input, or (N, C, L), (N, F); of a model with several
    inputs an array for each, by its name. On these images no accumulator of the result overflows, and each keeps
    `options.headroom` or more (see `Guarantee`). Some of them are held back from the search: what the report tells is of those.
    Operators the quantiser does not know stay in float, and so do layers whose sums cannot be made to fit: a warning names them,
    and another one tells of images that are too few. `input_shape`: sizes of the input that the model leaves open, by the inputs'
    names where there are several. `progress(stage, done, total)` is called along the way. Raises QuantizeError for a model, data
    or options that cannot be used, or a model without anything to quantise, ModelError (which that is, too) where ONNX Runtime
    cannot run the model.
    """
    arch, options = arch or Architecture(), options or QuantizeOptions()
    net = load_net(model, input_shape)
    given = net.copied()
    found = decide(net, calibration, arch, options, progress)
    found.report.warn()
    made = to_onnx(emit(found.net, found.plan))
    note_counterparts(made, given, found.net, found.plan, check_calibration(calibration, given))
    return QuantizedModel(made, found.report)


@dataclass(frozen=True)
class Decision:
    """The float network as it was quantised (folded, equalised), what was decided for it, and the report."""

    net: Net
    plan: QuantizationPlan
    report: QuantizationReport


def decide(
    net: Net,
    calibration: Batch | Mapping[str, npt.NDArray[np.float32]],
    arch: Architecture,
    options: QuantizeOptions,
    progress: Progress | None = None,
) -> Decision:
    """All of `quantize` but the file; changes `net`. Meanwhile NumPy's matrix products keep to one thread: idle threads of theirs
    spin, and take more time than they save."""
    with threadpool_limits(1, "blas"), np.errstate(all="ignore"):  # numbers that are not finite are told by `limits`
        return _decide(net, calibration, arch, options, progress or silent)


def _decide(
    net: Net,
    calibration: Batch | Mapping[str, npt.NDArray[np.float32]],
    arch: Architecture,
    options: QuantizeOptions,
    report: Progress,
) -> Decision:
    images = check_calibration(calibration, net)
    check_runs(net, images)
    parts = split(images)
    few = parts.search[: options.search_images]
    names = {node.name for node in net.nodes}
    fold(net)
    pools_to_convolutions(net, longest_sum(arch, options))
    names |= {node.name for node in net.nodes}  # before and after: a large average has become several operators
    named = {name: operators_of(getattr(options, name), names) for name in ("keep_float", "skip_from", "full_width")}
    for option, operators in named.items():
        check_names(option, operators, names)
    options = replace(options, **named)  # type: ignore[arg-type]  # no more than these fields
    skipped = _skipped(net, options, few)
    quantised = find_layers(net, skipped)
    if options.equalise:
        results = [layer.result for layer in candidates(net, quantised)]
        equalise(net, quantised, largest_by_channel(net, results, few, report, "observing channels"))
    check_layers(net, quantised)
    if options.split_layers and options.searched:
        layers = find_layers(net, skipped).layers
        split_layers(
            net, layers, _by_channel(net, layers, few, report), arch, options, Importance(net, moments(net, few))
        )
    if arch.channel_cuts and options.channel_scales:
        layers = find_layers(net, skipped).layers
        scale_channels(net, layers, _by_channel(net, layers, few, report), arch, options)
    kept: list[str] = []
    while True:
        quantised = find_layers(net, {*skipped, *kept})
        if not (quantised.group_of or options.keep_float or options.skip_from):
            raise QuantizeError(_nothing_left(net, kept, arch))
        try:
            plan, held = _attempts(net, quantised, parts, arch, options, report)
        except SumsDoNotFitError as error:
            kept += error.layers
            continue
        return Decision(net, plan, describe(net, plan, parts, few, held, kept, arch))


def _by_channel(
    net: Net, layers: tuple[Layer, ...], images: Calibration, report: Progress
) -> dict[str, npt.NDArray[np.float64]]:
    """How large what the layers read is, and their sums."""
    names = list(dict.fromkeys(name for layer in layers for name in (layer.source, layer.sums)))
    return largest_by_channel(net, names, images, report, "observing channels")


def _skipped(net: Net, options: QuantizeOptions, images: Calibration) -> set[str]:
    """What stays in float whatever the layers before it become."""
    asked = {*options.keep_float, *behind(net, options.skip_from)}
    asked |= without_images(net, find_layers(net, asked).layers, images)
    return asked | postprocessing(net, find_layers(net, asked), images)


def _nothing_left(net: Net, kept: list[str], arch: Architecture) -> str:
    if kept:
        return f"the sums of {', '.join(kept)} do not fit {arch.acc_bits} bits, and there is nothing else to quantise"
    found = ", ".join(sorted({node.op for node in net.nodes})) or "none"
    nothing = f"there is nothing to quantise: no convolution, dense layer or pooling of the input (operators: {found})"
    return "; ".join((nothing, *_not_of_images(net)))


def _not_of_images(net: Net) -> Iterator[str]:
    """The first operator that would be quantised, were its data images."""
    for node in net.nodes:
        axes = len(net.shapes.get(node.inputs[0]) or ()) if node.inputs else 0
        if ("Conv" in node.op or "Pool" in node.op) and axes not in (0, IMAGE_AXES):
            yield f"{node.op} {node.name} reads data of {axes} axes, that of images has {IMAGE_AXES} (N, C, H, W)"
            return


def _attempts(
    net: Net,
    quantised: QuantisedLayers,
    parts: CalibrationSplit,
    arch: Architecture,
    options: QuantizeOptions,
    report: Progress,
) -> tuple[QuantizationPlan, Extremes]:
    """A plan under which all sums fit, and their extremes on the images held back. Raises SumsDoNotFitError."""
    few = parts.search[: options.search_images]
    samples = Samples(net, quantised.layers, len(few))
    seen, errors = _observe(net, quantised, parts.search, samples, options.ranges(arch)[1], report)
    start = start_plan(net, quantised, seen, errors, arch, options)
    if options.searched:
        limits = options.ranges(arch)[1]
        balance(net, start, lambda name, e: error_at(errors[name], seen.magnitude(name), e, limits))
    full: list[Layer] = []
    for _ in range(ATTEMPTS):
        plan = copy.deepcopy(start)
        try:
            search(net, plan, seen, samples, few, arch, options, report)
        except WeightsTooFineError as error:
            full = [error.layer]
            start.make_coarser(error.layer, sums=_is_sum(net, error.layer))
            continue
        held = proof.sums(net, plan, parts.held_back, report)
        sums = held.joined(proof.sums(net, plan, parts.search, report))
        full = [layer for layer in quantised.layers if not proof.fits(layer, net, plan, sums, arch, options)]
        if not full:
            return plan, held
        for layer in full:
            if _is_sum(net, layer):
                start.make_coarser(layer, sums=True)
            else:
                start.weight[layer.name] = plan.weight[layer.name] + 2  # the search tries one step finer
    raise SumsDoNotFitError([layer.name for layer in full], arch)


def _is_sum(net: Net, layer: Layer) -> bool:
    return is_sum(net.constants[layer.node.inputs[1]])


def _observe(
    net: Net,
    quantised: QuantisedLayers,
    images: Calibration,
    samples: Samples,
    limits: IntegerRange,
    progress: Progress,
) -> tuple[Extremes, dict[str, npt.NDArray[np.float64]]]:
    """Extremes over all these images; over the first ones the samples, and the relative errors of exponents. No image is run twice,
    but for tensors whose extremes the samples' images raise fourfold."""
    sums = [layer.sums for layer in quantised.layers]
    names = list(dict.fromkeys([*quantised.judged, *sums]))
    few = images[: samples.images]
    seen = extremes(net, names, images[len(few) :], progress, "observing activations", sums)
    errors = ExponentErrors(quantised.judged, limits, seen)
    for values in observe(net, names, few, progress, "sampling layers"):
        seen.add(values)
        errors.add(values)
        samples.add(values)
    late = errors.incomplete()
    again = ExponentErrors(late, limits, seen)
    for values in observe(net, late, few, progress, "sampling layers") if late else ():
        again.add(values)
    return seen, {**errors.relative(), **again.relative()}
