"""A Dask cluster of two processes, and the demo's LeNet-5, once for all tests."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import onnx
import pytest

from tvm_re2na import load_dataset, load_model, pipeline
from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.dataset import Dataset


@pytest.fixture(scope="session")
def cluster() -> Iterator[Any]:
    distributed = pytest.importorskip("distributed")
    with distributed.LocalCluster(n_workers=2, threads_per_worker=1, processes=True, dashboard_address=None) as made:
        yield made


@pytest.fixture(scope="session")
def lenet(demo_data: Path) -> onnx.ModelProto:
    calibration = load_dataset(demo_data / "mnist_calibration128.npz", 32)
    return pipeline.quantized_model(load_model(demo_data / "lenet5_mnist.onnx"), calibration, Architecture())


@pytest.fixture(scope="session")
def images(demo_data: Path) -> Dataset:
    return load_dataset(demo_data / "mnist_test1000.npz", 100)


@pytest.fixture(scope="session")
def builds() -> dict[tuple[Any, ...], Any]:
    return {}


@pytest.fixture
def built_once(builds: dict[tuple[Any, ...], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """What these tests import and build again and again in this process is made once."""

    def remembered(name: str, key: Callable[..., Any]) -> None:
        make = getattr(pipeline, name)

        def known(*given: Any) -> Any:
            place = (name, key(*given))
            if place not in builds:
                builds[place] = make(*given)
            return builds[place]

        monkeypatch.setattr(pipeline, name, known)

    remembered("import_into_tvm", lambda model, batch: (model.SerializeToString(), batch))
    remembered("build_for_cpu", lambda mod, params: id(mod))  # which is kept, and so no other's
    remembered("build_for_re2na", lambda mod, params, arch: (id(mod), arch))
