"""`re2na completion`: what a shell completes with the script."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tvm_re2na.cli.parser import SHELLS

COMPLETE = """
source "$1"; shift
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1))
_shtab_re2na
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
def test_bash_completes_commands_options_choices_and_files(re2na: Command, tmp_path: Path) -> None:
    pytest.importorskip("shtab")
    found = re2na("completion", "bash")
    assert found.code == 0 and not found.stderr
    (tmp_path / "script").write_text(found.stdout, encoding="utf-8")
    (tmp_path / "machine.toml").touch()

    def completed(*words: str) -> set[str]:
        command = ["bash", "-c", COMPLETE, "bash", "./script", "re2na", *words]
        done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60, check=True)
        return set(done.stdout.split())

    assert completed("co") == {"compare", "compile", "completion"}
    assert completed("compile", "--dump") == {"--dump-after"}
    assert completed("compile", "--dump-after", "pl") == {"plan"}
    assert completed("compile", "--arch", "mach") == {"machine.toml"}
    assert completed("survey", "ca") == {"carry"}
    assert completed("completion", "z") == {"zsh"}


@pytest.mark.parametrize("shell", SHELLS)
def test_every_shell_has_a_script_with_every_command(re2na: Command, shell: str) -> None:
    pytest.importorskip("shtab")
    script = re2na("completion", shell).stdout
    assert all(name in script for name in ("quantize", "compile", "doctor", "no-cache", "sensitivity"))


def test_without_the_package(re2na: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "shtab", None)
    found = re2na("completion", "bash")
    assert (found.code, found.stdout) == (4, "")
    assert found.stderr == "re2na: error: shtab is not installed: pip install 'tvm_re2na[completion]'\n"


def test_an_unknown_shell(re2na: Command) -> None:
    found = re2na("completion", "ash")
    assert found.code == 2 and "invalid choice: 'ash'" in found.stderr
