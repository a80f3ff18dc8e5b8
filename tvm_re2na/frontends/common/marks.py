"""What functions of a partitioned module are marked with, in either TVM."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from typing import Any

from tvm_re2na.codegen.arch import Architecture

COMPILER = "re2na"  # whose code generator a function is for
TAG = "re2na"  # the target's
PREFIX = "re2na."  # of a composite function; the operator's kind follows
ARCH_ATTR = "re2na_arch"
NAME_ATTR = "re2na_name"


def kind_of(composite: str) -> str:
    """`conv2d` of `re2na.conv2d`, nothing of what is not ours."""
    return composite.removeprefix(PREFIX) if composite.startswith(PREFIX) else ""


def in_order(variables: Iterable[Any]) -> list[Any]:
    """Global variables in the order of their symbols: `main_2` before `main_10`."""
    return sorted(variables, key=lambda variable: (len(variable.name_hint), str(variable.name_hint)))


def machine_text(arch: Architecture) -> str:
    """The value of ARCH_ATTR."""
    return json.dumps(machine_fields(arch))


def machine_fields(arch: Architecture) -> dict[str, int]:
    """Every field of a machine as a number."""
    return {field.name: int(getattr(arch, field.name)) for field in dataclasses.fields(arch)}


def machine_of(text: str) -> Architecture:
    """The machine of an ARCH_ATTR; the default one of a function that has none."""
    return Architecture.from_dict(json.loads(text)) if text else Architecture()
