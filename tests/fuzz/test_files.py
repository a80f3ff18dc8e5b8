"""A small fixed part of the campaigns, in this process; and that the campaign sees what goes wrong."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from tests.fuzz import campaign as running
from tests.fuzz.campaign import campaign
from tests.fuzz.cases import KINDS, MEMORY, Answer, Bench
from tests.fuzz.good_models import models
from tvm_re2na import frontends
from tvm_re2na.cli import commands

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")

CASES = {"onnx": 30, "npz": 50, "toml": 25, "image": 40, "program": 60}
# of seed 1: what has failed and whose kind no test elsewhere is about
FINDS = {
    "image": (533,),  # Pillow logged its error, besides raising it
    "onnx": (
        *(201, 285, 4523),  # TVM and ONNX Runtime printed their errors, besides raising them
        836,  # a scale of zero in a quantised model
        4609,  # a batch of -2**31 images
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz")


@pytest.mark.parametrize("kind", KINDS)
def test_every_answer_is_a_result_or_one_clean_error(kind: str, folder: Path) -> None:
    if kind == "image":
        pytest.importorskip("PIL")
    bench = Bench(kind, 1, folder, compare=False)
    answers = {index: bench.run(index) for index in (*range(CASES[kind]), *FINDS.get(kind, ()))}
    assert not {index: answer for index, answer in answers.items() if answer.wrong is not None}
    assert {answer.result for answer in answers.values()} == {True, False}, "none is good, or none is damaged"


def test_the_good_models_are_good(folder: Path) -> None:
    bench, results = Bench("onnx", 1, folder), []
    for content in models():
        bench.file.write_bytes(content)
        answer = bench.answer(
            "compile", bench.file, "--calibration", bench.fitting(content), "--output", folder / "out"
        )
        assert answer.wrong is None, answer
        results.append(answer.result)
    assert results.count(True) >= 3, "local functions are not quantised yet, and today's TVM knows no QLinear operators"


def test_cases_follow_from_their_numbers(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever the clock says."""
    for kind in KINDS:
        if kind != "image":
            one = Bench(kind, 1, folder).content(7)[1]
            with monkeypatch.context() as later:
                later.setattr(time, "time", lambda: 1e9)
                other = Bench(kind, 1, folder).content(7)[1]
            assert one == other


class Broken(Bench):
    """Everything that can go wrong with a command."""

    def run(self, index: int) -> Answer:
        match index:
            case 0:
                os._exit(3)
            case 1:
                time.sleep(60)
            case 2:
                return self.answer("disasm", "traceback")
            case 3:
                return self.answer("disasm", "memory")
            case 4:
                return self.answer("disasm", "two lines")
        return super().run(index)


def _disasm(options: object) -> None:
    match str(options.program):  # type: ignore[attr-defined]
        case "traceback":
            raise IndexError
        case "memory":
            np.ones(MEMORY, np.uint8)
        case _:
            os.write(2, b"a line of native code's\n")
            raise FileNotFoundError(2, "No such file", "two lines")


def _broken_worker(kind: str, seed: int, pipe: object) -> None:
    running.Bench = Broken  # type: ignore[misc]
    commands.disasm = _disasm  # type: ignore[assignment]
    running.work(kind, seed, pipe)  # type: ignore[arg-type]


@pytest.fixture
def broken(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(running, "SECONDS", 4.0)
    monkeypatch.setattr(running, "TARGET", _broken_worker)
    return


@pytest.mark.usefixtures("broken")
def test_the_campaign_sees_what_goes_wrong() -> None:
    answers = dict(campaign("onnx", 1, range(6), 1))
    wrong = Counter((index, (answer.wrong or "").split(":")[0]) for index, answer in answers.items())
    assert wrong == Counter(
        [
            (0, "crash"),
            (1, "no end within 4 s"),
            (2, "traceback"),
            (3, "more than 2 GiB"),
            (4, "2 lines, expected one"),
            (5, ""),
        ]
    )
