"""Distillation: the loss is Hinton's, the teacher helps where labels are few, and what does not go together is named."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

sys.path.insert(0, str(Path(__file__).parent.parent.parent / "tutorials"))
from lenet5_torch import LeNet5, demo_images, top1, trained
from torch import Tensor, nn

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.torch import DistillError, convert, distill

IMAGES = torch.linspace(-1, 1, 6 * 5).view(6, 5)
LABELS = torch.tensor([0, 2, 1, 1, 0, 2])


@pytest.fixture(scope="module")
def teacher() -> LeNet5:
    return trained()


def dense(seed: int = 0, classes: int = 3) -> nn.Linear:
    torch.manual_seed(seed)
    return nn.Linear(5, classes)


def student() -> nn.Module:
    """With what behaves differently in training."""
    torch.manual_seed(0)
    layers = (nn.Conv2d(1, 4, 5, 2, 2), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Dropout(0.1))
    return nn.Sequential(*layers, nn.Linear(196, 10))


def log_softmax(scores: np.ndarray) -> np.ndarray:
    shifted = scores - scores.max(1, keepdims=True)
    return np.asarray(shifted - np.log(np.exp(shifted).sum(1, keepdims=True)))


@pytest.mark.parametrize("weight", [0.0, 0.3, 1.0])
def test_the_loss_is_that_of_the_paper(weight: float) -> None:
    net, wise = dense(0), dense(1)
    results, answers = (each(IMAGES).detach().numpy().astype(np.float64) for each in (net, wise))
    report = distill(
        wise, net, IMAGES, LABELS, temperature=3.0, weight=weight, steps=1, batch=4, held_out=0.4, rate=1e-9
    )
    order = torch.randperm(6, generator=torch.Generator().manual_seed(0)).numpy()
    used = order[2:]  # 0.4 of 6 images are held out; the batch has all others
    mine, wanted = log_softmax(results[used] / 3), log_softmax(answers[used] / 3)
    imitation = 9 * (np.exp(wanted) * (wanted - mine)).sum(1).mean()
    known = -log_softmax(results[used])[np.arange(4), LABELS.numpy()[used]].mean()
    assert report.losses == [pytest.approx(weight * imitation + (1 - weight) * known, rel=1e-5)]
    share = float((results[order[:2]].argmax(1) == LABELS.numpy()[order[:2]]).mean())
    assert report.held_out == [(0, share), (1, share)]


def test_without_labels_the_student_learns_the_teachers_classes(teacher: LeNet5) -> None:
    test, known = demo_images()
    images = torch.from_numpy(test.x[:600])
    before = {name: value.clone() for name, value in teacher.state_dict().items()}
    students, reports, told = [], [], []
    for _ in range(2):
        net = student().eval()
        reports.append(
            distill(teacher, net, images, steps=60, batch=64, rate=1e-2, progress=lambda *seen: told.append(seen))
        )
        students.append(net)
        assert not net.training and not teacher.training
    assert all(torch.equal(a, b) for a, b in zip(*(net.parameters() for net in students), strict=True))
    assert reports[0] == reports[1] and reports[0].held_out[-1][1] > reports[0].held_out[0][1] + 0.5
    assert top1(students[0], known) > 0.7
    assert all(torch.equal(value, before[name]) for name, value in teacher.state_dict().items())
    assert ("teacher's answers", 600, 600) in told and ("distillation", 60, 60) in told


def test_a_student_of_the_machines_layers_learns_with_its_bits(teacher: LeNet5) -> None:
    test, known = demo_images()
    images, labels = torch.from_numpy(known.x), torch.from_numpy(known.y)
    quantised = convert(teacher, known.x, arch=Architecture(data_bits=3), weights="float")
    before = top1(quantised, test)
    distill(teacher, quantised, images, labels, steps=60, batch=64, rate=1e-3)
    assert top1(quantised, test) > before + 0.03


def test_scores_take_the_place_of_the_teacher() -> None:
    nets, wise = [dense(), dense()], dense(1)
    reports = [
        distill(teacher, net, IMAGES, LABELS, steps=3, batch=2)
        for net, teacher in zip(nets, (wise, wise(IMAGES).detach()), strict=True)
    ]
    assert reports[0] == reports[1] and torch.equal(nets[0].weight, nets[1].weight)


def test_changed_images_are_the_teachers_as_well() -> None:
    seen: list[Tensor] = []

    def wise(images: Tensor) -> Tensor:
        assert not torch.is_grad_enabled()
        seen.append(images)
        return images[:, :3]

    distill(wise, dense(), IMAGES, LABELS, steps=3, batch=2, augment=lambda images: images + 7)
    assert [tuple(images.shape) for images in seen] == [(2, 5)] * 3
    assert all(bool((images > 5).all()) for images in seen)


def test_without_weight_nobody_asks_the_teacher() -> None:
    def wise(images: Tensor) -> Tensor:
        raise AssertionError(images)

    report = distill(wise, dense(), IMAGES, LABELS, weight=0.0, steps=2)
    assert len(report.losses) == 2


@pytest.mark.parametrize(
    ("wish", "message"),
    [
        ({"temperature": 0.0}, "temperature = 0.0, expected a number above 0"),
        ({"weight": 1.5}, r"weight = 1.5 is outside 0\.\.1"),
        ({"rate": float("nan")}, "rate = nan, expected a number above 0"),
        ({"steps": 0}, "steps = 0, expected at least 1"),
        ({"batch": 0}, "batch = 0, expected at least 1"),
        ({"held_out": 1.0}, "6 images, held_out = 1.0: none is left to train with"),
        ({"images": IMAGES[:0], "labels": None}, "0 images"),
        ({"images": IMAGES / 0}, "the images are not all finite"),
        ({"teacher": lambda images: images[:, :3] / 0}, "the teacher's answers are not all finite"),
        ({"teacher": dense(classes=4)}, r"the teacher's answers are \(6, 4\), expected \(6, 3\)"),
        ({"teacher": torch.zeros(5, 3)}, r"the teacher's answers are \(5, 3\), expected \(6, 3\)"),
        (
            {"teacher": torch.zeros(6, 3), "augment": lambda images: images},
            "must be a function of them, not its scores",
        ),
        ({"student": nn.Flatten()}, "the student has no parameters to train"),
        ({"student": nn.Sequential(dense(), nn.Unflatten(1, (3, 1)))}, r"the student answers \(1, 3, 1\) to one image"),
        ({"labels": LABELS[:5]}, r"labels are \(5,\), expected one for each of 6 images"),
        ({"labels": LABELS - 1}, r"labels -1\.\.1 are outside 0\.\.2"),
        ({"labels": LABELS + 1}, r"labels 1\.\.3 are outside 0\.\.2"),
        ({"images": IMAGES * 3e38}, r"step 1: the loss is (nan|inf); a smaller rate than 0\.002 may help"),
        ({"rate": 2.0}, "rate = 2.0, expected a number above 0, at most 1"),
    ],
)
def test_what_does_not_go_together_is_named(wish: dict[str, Any], message: str) -> None:
    given = {"teacher": dense(1), "student": dense(), "images": IMAGES, "labels": LABELS} | wish
    with pytest.raises(DistillError, match=message):
        distill(**given)
