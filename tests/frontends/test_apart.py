"""The two front ends share code, they do not repeat it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from tvm_re2na import frontends

HERE = Path(frontends.__file__).parent
RUN = 8  # lines


def runs(front_end: str) -> Iterator[tuple[tuple[str, ...], str]]:
    """Every run of lines in a file of a front end, blank ones and indentation left out, with the place where it begins."""
    for path in sorted((HERE / front_end).glob("*.py")):
        numbered = [(number, line.strip()) for number, line in enumerate(path.read_text().splitlines(), 1)]
        lines = [(number, line) for number, line in numbered if line]
        for start in range(len(lines) - RUN + 1):
            yield tuple(line for _, line in lines[start : start + RUN]), f"{path.name}:{lines[start][0]}"


def test_no_run_of_lines_stands_in_both() -> None:
    relay, relax = (dict(runs(name)) for name in frontends.FRONT_ENDS)
    assert not {relay[run]: relax[run] for run in relay.keys() & relax.keys()}
