"""Builds for "re2na" of modules that nobody has partitioned: what is said of them, and which machine the target names."""

from __future__ import annotations

import atexit
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.arch_fields import ArchitectureError
from tvm_re2na.frontends.common.marks import TAG, machine_fields

# operators that tell how much a network in floating point computes
COUNTED = ("conv2d", "dense", "matmul", "batch_matmul")
TOML = ".toml"
_as_it_is: ContextVar[bool] = ContextVar("re2na_as_it_is", default=False)


class NotOffloadedWarning(UserWarning):
    """A build for "re2na" in which nothing runs on Re²Na; the message says why, and the call to make."""


@contextmanager
def as_it_is() -> Iterator[None]:
    """Builds inside the block take their modules as they are: nothing is partitioned in them, and nothing said."""
    token = _as_it_is.set(True)
    try:
        yield
    finally:
        _as_it_is.reset(token)


def concerns(target: Any) -> bool:
    """Whether a build for a target of TVM's (None: it is not known) is one that modules are looked at in."""
    return not _as_it_is.get() and target is not None and TAG in target.keys


def take_out_at_exit(current: Callable[[], Any], name: str) -> None:
    """TVM's own pass context (`current()` when Python ends) outlives Python, which our instrument of this name needs."""

    def take_out() -> None:
        context = current()
        if [str(instrument.name) for instrument in context.instruments] == [name]:
            context.override_instruments([])

    atexit.register(take_out)


def warn(why: str) -> None:
    """A NotOffloadedWarning, in every build anew: Python would say what it has said before no second time."""
    message = f"nothing runs on Re²Na: {why}"
    warnings.warn_explicit(message, NotOffloadedWarning, "tvm_re2na", 1, registry=None)


def reason(quantised: int, counted: int, broken: Iterable[str | None] = ()) -> str | None:
    """Why nothing of a module can be offloaded, of which so many operators are quantised, and so many of `COUNTED` are there;
    `broken`: the rules that keep them on the CPU.

    None where there is nothing to offload.
    """
    if quantised:
        from tvm_re2na.codegen.offload.explanation import next_step  # not when TVM is imported

        which = f"none of the module's {quantised} quantised operators can"
        if quantised == 1:
            which = "the module's only quantised operator cannot"
        return "; ".join(filter(None, (which, "tvm_re2na.explain(mod) says why", next_step(broken))))
    if counted:
        return (
            f"the module is in floating point (convolutions and dense layers: {counted}); "
            "`re2na quantize MODEL.onnx --calibration DATA` makes int8 of it"
        )
    return None


def target_of(arch: Architecture | str | os.PathLike[str] | None = None) -> dict[str, object]:
    """What makes TVM's target for a machine, or for a TOML file that describes one; by default for the default machine.

    It is TVM's for plain `llvm`, with the key by which TVM asks us, and the machine in the attribute `model`. Raises
    ArchitectureError, or OSError where the file cannot be read.
    """
    config: dict[str, object] = {"kind": "llvm", "keys": [TAG, "cpu"]}
    model = _fields_of(arch) if isinstance(arch, Architecture) else "" if arch is None else _file_of(arch)
    return {**config, "model": model} if model else config


def _fields_of(arch: Architecture) -> str:
    default = machine_fields(Architecture())
    return ",".join(f"{name}={value}" for name, value in machine_fields(arch).items() if value != default[name])


def _file_of(path: str | os.PathLike[str]) -> str:
    full = str(Path(path).absolute())
    if not full.endswith(TOML):
        fields = "fields are those of tvm_re2na.Architecture(FIELD=VALUE)"
        raise ArchitectureError(
            f"architecture: {path}: a target knows a file by its name, which must end in {TOML}; {fields}"
        )
    Architecture.from_toml(path)  # now, and not in the middle of a build
    return full


def machine_of_target(attributes: Mapping[str, object]) -> Architecture:
    """The machine that a target's attribute `model` names: a TOML file, or fields such as `mac_interval=1,sram_bytes=524288`.

    Raises as `target_of`.
    """
    text = str(attributes["model"] or "") if "model" in attributes else ""
    if text.endswith(TOML):
        return Architecture.from_toml(text)
    return machine_of_fields(dict(field.partition("=")[::2] for field in text.split(",") if field))


def machine_of_fields(fields: Mapping[str, str]) -> Architecture:
    """Of numbers and names of modes, as text. Raises ArchitectureError."""
    return Architecture.from_dict({name: int(value) if value.isdecimal() else value for name, value in fields.items()})
