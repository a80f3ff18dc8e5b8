"""Shared by all tests: where the real models and images are, and which TVM is there."""

from __future__ import annotations

import os
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, cast

# before TVM is imported: no search for tuned schedules on the network, and one thread per test process
os.environ.setdefault("TOPHUB_LOCATION", "NONE")
os.environ.setdefault("TVM_NUM_THREADS", "1")
os.environ["RE2NA_CACHE_BYTES"] = "0"  # what is tested is made; tests of the cache turn it on

import pytest

from tvm_re2na import rooms

if TYPE_CHECKING:
    from tests.rooms.harness import Room

DEMO = Path(__file__).parent.parent / "tvm_re2na" / "demo"


@pytest.fixture(scope="session")
def real_data() -> Path:
    """The folder RE2NA_DATA names, with the real models and images; the test is skipped where there is none."""
    folder = os.environ.get("RE2NA_DATA")
    if not folder:
        pytest.skip("set RE2NA_DATA to the folder with the real models and images")
    path = Path(folder)
    if not path.is_dir():
        pytest.fail(f"RE2NA_DATA = {folder} is no folder")
    return path


@pytest.fixture(scope="session")
def demo_data() -> Path:
    """LeNet-5, test and calibration images: they come with the package."""
    return DEMO


@pytest.fixture(scope="session")
def room() -> Room:
    """The installed TVM's; skipped where there is none."""
    name = rooms.installed()
    if name is None:
        pytest.skip("needs the extra [relay] or [relax]")
    return cast("Room", import_module(f"tests.{name}.harness"))


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden dumps instead of comparing with them"
    )
