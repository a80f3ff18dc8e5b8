"""Which instructions of a program are meant: by their numbers, or by the layers that they work for."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from tvm_re2na.codegen.errors import Re2naError
from tvm_re2na.codegen.isa.assembler import source_name
from tvm_re2na.codegen.program import Program


class ChoiceError(Re2naError, ValueError):
    """No such layer or instruction, or no such image; the message names what there is."""


def choose(program: Program, layers: Sequence[str], instructions: Iterable[range]) -> list[int]:
    """The numbers of the instructions of all `layers`, and of those in `instructions`; ascending. Raises ChoiceError."""
    of_layers = _by_layer(program)
    chosen: set[int] = set()
    for name in layers:
        if name not in of_layers:
            raise ChoiceError(f"layer '{name}': the program has no instruction for it; it has {', '.join(of_layers)}")
        chosen.update(of_layers[name])
    for numbers in instructions:
        if numbers.stop > len(program.instructions):
            last = len(program.instructions) - 1
            raise ChoiceError(f"instruction {numbers.stop - 1}: the program has instructions 0 to {last}")
        chosen.update(numbers)
    return sorted(chosen)


def _by_layer(program: Program) -> dict[str, list[int]]:
    names = [source.name for source in program.sources]
    found: dict[str, list[int]] = {}
    for index, at in enumerate(program.instructions):
        name = source_name(at, names)
        if name is not None:
            found.setdefault(name, []).append(index)
    return found
