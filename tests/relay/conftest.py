"""Skips the folder where TVM is not installed."""

import functools

import pytest

pytest.importorskip("tvm.relay", reason="needs the extra [relay]")

from tvm.relay.backend import te_compiler

# TVM asks for its build's constants once per dimension of every tensor: a quarter of a generated case's time
te_compiler.libinfo = functools.cache(te_compiler.libinfo)
