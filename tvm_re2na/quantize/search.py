"""The search itself: layer by layer, in order of execution, the exponents, weights and biases of least error of the layer's output.

A layer is judged by its result: what the machine computes from the inputs that the quantised network really has for it, cut,
clipped and rounded, against the float network's result. So a layer also makes good, as far as it can, what those before it lost.
"""

from __future__ import annotations

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.progress import Progress
from tvm_re2na.quantize.errors import QuantizeError
from tvm_re2na.quantize.layers import Layer
from tvm_re2na.quantize.load import Calibration
from tvm_re2na.quantize.net import Net
from tvm_re2na.quantize.observe import Extremes
from tvm_re2na.quantize.options import Guarantee, QuantizeOptions, ScaleRule, WeightRounding
from tvm_re2na.quantize.plan import Integers, QuantizationPlan
from tvm_re2na.quantize.rounding import LARGEST_INPUTS
from tvm_re2na.quantize.samples import Samples
from tvm_re2na.quantize.scales import is_average, is_sum, rounded
from tvm_re2na.quantize.segments import Segments
from tvm_re2na.quantize.transposed import weight_of
from tvm_re2na.quantize.trials import Choice, LayerTrials, whole_bias

STEPS = (-1, 0, 1)  # of an exponent, around where the search starts
SUMS = [0, -1]  # of weights that are 1: as 1, or as 2, which leaves room for a bias of half a unit
# further steps for weights that must shrink, until no input can overflow their sums or until these fit at all
COARSER = 6
PAYS_BELOW_DB = 30.0  # weights are rounded together where nearest ones leave less signal over noise than this
SMALL = 2**18  # weights: so small a layer is rounded together for every exponent, not just for the best one


class WeightsTooFineError(QuantizeError):
    """No weights near the start's exponent fit the accumulator."""

    def __init__(self, layer: Layer) -> None:
        super().__init__(f"{layer.name}: no scales found under which its sums fit the accumulator")
        self.layer = layer


def search(
    net: Net,
    plan: QuantizationPlan,
    seen: Extremes,
    samples: Samples,
    images: Calibration,
    arch: Architecture,
    options: QuantizeOptions,
    progress: Progress,
) -> None:
    """Decide every layer of `plan`, starting from its exponents. Raises WeightsTooFineError."""
    layers = plan.quantised.layers
    for layer in layers:
        weight, bias = weight_of(net, layer.node), net.constants[layer.node.inputs[2]]
        integers = rounded(weight, plan.weight[layer.name], plan.weights_of(layer))
        plan.integers[layer.name] = Integers(
            integers, whole_bias(bias, plan.unit(layer), plan.lsbs(layer), arch, options)
        )
    segments = Segments(net, plan, images)
    for index, layer in enumerate(layers):
        source = segments.value(layer.source, [other.source for other in layers[index:]])
        _decide(LayerTrials(net, plan, layer, seen, samples, source, arch, options), plan, layer, options)
        progress("searching scales and weights", index + 1, len(layers))
    samples.forget_floats()


def _decide(trials: LayerTrials, plan: QuantizationPlan, layer: Layer, options: QuantizeOptions) -> None:
    choice = _best(trials, plan, layer, options)
    plan.weight[layer.name], plan.integers[layer.name] = choice.e_w, choice.integers
    plan.group[plan.quantised.group_of[layer.result]] = choice.e_y
    plan.seen_db[layer.name] = trials.snr_db(choice)


def _best(trials: LayerTrials, plan: QuantizationPlan, layer: Layer, options: QuantizeOptions) -> Choice:
    results = _result_exponents(plan, layer, options)
    sums = is_sum(trials.weight)
    if sums:
        exponents = SUMS
    elif options.scales is ScaleRule.LARGEST:
        exponents = [plan.weight[layer.name]]
    else:
        exponents = _weight_exponents(plan, layer, options)
    choices = [choice for e_w in exponents for choice in trials.choices(e_w, results)]
    if not (choices or sums):
        choices = _coarser(trials, exponents[-1] + 1, results)
        exponents = [choice.e_w for choice in choices[:1]]
    if not choices:
        raise WeightsTooFineError(layer)
    best = min(choices, key=_worth_of_sums if sums else _worth)
    if not (sums or is_average(trials.weight)) and _rounds_together(trials, best, options):
        tried = exponents if trials.weight.size <= SMALL else [best.e_w]
        together = [choice for e_w in tried for choice in trials.choices(e_w, results, together=True)]
        best = min([best, *together], key=_worth)
    return best


def _coarser(trials: LayerTrials, first: int, results: list[int]) -> list[Choice]:
    """Of the finest exponent that fits: what the layers before made of the inputs may be more than the start was made for."""
    found = (trials.choices(e_w, results) for e_w in range(first, first + COARSER))
    return next((choices for choices in found if choices), [])


def _worth(choice: Choice) -> tuple[float, int]:
    """Less error; of equal ones, coarser weights, whose sums are smaller."""
    return choice.error, -choice.e_w


def _worth_of_sums(choice: Choice) -> tuple[float, int]:
    """Of equal ones that with weights 2, of which none is a tie."""
    return choice.error, choice.e_w


def _weight_exponents(plan: QuantizationPlan, layer: Layer, options: QuantizeOptions) -> list[int]:
    steps = (*STEPS, *range(2, COARSER)) if options.guarantee is Guarantee.PROVEN else STEPS
    return [plan.weight[layer.name] + step for step in steps]


def _result_exponents(plan: QuantizationPlan, layer: Layer, options: QuantizeOptions) -> list[int]:
    """A group that several layers write, or that additions join, keeps what all its members need; one that is coarser for the sake
    of the layers behind it becomes no finer."""
    start = plan.exponent(layer.result)
    free = options.scales is ScaleRule.SEARCHED and plan.quantised.is_free(layer)
    balanced = plan.quantised.group_of[layer.result] in plan.balanced
    return [start + step for step in STEPS if step >= 0 or not balanced] if free else [start]


def _rounds_together(trials: LayerTrials, nearest_best: Choice, options: QuantizeOptions) -> bool:
    if options.rounding is WeightRounding.AUTO:
        return trials.rows.shape[2] <= LARGEST_INPUTS and trials.snr_db(nearest_best) < PAYS_BELOW_DB
    return options.rounding is WeightRounding.SEARCHED
