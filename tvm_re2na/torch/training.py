"""The loop of distillation and of fine-tuning: rates fall to 0 along half a cosine, and the student is looked at now and then."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from tvm_re2na.progress import Progress


@dataclass
class Course:
    """How a training went. `held_out`: (step, what `judge` said), before the first step and at each look; `losses`: means over the
    steps in between."""

    held_out: list[tuple[int, float]]
    losses: list[float] = field(default_factory=list)


def train(
    optimiser: torch.optim.Optimizer,
    steps: int,
    looks: int,
    loss_of: Callable[[int], Tensor],
    judge: Callable[[], float],
    stage: str,
    progress: Progress,
) -> Course:
    """`loss_of` is asked at each of the steps 1..`steps`, `judge` about `looks` times; `progress` is told of the `stage`."""
    schedule = torch.optim.lr_scheduler.LambdaLR(optimiser, lambda step: 0.5 * (1 + math.cos(math.pi * step / steps)))
    every, course, recent = max(1, steps // looks), Course([(0, judge())]), list[float]()
    for step in range(1, steps + 1):
        loss = loss_of(step)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        recent.append(float(loss.detach()))
        if step % every == 0 or step == steps:
            course.held_out.append((step, judge()))
            course.losses.append(sum(recent) / len(recent))
            recent = []
        progress(stage, step, steps)
    return course
