"""A module that comes to `tvm.compile` as TVM's importer made it: what could run on Re²Na is said, or a pipeline offloads it.

`tvm.compile(mod, target="re2na", relax_pipeline="re2na")` partitions, compiles and builds, by a pipeline of TVM's registry.
TVM's own pipeline runs no code generator, and takes none from the target. But its pass LegalizeOps asks for the way to
legalise each operator, and shows the module to who answers. So we answer for the operators of quantised networks, with
TVM's own answers, and warn once in a build for "re2na" of which nothing runs there. An instrument sees to the builds that
come after in the same pass context. It could not offload anything either: what RunCodegen makes is kept in attributes,
which a module gets when it is made.
"""

from __future__ import annotations

from contextvars import ContextVar
from functools import cache
from typing import Any

import tvm
from tvm import relax
from tvm.ir.instrument import PassInstrument

from tvm_re2na.frontends.common.door import (
    COUNTED,
    as_it_is,
    concerns,
    machine_of_target,
    reason,
    take_out_at_exit,
    warn,
)
from tvm_re2na.frontends.common.marks import COMPILER, TAG

PASS, ATTRIBUTE = "LegalizeOps", "FLegalize"
LEVEL = 11  # TVM's own are registered at 10
ASKED = ("relax.quantize", "relax.dequantize", "relax.nn.conv2d", "relax.matmul")
CALLS = 'tvm.compile(mod, target="re2na", relax_pipeline="re2na")'
# the pass context with instruments of the user's that was warned in
_seen: ContextVar[Any] = ContextVar("re2na_seen", default=None)


def pipeline() -> tvm.transform.Pass:
    """`relax_pipeline="re2na"`: partition for the target's machine, compile what is offloaded, then TVM's own pipeline."""

    @tvm.transform.module_pass(opt_level=0)
    def run(mod: tvm.IRModule, _: tvm.transform.PassContext) -> tvm.IRModule:
        from tvm_re2na.frontends.relax.partition import partition_for_re2na

        target = tvm.target.Target.current(allow_none=True)
        if not _is_compiled(mod):
            arch = machine_of_target(target.attrs if target is not None else {})
            with as_it_is():
                partitioned = partition_for_re2na(mod, arch=arch, target=target)
                compiled = relax.transform.RunCodegen()(partitioned)
            if not _is_compiled(compiled):
                _look(mod)
            mod = compiled
        with as_it_is():
            return relax.get_pipeline("default")(mod)

    return run


def register() -> None:
    """Tell TVM of the pipeline, and answer for the operators of quantised networks."""
    relax.register_pipeline(TAG)(pipeline)
    for name in ASKED:
        tvm.ir.register_op_attr(name, ATTRIBUTE, _answer(tvm.ir.Op.get(name).get_attr(ATTRIBUTE)), LEVEL)


def _answer(legalise: Any) -> Any:
    def answer(builder: relax.BlockBuilder, call: Any) -> Any:
        if _is_ours():
            _asked(builder)
        return legalise(builder, call)

    return answer


def _asked(builder: relax.BlockBuilder) -> None:
    context = tvm.transform.PassContext.current()
    names = [str(instrument.name) for instrument in context.instruments]
    if Re2NaInBuild.__name__ in names or (names and context.same_as(_seen.get())):
        return
    if names:  # they would be restarted in the middle of a build
        _seen.set(context)
    else:
        context.override_instruments([_instrument()])
    _look(builder.get())


class Re2NaInBuild(PassInstrument):  # type: ignore[misc]
    """Stays in its context, and looks at the next module there."""

    def run_before_pass(self, mod: tvm.IRModule, info: Any) -> None:
        """Of the pass that legalises."""
        if str(info.name) == PASS and _is_ours():
            _look(mod)


@cache
def _instrument() -> Re2NaInBuild:
    """One for all contexts: TVM's object and Python's hold each other."""
    return Re2NaInBuild()


def _is_ours() -> bool:
    return concerns(tvm.target.Target.current(allow_none=True))


def _is_compiled(mod: tvm.IRModule) -> bool:
    modules = (mod.attrs or {}).get("external_mods") or []
    return any(str(module.kind) == COMPILER for module in modules)


def _look(mod: tvm.IRModule) -> None:
    from tvm_re2na.frontends.relax.partition import (
        composites,
        explanation_of,
        is_partitioned,
        offloaded_functions,
        partition,
    )

    if _is_compiled(mod) or "main" not in {str(variable.name_hint) for variable in mod.get_global_vars()}:
        return
    if is_partitioned(mod):
        warn(
            f"the module is partitioned, but not compiled; call tvm.compile(relax.transform.RunCodegen()(mod), ...) or {CALLS}"
        )
        return
    with as_it_is():
        found = partition(mod, None, machine_of_target(tvm.target.Target.current().attrs))
    ours = sum(1 for _, function in offloaded_functions(found.module) for _ in composites(function))
    if ours:
        warn(
            f"{ours} of the module's {len(found.operators)} quantised operators could, but it is not partitioned; call {CALLS}"
        )
        return
    explanations = map(explanation_of, found.module.functions.values())
    kept = [explanation for explanation in explanations if explanation is not None]
    why = reason(len(kept), _linear(mod), {each.rule for each in kept})
    if why is not None:
        warn(why)


def _linear(mod: tvm.IRModule) -> int:
    """Convolutions and dense layers."""
    from tvm_re2na.frontends.relax.walk import bindings_of, op_name

    functions = [function for function in mod.functions.values() if isinstance(function, relax.Function)]
    names = [op_name(call) for function in functions for _, call in bindings_of(function)]
    return sum(name.rpartition(".")[2] in COUNTED for name in names)


take_out_at_exit(tvm.transform.PassContext.current, Re2NaInBuild.__name__)
