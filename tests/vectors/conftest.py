"""LeNet-5's vectors, with the states of every instruction."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.cli.conftest import program, quantized, re2na  # noqa: F401  fixtures
from tests.vectors.reader import Folder
from tvm_re2na.codegen.program import Program
from tvm_re2na.vectors import write_vectors


@pytest.fixture(scope="session")
def images(demo_data: Path) -> Path:
    return demo_data / "mnist_test1000.npz"


@pytest.fixture(scope="session")
def lenet(program: Path, images: Path, tmp_path_factory: pytest.TempPathFactory) -> Folder:  # noqa: F811
    folder = tmp_path_factory.mktemp("lenet") / "vectors"
    count = len(Program.open(program).instructions)
    write_vectors(program, images, folder, instructions=[range(count)], image=3)
    return Folder(folder)
