"""The validator, the reference and the instruction table agree on what each field may hold."""

from __future__ import annotations

import numpy as np
import pytest

from tests.runtime.programs import changed, random_input
from tests.runtime.test_malformed import find
from tvm_re2na.codegen.isa.limits import find_outside, limited, limits_of
from tvm_re2na.codegen.isa.table import BY_NAME, INSTRUCTIONS
from tvm_re2na.codegen.program import Program
from tvm_re2na.runtime import reference
from tvm_re2na.runtime.instructions.machine import SimulationError
from tvm_re2na.runtime.library import Simulator, SimulatorError

LIMITED = [row.name for row in INSTRUCTIONS if limited(row.name)]


def agree(program: Program, index: int) -> bool:
    """Whether a field is outside its limits, by the table and by the library, which name the same one."""
    at = program.instructions[index]
    expected = find_outside(program.arch, at)
    prefix = f"instruction {index} ({at.name}): "
    try:
        Simulator(program)
        found = ""
    except SimulatorError as error:
        found = str(error).removeprefix(prefix)
        assert expected is None or (error.kind, str(error)) == ("instruction", f"{prefix}{expected}")
    if expected is None:  # whatever else is wrong, it is no field's limit
        assert not any(found.startswith(f"{field.name} = ") and " is outside " in found for field in limited(at.name))
    else:
        assert found
    return expected is not None


@pytest.mark.parametrize("name", LIMITED)
def test_each_limit_is_where_the_table_has_it(name: str) -> None:
    program, index = find(name)
    if name == "CONV":
        program = changed(program, index, add=1, pool_h=1, pool_w=1)
    for field in limited(name):
        low, high = limits_of(program.arch, name, field.name, program.instructions[index].values)
        for value, outside in ((low - 1, True), (low, False), (high, False), (high + 1, True)):
            if field.lowest <= value <= field.highest:
                other = changed(program, index, **{field.name: value})
                found = find_outside(program.arch, other.instructions[index])
                assert (found is not None and found.field == field.name) is outside, (field.name, value)
                agree(other, index)


@pytest.mark.parametrize("name", LIMITED)
def test_any_fields(name: str) -> None:
    """Values that are mostly within their limits, so that each field's turn comes."""
    program, index = find(name)
    rng = np.random.default_rng(len(name))
    outside = 0
    for _ in range(300):
        values = {}
        for field in rng.choice(np.array(BY_NAME[name].body, object), 2, replace=False):
            any_value = int(rng.integers(field.lowest, field.highest, endpoint=True))
            values[field.name] = int(rng.choice([field.lowest, field.low, field.low + 1, any_value]))
        outside += agree(changed(program, index, **values), index)
    assert 10 < outside < 290


@pytest.mark.parametrize("name", LIMITED)
def test_the_reference_refuses_what_the_library_refuses(name: str) -> None:
    program, index = find(name)
    field = next(field for field in limited(name) if field.least or field.limit == "acc_bits - 1")
    wrong = changed(program, index, **{field.name: 0 if field.least else 255})
    assert agree(wrong, index)
    with pytest.raises(SimulationError, match=rf"instruction {index} \({name}\): {field.name} = \d+ is outside"):
        reference.run(wrong, random_input(program, 0), check_hazards=False)
