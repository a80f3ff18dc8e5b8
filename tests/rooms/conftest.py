"""One fixture: the tests here run in whichever TVM the environment holds."""

from __future__ import annotations

from importlib import import_module
from typing import cast

import pytest

from tests.rooms.harness import Room
from tvm_re2na import rooms


@pytest.fixture(scope="session")
def room() -> Room:
    """The installed TVM's; skipped where there is none."""
    name = rooms.installed()
    if name is None:
        pytest.skip("needs the extra [relay] or [relax]")
    return cast(Room, import_module(f"tests.{name}.harness"))
