"""`re2na doctor`: an installation that works, and ones that do not."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import pytest

from tests.cli.conftest import Command
from tvm_re2na import doctor, frontends
from tvm_re2na.doctor import Finding, State
from tvm_re2na.runtime import abi

WELL = Finding("one image, end to end", State.OK, "")


@pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
def test_a_whole_installation(re2na: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RE2NA_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("RE2NA_CACHE_BYTES")
    found = re2na("doctor", "--json")
    rows = {row["what"]: row for row in found.json}
    assert (found.code, found.stderr) == (0, "")
    assert frontends.installed() in rows["TVM"]["detail"].lower()
    assert "portable" in rows["simulator"]["detail"]
    assert rows["one image, end to end"]["state"] == rows["cache"]["state"] == "ok"
    assert not (tmp_path / "cache").exists()  # an image that came from a cache would prove nothing
    for row in rows.values():
        assert set(row) == {"what", "state", "detail", "mend"}
        assert (row["mend"] is None) == (row["state"] == "ok")
    monkeypatch.setattr(doctor, "_end_to_end", lambda: WELL)  # it was seen to work
    table = re2na("doctor")
    assert table.code == 0
    assert "what mends it" in table.stdout


def test_without_tvm() -> None:
    code = "import sys; sys.modules['tvm'] = None\nfrom tvm_re2na.cli import main\nsys.exit(main(['doctor', '--json']))"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    rows = {row["what"]: row for row in json.loads(found.stdout)}
    assert found.returncode == 4, found.stderr
    assert rows["simulator"]["state"] == "ok"
    assert rows["one image, end to end"]["state"] == "missing"
    if rows["TVM"]["state"] == "missing":  # its package is there, so that it may also be called broken
        assert rows["TVM"]["mend"] == "pip install 'tvm_re2na[relax]'"


def test_both_tvms_in_one_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "_end_to_end", lambda: WELL)
    monkeypatch.setattr(doctor.metadata, "version", lambda package: f"of {package}")
    (finding,) = [finding for finding in doctor.examine() if finding.what == "TVM"]
    assert finding.state is State.BROKEN
    assert "apache-tvm" in finding.detail
    assert "xtc-tvm-python-bindings" in finding.detail
    assert finding.mend is not None
    assert finding.mend == "pip uninstall -y xtc-tvm-python-bindings apache-tvm && pip install 'tvm_re2na[relax]'"


def test_damaged_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing raises; what is broken is named, with the command that mends it."""

    def gone(*_: object) -> None:
        raise FileNotFoundError("libre2na.so is not there")

    def unknown(package: str) -> str:
        raise metadata.PackageNotFoundError(package)

    monkeypatch.setattr(abi, "library_path", gone)
    monkeypatch.setattr(doctor, "_end_to_end", gone)
    monkeypatch.setattr(doctor.metadata, "version", unknown)
    rows = {finding.what: finding for finding in doctor.examine()}
    for what in ("simulator", "Python", "one image, end to end"):
        assert rows[what].state is State.BROKEN
        assert rows[what].mend == doctor.reinstall()
    assert not doctor.is_well(list(rows.values()))


def test_what_is_optional_may_be_missing() -> None:
    well = [Finding("TVM", State.OK, ""), Finding("torch", State.MISSING, "", "pip")]
    assert doctor.is_well(well)
    assert not doctor.is_well([Finding("TVM", State.MISSING, "", "pip")])
    assert not doctor.is_well([*well, Finding("simulator", State.BROKEN, "", "pip")])


@pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
def test_what_tvm_would_not_find(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wheel that was unpacked by hand has neither a .pth file in its place nor entry points."""
    assert doctor._autoload().state is State.OK
    monkeypatch.setattr(doctor.metadata, "files", lambda package: [])
    monkeypatch.setattr(doctor.metadata, "entry_points", lambda group: [])
    finding = doctor._autoload()
    assert finding.state is State.MISSING
    assert "with `import tvm_re2na` it does" in finding.detail


@pytest.mark.skipif(frontends.installed() is None, reason="needs the extra [relay] or [relax]")
@pytest.mark.parametrize(
    ("variable", "what"), [("RE2NA_CACHE_BYTES", "cache"), ("RE2NA_KERNEL", "one image, end to end")]
)
def test_a_variable_that_is_wrong_is_what_is_to_be_mended(
    variable: str, what: str, re2na: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, "foo")
    if what == "cache":
        monkeypatch.setattr(doctor, "_end_to_end", lambda: WELL)
    found = re2na("doctor", "--json")
    (row,) = [row for row in found.json if row["state"] == "broken"]
    assert found.code == 4
    assert (row["what"], row["mend"]) == (what, f"unset {variable}")
    assert f"{variable} = 'foo'" in row["detail"]
