"""What lies beside the package is about it as it is: workflows, containers, the citation."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

import pytest

from tvm_re2na import __version__

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[2]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
DEVCONTAINER = ROOT / ".devcontainer" / "devcontainer.json"


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    return found


def made(text: str) -> set[str]:
    """The targets of the calls of make, each a line of its own."""
    calls = re.findall(r'^ *(?:- run: |"postCreateCommand": ")?make ([^"\n]*)', re.sub(r"\${{.*?}}", "", text), re.M)
    return {word for call in calls for word in call.split() if "=" not in word and not word.startswith("-")}


@pytest.mark.parametrize("path", [*WORKFLOWS, ROOT / ".ci" / "run", DEVCONTAINER], ids=lambda path: path.name)
def test_what_is_made_is_a_target(path: Path) -> None:
    wanted = made(path.read_text(encoding="utf-8"))
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([\w-]+):", makefile, re.M)) | {".venv/installed.stamp", ".venv-relax/installed.stamp"}
    assert wanted and wanted <= targets


def test_the_oldest_and_the_newest_python_are_tried() -> None:
    oldest, end = re.fullmatch(r">=3\.(\d+),<3\.(\d+)", project()["project"]["requires-python"]).groups()  # type: ignore[union-attr]
    tried = {
        (extra, int(minor))
        for minor, extra in re.findall(r"python: \"3\.(\d+)\", extra: (\w+)", WORKFLOWS[0].read_text(encoding="utf-8"))
    }
    assert {("relay", int(oldest)), ("relax", int(oldest)), ("relax", int(end) - 1)} <= tried


def test_the_container_installs_extras_that_there_are() -> None:
    asked = re.findall(r"\[([\w,]+)\]\"", (ROOT / "Dockerfile").read_text(encoding="utf-8"))
    assert asked and set(asked[0].split(",")) <= set(project()["project"]["optional-dependencies"])
    assert json.loads(DEVCONTAINER.read_text(encoding="utf-8"))["build"]["dockerfile"] == "Dockerfile"


def test_the_citation_is_of_this_version() -> None:
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {__version__}\n" in citation
    assert f"\nlicense: {project()['project']['license']}\n" in citation


def test_one_command_repairs_wheels() -> None:
    command = project()["tool"]["cibuildwheel"]["linux"]["repair-wheel-command"]
    assert (ROOT / ".ci" / "repair-wheel").is_file() and ".ci/repair-wheel" in command
    assert ".ci/repair-wheel" in (ROOT / "Makefile").read_text(encoding="utf-8")
