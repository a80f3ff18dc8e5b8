"""The operators of a network, each described once, and what a machine takes of them.

The descriptions are kept by the operators' names: TVM's passes copy functions, so that no node stays the same, but leave their
attributes as they are, and names are unique within a module.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypeAlias

from tvm_re2na.codegen.arch import Architecture
from tvm_re2na.codegen.offload import rules
from tvm_re2na.codegen.offload.constraint import Rejection
from tvm_re2na.codegen.offload.operator import Operator
from tvm_re2na.frontends.interface import Module

Operators: TypeAlias = Mapping[str, Operator]
Rejections: TypeAlias = dict[str, Rejection]


@dataclass(frozen=True)
class Found:
    """A module whose operators are composite functions, each named, and what the rules want to know of each. `ends`: the last
    node of those that are not made of one alone, by the operators' names; empty where nothing tells."""

    module: Module
    operators: Operators
    ends: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Partitioned:
    """A module with functions for Re²Na, the operators that were found, all that are in such functions among them, and what keeps
    others on the CPU.

    A module that a user brings partitioned comes without.
    """

    module: Module
    operators: Operators = field(default_factory=dict)
    rejections: Rejections = field(default_factory=dict)

    @property
    def broken(self) -> set[str]:
        """The rules that keep operators on the CPU."""
        return {rejection.rule for rejection in self.rejections.values()}


def judge(found: Found, arch: Architecture) -> Rejections:
    """What a machine does not take of the operators that were found, and why."""
    checked = {name: rules.check(operator, arch) for name, operator in found.operators.items()}
    return {name: rejection for name, rejection in checked.items() if rejection is not None}
