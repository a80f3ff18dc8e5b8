"""What fuzzing found, and what it starts from, on the plain library against the reference."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.fuzz.replay import check
from tests.fuzz.seeds import for_threads, seeds
from tvm_re2na.runtime.library import Simulator, SimulatorError
from tvm_re2na.runtime.limits import Limits

HERE = Path(__file__).parent
FOUND = sorted((HERE / "found").glob("*.re2na"))
GREEDY = {"DRAM_of_4_GB", "a_window_over_all_outputs", "an_input_that_lies_on_one_byte"}


@pytest.mark.parametrize("path", FOUND, ids=lambda path: path.stem)
def test_what_was_found_stays_mended(path: Path) -> None:
    assert check(path.read_bytes(), Limits()) == (path.stem not in GREEDY)
    if path.stem in GREEDY:
        with pytest.raises(SimulatorError, match="the limit is"):
            Simulator(path)


def test_the_seeds_are_what_the_table_makes_of_them() -> None:
    """An instruction's change needs `python -m tests.fuzz.seeds tests/fuzz/seeds`."""
    stored = {path.stem: path.read_bytes() for path in (HERE / "seeds").iterdir()}
    assert stored == {name: program.to_bytes() for name, program in seeds().items()}
    assert sum(map(len, stored.values())) < 200_000


@pytest.mark.parametrize("name", [*seeds(), *for_threads()])
def test_a_seed_is_accepted_and_right(name: str) -> None:
    assert check((seeds() | for_threads())[name].to_bytes(), Limits())
