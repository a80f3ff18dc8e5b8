"""Makes the helpers of this folder importable; skips the folder where TVM is not installed."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

pytest.importorskip("tvm.relay", reason="needs the extra [relay]")
sys.path.insert(0, str(Path(__file__).parent))
