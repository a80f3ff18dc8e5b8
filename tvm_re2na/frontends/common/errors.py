"""Errors of the simulator's on their way through TVM."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from tvm_re2na.runtime.abi_table import STATUS
from tvm_re2na.runtime.library import SimulatorError

SIMULATOR_SAID = re.compile(r"Re2Na: (?:error (\d+): )?([^\n]+)")


@contextmanager
def simulator_errors() -> Iterator[None]:
    """An error of the simulator's that comes through TVM, as whatever TVM makes of it, is a SimulatorError."""
    try:
        yield
    except Exception as error:
        said = SIMULATOR_SAID.search(str(error))
        if said is None or isinstance(error, SimulatorError):
            raise
        raise SimulatorError(int(said[1] or STATUS.index("argument")), said[2]) from error
