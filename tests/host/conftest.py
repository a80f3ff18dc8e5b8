"""The examples in C and C++, and the host of these tests, built once with CMake."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.frontends.harness import FrontEnd

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def built(front_end: FrontEnd, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder with `c/run_program`, `cpp/classify` and `host`, for the TVM that is installed."""
    if shutil.which("cmake") is None:
        pytest.skip("needs cmake")
    commands = [shlex.split(command) for command in (os.environ.get("CXX", ""), "c++", "g++")]
    if not any(command and shutil.which(command[0]) for command in commands):
        pytest.skip("needs a C++ compiler: CXX, c++ or g++")
    folder = tmp_path_factory.mktemp(f"{front_end.name}_examples")
    python = f"-DPython_EXECUTABLE={sys.executable}"
    for command in (["cmake", "-S", HERE, "-B", folder, python], ["cmake", "--build", folder, "--parallel", "2"]):
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        assert "warning:" not in done.stderr
    return folder
