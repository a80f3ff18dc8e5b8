"""Skips the folder where TVM is not installed."""

import pytest

pytest.importorskip("tvm.relay", reason="needs the extra [relay]")
