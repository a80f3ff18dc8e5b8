"""The same comparison, whoever counts: processes, a cluster, with a worker lost, or after an interruption."""

from __future__ import annotations

import multiprocessing
import os
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest

from tvm_re2na import Architecture, Comparison, compare, comparison_shards, frontends
from tvm_re2na.artefacts import artefacts
from tvm_re2na.data import DataError, in_memory
from tvm_re2na.dataset import Dataset
from tvm_re2na.parallel.shards import VersionError

pytestmark = pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")

BATCH = 3  # which the images are no multiple of


@pytest.fixture
def alone(built_once: None, lenet: onnx.ModelProto, images: Dataset) -> Comparison:
    return compare(lenet, images, batch=BATCH)


class Killer:
    """A progress that kills one worker when the first images are done."""

    def __init__(self, victims: Any) -> None:
        self.victims = victims
        self.killed: list[int] = []
        self.steps: list[tuple[str, int, int]] = []

    def __call__(self, stage: str, done: int, total: int) -> None:
        self.steps.append((stage, done, total))
        if stage == "compare" and done and not self.killed:
            self.killed = self.victims()[:1]
            os.kill(self.killed[0], signal.SIGKILL)


def children() -> list[int]:
    return [child.pid for child in multiprocessing.active_children() if child.pid is not None]


def test_processes_of_which_one_is_killed(lenet: onnx.ModelProto, images: Dataset, alone: Comparison) -> None:
    killer = Killer(children)
    assert compare(lenet, images, batch=BATCH, jobs=2, shard=7, progress=killer) == alone
    assert killer.killed
    done = [step[1] for step in killer.steps if step[0] == "compare"]
    assert done == sorted(done)
    assert set(np.diff(done)) <= {0, 9, 1}  # seven images are cut at whole batches; the last shard has one
    assert done[-1] == 100


def test_a_cluster_of_which_a_worker_is_killed(
    cluster: Any, lenet: onnx.ModelProto, images: Dataset, alone: Comparison
) -> None:
    from distributed import Client

    with Client(cluster, set_as_default=False) as client:
        killer = Killer(lambda: list(client.run(os.getpid).values()))
        assert compare(lenet, images, batch=BATCH, executor=client.get_executor(), shard=11, progress=killer) == alone
        assert killer.killed
        assert killer.killed[0] not in client.run(os.getpid).values()


def test_threads_and_three_workers(lenet: onnx.ModelProto, images: Dataset, alone: Comparison) -> None:
    with ThreadPoolExecutor(3) as threads:
        assert compare(lenet, images, batch=BATCH, executor=threads, shard=20) == alone


def test_an_interrupted_run_goes_on(lenet: onnx.ModelProto, images: Dataset, alone: Comparison, tmp_path: Path) -> None:
    def interrupt(stage: str, done: int, total: int) -> None:
        if stage == "compare" and done >= 30:
            raise KeyboardInterrupt

    file = tmp_path / "run"
    with pytest.raises(KeyboardInterrupt):
        compare(lenet, images, batch=BATCH, shard=10, resume=file, progress=interrupt)
    steps: list[int] = []

    def note(stage: str, done: int, total: int) -> None:
        if stage == "compare":
            steps.append(done)

    again = compare(lenet, images, batch=BATCH, shard=10, resume=file, jobs=2, progress=note)
    assert again == alone
    assert len(file.read_bytes().splitlines()) == 1 + 9  # shards of 12
    assert min(steps) == 36


def test_a_worker_that_cannot_run_what_was_built_builds_for_itself(
    lenet: onnx.ModelProto, images: Dataset, monkeypatch: pytest.MonkeyPatch, built_once: None
) -> None:
    built = artefacts(lenet, Architecture(), BATCH)
    monkeypatch.undo()
    packed = comparison_shards.pack_runners(lenet, lenet, built, Architecture(), BATCH, None)
    assert packed.cpu and packed.re2na
    image = images.read(0, BATCH)
    expected = [side(image) for side in (built[0].executor(), built[1].executor())]
    for processor in (packed.processor, "another"):
        monkeypatch.setattr(comparison_shards, "processor", lambda processor=processor: processor)
        opened = comparison_shards.open_runners(packed)
        for side, wanted in zip((opened.cpu, opened.re2na), expected, strict=True):
            np.testing.assert_array_equal(side(image)[0], wanted[0])
    monkeypatch.setattr(comparison_shards, "versions", lambda: "others")
    with pytest.raises(VersionError, match="a worker has others; the work comes from tvm_re2na"):
        comparison_shards.open_runners(packed)


@pytest.mark.usefixtures("built_once")
def test_labels_that_the_network_does_not_know_name_their_file(lenet: onnx.ModelProto, images: Dataset) -> None:
    wrong = in_memory("digits.npz", images.x, np.full(100, 10))
    with pytest.raises(DataError, match=r"digits\.npz: y\[0\] holds class 10, the network tells 10 classes apart"):
        compare(lenet, wrong, batch=BATCH)
