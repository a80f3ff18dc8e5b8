"""Fine-tuning and pruning on the demo's LeNet-5: they gain, they are deterministic, zeros stay zeros and are skipped."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from onnx import numpy_helper
from torch import nn

from tvm_re2na import pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.runtime.report import compile_report
from tvm_re2na.torch import Augment, FineTuneError, PruneError, convert, export, fine_tune, prune
from tvm_re2na.tutorials.lenet5_torch import LeNet5, demo_images, top1, trained

THREE = Architecture(data_bits=3)


@pytest.fixture(scope="module")
def teacher() -> LeNet5:
    return trained()


def test_fine_tuning_gains_and_is_deterministic(teacher: LeNet5) -> None:
    test, known = demo_images()
    images, augment = torch.tensor(known.x), Augment(fill=float(known.x.min()))
    models, reports = [], []
    for _ in range(2):
        model = convert(teacher, known.x, arch=THREE, weights="float")
        before = top1(model, test)
        reports.append(fine_tune(model, images, teacher, steps=60, batch=64, augment=augment))
        models.append(model)
    assert reports[0] == reports[1] and reports[0].gained
    assert reports[0].losses[-1] < reports[0].losses[0]
    assert all(torch.equal(a, b) for a, b in zip(*(model.parameters() for model in models), strict=True))
    assert top1(models[0], test) > before + 0.05


def test_images_that_are_too_few_are_named(teacher: LeNet5) -> None:
    _, known = demo_images()
    model = convert(teacher, known.x)
    with pytest.raises(FineTuneError, match="none is left to train with"):
        fine_tune(model, torch.tensor(known.x[:1]), teacher)
    with pytest.raises(FineTuneError, match="expected a calibrated convolution or dense layer"):
        fine_tune(convert(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), known.x), torch.tensor(known.x), teacher)


def test_augmented_images_keep_their_shape_and_background() -> None:
    _, known = demo_images()
    images, fill = torch.tensor(known.x), float(known.x.min())
    torch.manual_seed(0)
    changed = Augment(fill=fill)(images)
    assert changed.shape == images.shape and not torch.equal(changed, images)
    assert (changed[:, :, 0, 0] - fill).abs().mean() < 0.1


@pytest.mark.parametrize("kind", ["magnitude", "block"])
def test_zeros_survive_training_and_export(teacher: LeNet5, kind: str) -> None:
    _, known = demo_images()
    model = convert(teacher, known.x, weights="float")
    report = prune(model, 0.5, kind)
    assert all(abs(layer.sparsity - 0.5) < 0.05 for layer in report)
    fine_tune(model, torch.tensor(known.x), teacher, steps=10, batch=32)
    grown = prune(model, 0.7, kind)
    for name, module in (("fc1", model.get_submodule("fc1")), ("conv2", model.get_submodule("conv2"))):
        weight, _ = module.integers()
        assert not weight[module.mask == 0].any()
        share = next(layer.sparsity for layer in grown if layer.name == name)
        assert abs(share - 0.7) < 0.05
    weights = {item.name: numpy_helper.to_array(item) for item in export(model, known.shape).graph.initializer}
    for name in ("conv1", "conv2", "fc1", "fc2", "fc3"):
        masked = model.get_submodule(name).mask.numpy() == 0
        assert masked.any() and not weights[f"{name}.weight.int8"][masked].any()


def test_blocks_are_skipped_single_zeros_are_not(teacher: LeNet5) -> None:
    _, known = demo_images()
    cycles = {}
    for kind in ("none", "magnitude", "block"):
        model = convert(teacher, known.x)
        if kind != "none":
            prune(model, 0.5, kind)
        built = pipeline.build_for_re2na(*pipeline.import_into_tvm(export(model, known.shape)), Architecture())
        cycles[kind] = compile_report([program for _, program in built.programs])["total"]["cycles"]
    assert cycles["block"] < 0.7 * cycles["none"]
    assert 0.9 * cycles["none"] < cycles["magnitude"] <= cycles["none"]


def test_bad_wishes_are_named(teacher: LeNet5) -> None:
    _, known = demo_images()
    model = convert(teacher, known.x)
    for wish, message in (
        ({"sparsity": 1.0}, "sparsity = 1.0 is outside"),
        ({"sparsity": 0.5, "kind": "magic"}, "kind = 'magic'"),
        ({"sparsity": 0.5, "layers": ["fc9"]}, "layers: fc9"),
    ):
        with pytest.raises(PruneError, match=message):
            prune(model, **wish)
