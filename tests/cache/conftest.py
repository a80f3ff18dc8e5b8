"""A cache of the test's own, turned on."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a cache that is on, and empty: it is not there yet."""
    folder = tmp_path / "cache"
    monkeypatch.setenv("RE2NA_CACHE", str(folder))
    monkeypatch.delenv("RE2NA_CACHE_BYTES")
    return folder
