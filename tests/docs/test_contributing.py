"""The worked examples of CONTRIBUTING.md are lists of files that are there, or of new ones in folders that are there."""

from __future__ import annotations

import re

import pytest

from tests.docs.pages import NEW, ROOT, text

EXAMPLES = ("Add an operator", "Add an instruction", "Add a rule")


def steps(heading: str) -> list[tuple[int, str]]:
    """The numbers of an example's steps, and what they begin with."""
    section = re.search(rf"^### {heading}\n(.*?)^##", text(ROOT / "CONTRIBUTING.md"), re.M | re.S)
    assert section is not None, f"no example '{heading}'"
    return [(int(number), name) for number, name in re.findall(r"^(\d+)\. (`[^`]+`|.*)", section[1], re.M)]


def is_there(name: str) -> bool:
    """A file; or, of a new one, its folder."""
    new = re.fullmatch(f"`{NEW}`", name)
    return (ROOT / new[1]).parent.is_dir() if new else (ROOT / name.strip("`")).is_file()


@pytest.mark.parametrize("heading", EXAMPLES)
def test_the_files_of_an_example_are_there(heading: str) -> None:
    found = steps(heading)
    assert [number for number, _ in found] == list(range(1, len(found) + 1)) != []
    assert [name for _, name in found if not is_there(name)] == []


def test_what_is_not_there_is_noticed() -> None:
    assert not is_there("`codegen/graph/no_such_file.py`")
    assert not is_there("`(new) codegen/no_such_folder/unit.py`")
    assert not is_there("words without a file")
