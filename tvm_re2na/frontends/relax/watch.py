"""What the programs of a network are called with, as an instrument of TVM's virtual machine sees it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy.typing as npt
import tvm
from tvm import relax

from tvm_re2na.batches import Batch, arrays_of
from tvm_re2na.frontends.common.errors import simulator_errors
from tvm_re2na.frontends.interface import Built, Calls


def watch(built: Built) -> Callable[[Batch], tuple[list[npt.NDArray[Any]], Calls]]:
    """As of `interface.Session`."""
    machine = relax.VirtualMachine(built.library, tvm.cpu())
    counts = {symbol: len(program.inputs) for symbol, program in built.programs}
    calls: Calls = {}

    def seen(_: Any, symbol: str, before: bool, __: Any, *given: Any) -> int:
        if before and symbol in counts:
            calls[symbol] = [array.numpy().copy() for array in given[: counts[symbol]]]
        return 0  # go on

    machine.set_instrument(seen)

    def run(batch: Batch) -> tuple[list[npt.NDArray[Any]], Calls]:
        calls.clear()
        with simulator_errors():
            result = machine["main"](*map(tvm.runtime.tensor, arrays_of(batch)))
        outputs = [result] if hasattr(result, "numpy") else result
        return [output.numpy() for output in outputs], dict(calls)

    return run
