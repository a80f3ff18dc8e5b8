"""Shared by all tests: where the real models and images are, and which TVM is there."""

from __future__ import annotations

import os
import sys
from collections import Counter
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

# before TVM is imported: no search for tuned schedules on the network, and one thread per test process
os.environ.setdefault("TOPHUB_LOCATION", "NONE")
os.environ.setdefault("TVM_NUM_THREADS", "1")
os.environ["RE2NA_CACHE_BYTES"] = "0"  # what is tested is made; tests of the cache turn it on

import pytest

from tests.shared import Networks, folder_of_this_run
from tvm_re2na import frontends

if TYPE_CHECKING:
    from tests.frontends.harness import FrontEnd

FIRST_STATES: dict[str, Any] = {}  # of the modules' random numbers
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
def front_end() -> FrontEnd:
    """The installed TVM's; skipped where there is none."""
    name = frontends.installed()
    if name is None:
        pytest.skip("needs the extra [relay] or [relax]")
    return cast("FrontEnd", import_module(f"tests.{name}.harness"))


@pytest.fixture(autouse=True)
def same_numbers(request: pytest.FixtureRequest) -> None:
    """Each test draws from its module's RNG as if it were the first: which tests ran before it in its process changes nothing."""
    generator = getattr(request.module, "RNG", None)
    if generator is not None:
        generator.bit_generator.state = FIRST_STATES.setdefault(request.module.__name__, generator.bit_generator.state)


@pytest.fixture
def shared(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The cache is on: what the tests with this fixture quantise and build is made once in a run, for all its processes.

    For tests whose claim is about what comes after that.
    """
    folder = folder_of_this_run(tmp_path_factory)
    monkeypatch.setenv("RE2NA_CACHE", str(folder / "cache"))
    monkeypatch.delenv("RE2NA_CACHE_BYTES")
    return folder


@pytest.fixture
def networks(shared: Path) -> Networks:
    """What several tests need of the same trained networks (tests/shared.py)."""
    return Networks(shared)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Where the time goes: seconds in the tests of each folder."""
    seconds: Counter[str] = Counter()
    for reports in terminalreporter.stats.values():
        for report in reports:
            if isinstance(report, pytest.TestReport):
                seconds[report.nodeid.split("::")[0].rpartition("/")[0]] += report.duration
    terminalreporter.section("seconds in each folder, all processes together")
    for folder, spent in seconds.most_common():
        terminalreporter.write_line(f"{spent:8.1f} {folder}")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--without-tvm"):
        sys.modules.update({"tvm": None, "tvm_ffi": None})  # type: ignore[dict-item]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--without-tvm", action="store_true", help="as if TVM were not installed: what needs it is skipped"
    )
    parser.addoption(
        "--update-golden", action="store_true", help="rewrite the golden dumps instead of comparing with them"
    )
