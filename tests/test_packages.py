"""The table of packages says what pyproject.toml says."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from tvm_re2na.packages import OPTIONAL, PACKAGES, TVMS

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).parents[1]


def project() -> dict[str, Any]:
    found: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    return found


def test_the_tested_versions_are_those_that_the_extras_install() -> None:
    extras = project()["optional-dependencies"]
    for front_end, tvm in TVMS.items():
        assert f"{tvm.name}=={tvm.tested}" in extras[front_end]


def test_every_package_is_asked_for_where_the_table_says() -> None:
    extras = {name: " ".join(wanted) for name, wanted in project()["optional-dependencies"].items()}
    always = " ".join(project()["dependencies"])
    for package in OPTIONAL:
        assert re.search(rf"\b{package.name}\b", extras[str(package.extra)]), package.name
    for package in PACKAGES:
        if package.quantises:
            assert re.search(rf"\b{package.name}\b", always), package.name
