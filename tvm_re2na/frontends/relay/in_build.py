"""A module that comes to `relay.build` as TVM's importer made it: it is partitioned in the build.

TVM 0.19 has no place where a backend is shown the whole module, but it asks for the target's way to legalise an operator
(`exact.py`), and from there the pass context takes an instrument, which is shown the module before and after every pass.
The first operator of ours that TVM asks about brings the instrument in; operators are left as they are until the pass ends;
then the module is partitioned, and what stays on the CPU legalised. Of TVM nothing is replaced. A context with instruments
of the user's is left alone: they would be restarted in the middle of a build.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextvars import ContextVar
from functools import cache
from typing import Any

import tvm
from tvm import relay

from tvm_re2na.frontends.common.door import (
    COUNTED,
    as_it_is,
    concerns,
    machine_of_target,
    reason,
    take_out_at_exit,
    warn,
)
from tvm_re2na.frontends.common.found import Partitioned

QNN_PASS, PASS = "QnnLegalize", "Legalize"
_awaited: ContextVar[str] = ContextVar("re2na_awaited", default="")  # the pass whose end the instrument waits for


def leave_for_now() -> bool:
    """Whether a QNN operator is to be left as it is, since the module will be partitioned at the end of the pass."""
    _bring_in(QNN_PASS)
    return _is_ours() and _awaited.get() == QNN_PASS


def look_later() -> None:
    """An operator without QNN has come: at the end of the pass it is seen whether nothing of the module was quantised."""
    _bring_in(PASS)


def _bring_in(awaited: str) -> None:
    if not _is_ours():
        return
    context = tvm.transform.PassContext.current()
    if not len(context.instruments):
        context.override_instruments([_instrument()])
        _awaited.set(awaited)


def _is_ours() -> bool:
    return concerns(tvm.target.Target.current(allow_none=True))


class Re2NaInBuild(tvm.ir.instrument.PassInstrument):  # type: ignore[misc]
    """Stays in its context: of the next module there it sees the passes from the first."""

    def run_before_pass(self, mod: tvm.IRModule, info: Any) -> None:
        """Partitions a module that has not been touched yet."""
        if str(info.name) == QNN_PASS and _is_ours():
            _awaited.set("")
            _partition(mod)

    def run_after_pass(self, mod: tvm.IRModule, info: Any) -> None:
        """Partitions what was left for now."""
        if not _awaited.get() or str(info.name) != _awaited.get() or not _is_ours():
            return
        _awaited.set("")
        _partition(mod)
        if str(info.name) == QNN_PASS:
            with as_it_is():
                mod.update(relay.transform.Legalize("FTVMQnnLegalize")(mod))


@cache
def _instrument() -> Re2NaInBuild:
    """One for all contexts: TVM's object and Python's hold each other."""
    return Re2NaInBuild()


def _partition(mod: tvm.IRModule) -> None:
    """In place: this module is the build's own. A warning where nothing is offloaded."""
    from tvm_re2na.frontends.relay.partition import is_partitioned, partition

    if is_partitioned(mod):
        return
    partitioned = Partitioned(mod)
    if _is_quantised(_counts(mod)):
        with as_it_is():
            partitioned = partition(mod, None, machine_of_target(tvm.target.Target.current().attrs))
    if is_partitioned(partitioned.module):
        mod.update(partitioned.module)
        return
    why = why_nothing(mod, partitioned)
    if why is not None:
        warn(why)


def why_nothing(mod: tvm.IRModule, partitioned: Partitioned) -> str | None:
    """Why nothing of a module was offloaded, in words; None where there is nothing that could have been."""
    counts = _counts(mod)
    linear = sum(count for name, count in counts.items() if name.rpartition(".")[2] in COUNTED)
    quantised = _is_quantised(counts)
    return reason((len(partitioned.operators) or linear) if quantised else 0, linear)


def _counts(mod: tvm.IRModule) -> dict[str, int]:
    return {str(name): int(count) for name, count in relay.analysis.list_op_freqs(mod).items()}


def _is_quantised(counts: Iterable[str]) -> bool:
    return any(name.startswith("qnn.") for name in counts)


take_out_at_exit(tvm.transform.PassContext.current, Re2NaInBuild.__name__)
