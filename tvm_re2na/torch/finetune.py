"""Fine-tuning of quantised models: a few images, many changes of them, and the float model as the teacher.

The forward pass is the machine's; gradients pass roundings as if they were not there, and stop where values saturate (see
`arithmetic`). Distillation (Hinton et al. 2015) needs no labels: the student learns the teacher's answers, twice: from its results
before the cut, where gradients are rich, and after it, where the machine decides.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.progress import Progress, silent
from tvm_re2na.torch.arithmetic import Bound, quantise, scale
from tvm_re2na.torch.layers import QLinearLayer
from tvm_re2na.torch.training import train

Change: TypeAlias = Callable[[Tensor], Tensor]

TEACHER_TEMPERATURE = 2.0
STUDENT_TEMPERATURE = 3.0  # results of few values cannot be as sure as the teacher's
WEIGHT_RATE = 0.016  # of a weight's step, for the first step of training
BIAS_RATE = 0.0005  # of the result's step
COARSE = 3  # results up to it have so few values that the right class must be cut to another one than all the rest
SHARPNESS = 4.0  # of that decision, per step of the result
COPIES = 8  # changed copies of each held-out image
CHECKS = 16  # how often the student is measured on them


class FineTuneError(Re2naError, ValueError):
    """The model or the images cannot be trained with; the message says why."""


@dataclass(frozen=True)
class FineTuning:
    """What happened. `held_out`: (step, share of the teacher's answers that the student gives on images it does not train with);
    where training did not gain by that measure, the model is what it was. `losses` are means over the steps in between."""

    steps: int
    losses: list[float]
    held_out: list[tuple[int, float]]
    gained: bool


def fine_tune(
    model: fx.GraphModule,
    images: Tensor,
    teacher: nn.Module,
    *,
    steps: int = 2000,
    batch: int = 128,
    rate: float = 1.0,
    augment: Change | None = None,
    held_out: float = 0.125,
    bound: Bound | None = None,
    seed: int = 0,
    progress: Progress | None = None,
) -> FineTuning:
    """Train a calibrated model in place so that it answers as `teacher`, the float model, does.

    `images` is float32 (N, C, H, W); `augment` changes every batch (see `Augment`). The share `held_out` of the images is not
    trained with: it tells whether the training gained. `rate` scales the learning rates. The same seed gives the same model.
    `bound`: from now on no input can overflow an accumulator, because the L1 norm of each output's weights is limited ("norm"), in
    "centred" weights, whose mean is 0, to twice as much behind a ReLU; None leaves each layer as it is.
    Masks of pruning stay in force. Raises FineTuneError.
    """
    last = _last_layer(model)
    kept = max(1, round(len(images) * held_out))
    if len(images) <= kept:
        raise FineTuneError(f"{len(images)} images, held_out = {held_out}: none is left to train with")
    change = augment or (lambda x: x)
    teacher.eval()
    for module in model.modules():
        if bound is not None and isinstance(module, QLinearLayer):
            module.bound = bound
    with torch.random.fork_rng(devices=[]), _training(model, last):
        torch.manual_seed(seed)
        order = torch.randperm(len(images))
        if last.limits[1] <= COARSE:
            last.exponent = _least_error_exponent(_answers(teacher, images), last)
        checks = _held_out(images[order[:kept]], change, teacher)
        return _train(model, last, images[order[kept:]], teacher, checks, change, steps, batch, rate, progress)


def _train(
    model: fx.GraphModule,
    last: QLinearLayer,
    images: Tensor,
    teacher: nn.Module,
    checks: tuple[Tensor, Tensor],
    change: Change,
    steps: int,
    batch: int,
    rate: float,
    progress: Progress | None,
) -> FineTuning:
    optimiser = torch.optim.Adam(_parameters(model, rate))
    start = copy.deepcopy(model.state_dict())

    def loss_at(_: int) -> Tensor:
        x = change(images[torch.randint(0, len(images), (batch,))])
        return _loss(model(x), last, _answers(teacher, x))

    judge, told = lambda: _agreement(model, *checks), progress or silent
    course = train(optimiser, steps, CHECKS, loss_at, judge, "fine-tuning", told)
    gained = course.held_out[-1][1] >= course.held_out[0][1]
    if not gained:
        model.load_state_dict(start)
    return FineTuning(steps, course.losses, course.held_out, gained)


def _loss(results: Tensor, last: QLinearLayer, answers: Tensor) -> Tensor:
    if last.uncut is None or last.exponent is None:
        raise FineTuneError("the model's result does not come from its last layer")
    uncut = last.uncut if results.dim() > 2 else last.uncut.flatten(1)
    wanted = F.softmax(answers, 1)
    soft = F.softmax(answers / TEACHER_TEMPERATURE, 1)
    before = F.kl_div(F.log_softmax(uncut / STUDENT_TEMPERATURE, 1), soft, reduction="batchmean")
    passed = uncut + (results - uncut).detach()  # a result that saturates can still be wrong
    after = F.cross_entropy(passed / STUDENT_TEMPERATURE, wanted)
    loss: Tensor = before + 0.5 * after
    if last.limits[1] <= COARSE:
        steps = uncut * 2.0**-last.exponent
        loss = (
            loss
            + 0.5
            * F.binary_cross_entropy_with_logits(SHARPNESS * (steps - 0.5), wanted, reduction="none").sum(1).mean()
        )
    return loss


def _least_error_exponent(answers: Tensor, last: QLinearLayer) -> int:
    """The result's step that rounds the teacher's answers best: the student need not come from them with a coarser one."""
    start = last.exponent or 0
    candidates = range(max(last.unit, start - 3), min(last.unit + last.arch.acc_bits, start + 4))
    return min(candidates, key=lambda step: float((_rounded(answers, step, last.limits) - answers).square().sum()))


def _rounded(values: Tensor, exponent: int, limits: tuple[int, int]) -> Tensor:
    return scale(quantise(values, exponent, limits), exponent)


def _parameters(model: nn.Module, rate: float) -> list[dict[str, object]]:
    """Each with a rate in proportion to its own step."""
    groups: list[dict[str, object]] = []
    for module in model.modules():
        if isinstance(module, QLinearLayer) and module.weight.requires_grad:
            groups.append({"params": [module.weight], "lr": rate * WEIGHT_RATE * 2.0 ** (module.weight_exponent or 0)})
            if module.bias is not None:
                groups.append({"params": [module.bias], "lr": rate * BIAS_RATE * 2.0 ** (module.exponent or 0)})
    return groups


def _last_layer(model: fx.GraphModule) -> QLinearLayer:
    """The layer whose result is the model's."""
    output = next(node for node in model.graph.nodes if node.op == "output").args[0]
    while _flattens(model, output):
        output = output.args[0]
    module = model.get_submodule(str(output.target)) if output.op == "call_module" else None
    if not isinstance(module, QLinearLayer) or module.exponent is None:
        raise FineTuneError(
            f"the model ends in {type(module).__name__}, expected a calibrated convolution or dense layer"
        )
    return module


def _flattens(model: fx.GraphModule, node: fx.Node) -> bool:
    return node.target is torch.flatten or (
        node.op == "call_module" and isinstance(model.get_submodule(str(node.target)), nn.Flatten)
    )


@contextmanager
def _training(model: nn.Module, last: QLinearLayer) -> Iterator[None]:
    was = model.training
    model.train()
    last.keep_uncut = True
    try:
        yield
    finally:
        last.keep_uncut, last.uncut = False, None
        model.train(was)


def _held_out(images: Tensor, change: Change, teacher: nn.Module) -> tuple[Tensor, Tensor]:
    many = torch.cat([images, *(change(images) for _ in range(COPIES))])
    return many, _answers(teacher, many).argmax(1)


@torch.no_grad()
def _answers(teacher: nn.Module, images: Tensor) -> Tensor:
    answers: Tensor = teacher(images)
    return answers


@torch.no_grad()
def _agreement(model: nn.Module, images: Tensor, classes: Tensor) -> float:
    return float((model(images).argmax(1) == classes).float().mean())
