"""Distillation (Hinton et al. 2015, "Distilling the Knowledge in a Neural Network"): a small network imitates a large one.

The student learns the labels, and the teacher's answers softened by a temperature, which tell how alike the classes are as well. A
student of Re²Na's layers learns with the machine's bits, as in `fine_tune`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeAlias

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.progress import Progress, silent
from tvm_re2na.torch.training import train

Teacher: TypeAlias = Callable[[Tensor], Tensor]  # images (N, ...) -> scores before the softmax, (N, classes)
Change: TypeAlias = Callable[[Tensor], Tensor]

CHECKS = 8  # how often the student is measured on the images that it does not train with
PIECE = 256  # images that are answered at once where nothing is learnt


class DistillError(Re2naError, ValueError):
    """Teacher, student, images and labels do not go together; the message says why."""


@dataclass(frozen=True)
class Distillation:
    """What happened. `held_out`: (step, share of images that are not trained with which the student puts into the right class;
    without labels, into the teacher's). `losses` are means over the steps in between."""

    steps: int
    losses: list[float]
    held_out: list[tuple[int, float]]


@dataclass(frozen=True)
class _Lessons:
    """Images with what is to be learnt of them; `answers` is None where batches are changed, and the teacher is asked anew."""

    images: Tensor
    labels: Tensor | None
    answers: Tensor | None

    def part(self, which: Tensor) -> _Lessons:
        labels, answers = (None if each is None else each[which] for each in (self.labels, self.answers))
        return _Lessons(self.images[which], labels, answers)


def distill(
    teacher: Teacher | Tensor,
    student: nn.Module,
    images: Tensor,
    labels: Tensor | None = None,
    *,
    temperature: float = 4.0,
    weight: float = 0.9,
    steps: int = 1000,
    batch: int = 128,
    rate: float = 2e-3,
    augment: Change | None = None,
    held_out: float = 0.1,
    seed: int = 0,
    progress: Progress = silent,
) -> Distillation:
    """Train `student` in place by weight * T**2 * KL(teacher at T, student at T) + (1 - weight) * cross-entropy with the labels.

    `teacher` is a module or any function from images to scores, like that of a model in ONNX Runtime, or its scores of all images,
    (N, classes); it is not changed. `images` is float32 (N, ...), `labels` (N,) of class numbers; without labels only the teacher
    counts, whatever the `weight`. With `weight` 0 it is the same training without the teacher, who is not asked. `temperature` is
    T. The optimiser is Adam, whose `rate` falls to 0 along half a cosine. `augment` changes every batch for both, and the teacher
    is asked at each step; otherwise once. The share `held_out` of the images is not trained with. The same seed gives the same
    student. Raises DistillError.
    """
    labels = None if labels is None else labels.long()
    weight = weight if labels is not None else 1.0
    _check_numbers(temperature, weight, steps, batch, rate)
    if augment is not None and isinstance(teacher, Tensor):
        raise DistillError("augment changes the images: the teacher must be a function of them, not its scores")
    kept = max(1, round(len(images) * held_out))
    if not 0 <= held_out < 1 or len(images) <= kept:
        raise DistillError(f"{len(images)} images, held_out = {held_out}: none is left to train with")
    with torch.random.fork_rng(devices=[]), _roles(teacher, student):
        torch.manual_seed(seed)
        at_once = weight > 0 and (augment is None or labels is None)
        lessons = _Lessons(images, labels, _scores(teacher, images, progress) if at_once else None)
        _check_lessons(student, lessons)
        order = torch.randperm(len(images))
        loss = _Loss(teacher, temperature, weight, augment)
        return _train(
            student, lessons.part(order[kept:]), lessons.part(order[:kept]), loss, steps, batch, rate, progress
        )


@dataclass(frozen=True)
class _Loss:
    teacher: Teacher | Tensor
    temperature: float
    weight: float
    change: Change | None

    def __call__(self, student: nn.Module, lessons: _Lessons) -> Tensor:
        images, answers = lessons.images, lessons.answers
        if self.change is not None:
            images = self.change(images)
            answers = _scores(self.teacher, images) if self.weight > 0 else None
        results = student(images)
        loss = results.new_zeros(())
        if answers is not None:
            loss = loss + self.weight * self._imitation(results, answers)
        if lessons.labels is not None:
            loss = loss + (1 - self.weight) * F.cross_entropy(results, lessons.labels)
        return loss

    def _imitation(self, results: Tensor, answers: Tensor) -> Tensor:
        """T**2 keeps its gradients as large as those of the labels, whatever T."""
        mine, wanted = (F.log_softmax(scores / self.temperature, 1) for scores in (results, answers))
        return self.temperature**2 * F.kl_div(mine, wanted, reduction="batchmean", log_target=True)


def _train(
    student: nn.Module,
    lessons: _Lessons,
    checks: _Lessons,
    loss_of: _Loss,
    steps: int,
    batch: int,
    rate: float,
    progress: Progress,
) -> Distillation:
    optimiser = torch.optim.Adam([each for each in student.parameters() if each.requires_grad], rate)
    batches = _batches(len(lessons.images), batch)

    def loss_at(step: int) -> Tensor:
        loss = loss_of(student, lessons.part(next(batches)))
        if not math.isfinite(float(loss.detach())):
            raise DistillError(f"step {step}: the loss is {float(loss.detach())}; a smaller rate than {rate} may help")
        return loss

    course = train(optimiser, steps, CHECKS, loss_at, lambda: _right(student, checks), "distillation", progress)
    return Distillation(steps, course.losses, course.held_out)


def _batches(images: int, batch: int) -> Iterator[Tensor]:
    """All images in a new order, again and again; what is left of one order is too little for BatchNorm, and waits for the next."""
    batch = min(batch, images)
    while True:
        order = torch.randperm(images)
        yield from (order[first : first + batch] for first in range(0, images - batch + 1, batch))


def _right(student: nn.Module, checks: _Lessons) -> float:
    """The share of right classes, measured as the student is used: without dropout, with BatchNorm's means."""
    wanted = checks.labels
    if wanted is None and checks.answers is not None:
        wanted = checks.answers.argmax(1)
    return float((_used(student, checks.images).argmax(1) == wanted).float().mean())


def _used(student: nn.Module, images: Tensor) -> Tensor:
    was = student.training
    student.eval()
    scores = _scores(student, images)
    student.train(was)
    return scores


@torch.no_grad()
def _scores(network: Teacher | Tensor, images: Tensor, progress: Progress = silent) -> Tensor:
    if isinstance(network, Tensor):
        return network
    found = []
    for first in range(0, len(images), PIECE):
        found.append(network(images[first : first + PIECE]))
        progress("teacher's answers", min(first + PIECE, len(images)), len(images))
    return torch.cat(found)


@contextmanager
def _roles(teacher: Teacher | Tensor, student: nn.Module) -> Iterator[None]:
    """The student in training, the teacher not; afterwards as they were."""
    modules = [module for module in (student, teacher) if isinstance(module, nn.Module)]
    were = [(part, part.training) for module in modules for part in module.modules()]
    student.train()
    if isinstance(teacher, nn.Module):
        teacher.eval()
    try:
        yield
    finally:
        for part, training in were:
            part.training = training


def _check_numbers(temperature: float, weight: float, steps: int, batch: int, rate: float) -> None:
    if not (math.isfinite(temperature) and temperature > 0):
        raise DistillError(f"temperature = {temperature}, expected a number above 0")
    if not 0 <= weight <= 1:
        raise DistillError(f"weight = {weight} is outside 0..1")
    if not 0 < rate <= 1:
        raise DistillError(f"rate = {rate}, expected a number above 0, at most 1")
    for name, value in (("steps", steps), ("batch", batch)):
        if value < 1:
            raise DistillError(f"{name} = {value}, expected at least 1")


def _check_lessons(student: nn.Module, lessons: _Lessons) -> None:
    """What goes wrong in the middle of a training, or worse: not at all."""
    images, labels, answers = lessons.images, lessons.labels, lessons.answers
    for name, values in (("images", images), ("teacher's answers", answers)):
        if values is not None and not bool(values.isfinite().all()):
            raise DistillError(f"the {name} are not all finite")
    if not any(each.requires_grad for each in student.parameters()):
        raise DistillError("the student has no parameters to train")
    shape = tuple(_used(student, images[:1]).shape)
    if len(shape) != 2:
        raise DistillError(f"the student answers {shape} to one image, expected (1, classes)")
    if answers is not None and tuple(answers.shape) != (len(images), shape[1]):
        raise DistillError(f"the teacher's answers are {tuple(answers.shape)}, expected {(len(images), shape[1])}")
    if labels is None:
        return
    if tuple(labels.shape) != (len(images),):
        raise DistillError(f"labels are {tuple(labels.shape)}, expected one for each of {len(images)} images")
    low, high = int(labels.min()), int(labels.max())
    if low < 0 or high >= shape[1]:
        raise DistillError(f"labels {low}..{high} are outside 0..{shape[1] - 1}, the student's classes")
