"""A survey's rows, whoever finds them."""

from __future__ import annotations

from pathlib import Path

import pytest

from tvm_re2na import frontends, load_dataset, load_model
from tvm_re2na.survey import Workers, survey_bits, survey_carry, survey_sensitivity

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")


def test_workers_find_the_same_rows_and_go_on_after_an_interruption(demo_data: Path, tmp_path: Path) -> None:
    model = load_model(demo_data / "lenet5_mnist.onnx")
    images = load_dataset(demo_data / "mnist_test1000.npz", 40)
    calibration = load_dataset(demo_data / "mnist_calibration128.npz", 16)

    def interrupt(stage: str, done: int, total: int) -> None:
        if stage.startswith("survey") and done == 40:
            raise KeyboardInterrupt

    alone = survey_bits(model, images, calibration, widths=(8, 3))
    with pytest.raises(KeyboardInterrupt):
        survey_bits(
            model, images, calibration, widths=(8, 3), workers=Workers(resume=tmp_path / "run"), progress=interrupt
        )
    steps: list[tuple[str, int, int]] = []
    again = survey_bits(
        model,
        images,
        calibration,
        widths=(8, 3),
        workers=Workers(jobs=2, resume=tmp_path / "run"),
        progress=lambda *step: steps.append(step),
    )
    assert again == alone
    assert [step for step in steps if step[0] == "survey bits"] == [("survey bits", 40, 80), ("survey bits", 80, 80)]
    assert survey_carry(model, images, calibration, accumulators=(17,), workers=Workers(jobs=2)) == survey_carry(
        model, images, calibration, accumulators=(17,)
    )
    assert survey_sensitivity(model, images, calibration, workers=Workers(jobs=2)) == survey_sensitivity(
        model, images, calibration
    )
