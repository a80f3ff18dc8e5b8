"""A module that comes to `relay.build` as TVM's importer made it: it is partitioned in the build.

TVM 0.19 has no place where a backend is shown the whole module, but it asks for the target's way to legalise an operator
(`exact.py`), and from there the pass context takes an instrument, which is shown the module before and after every pass.
The first operator of ours that TVM asks about brings the instrument in; operators are left as they are until the pass ends;
then the module is partitioned, and what stays on the CPU legalised. Of TVM nothing is replaced. A context with instruments
of the user's is left alone: they would be restarted in the middle of a build. Names of ONNX nodes have been lost by then,
in a pass of TVM's that comes first.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from typing import TYPE_CHECKING, Any

import tvm
from tvm import relay

from tvm_re2na.frontends.common import door
from tvm_re2na.frontends.relay.walk import all_of, op_name

if TYPE_CHECKING:
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
    return door.concerns(tvm.target.Target.current(allow_none=True))


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
            with door.as_it_is():
                mod.update(relay.transform.Legalize("FTVMQnnLegalize")(mod))


@cache
def _instrument() -> Re2NaInBuild:
    """One for all contexts: TVM's object and Python's hold each other."""
    return Re2NaInBuild()


def _partition(mod: tvm.IRModule) -> None:
    """In place: this module is the build's own. A warning where nothing is offloaded."""
    from tvm_re2na.frontends.common.found import Partitioned
    from tvm_re2na.frontends.relay.partition import is_partitioned, partition

    if is_partitioned(mod):
        return
    partitioned = Partitioned(mod)
    if _is_quantised(mod):
        with door.as_it_is():
            partitioned = partition(mod, None, door.machine_of_target(tvm.target.Target.current().attrs))
        if is_partitioned(partitioned.module):
            mod.update(partitioned.module)
            return
    why = why_nothing(mod, partitioned)
    if why is not None:
        door.warn(why)


def why_nothing(mod: tvm.IRModule, partitioned: Partitioned) -> str | None:
    """Why nothing of a module was offloaded, in which these operators were found; None where nothing could have been."""
    linear = _in_floating_point(mod)
    quantised = (len(partitioned.operators) or linear) if _is_quantised(mod) else 0
    return door.reason(quantised, linear, partitioned.broken)


def _in_floating_point(mod: tvm.IRModule) -> int:
    """How many convolutions and dense layers are."""
    found = all_of(relay.transform.InferType()(mod)["main"])
    linear = [call for call in found if op_name(call).removeprefix("nn.") in door.COUNTED]
    return sum(str(call.checked_type.dtype).startswith("float") for call in linear)


def _is_quantised(mod: tvm.IRModule) -> bool:
    return any(str(name).startswith("qnn.") for name in relay.analysis.list_op_freqs(mod))


door.take_out_at_exit(tvm.transform.PassContext.current, Re2NaInBuild.__name__)
