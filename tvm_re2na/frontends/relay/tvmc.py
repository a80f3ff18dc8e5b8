"""`tvmc` that knows Re²Na.

tvmc has no entry points for plugins; whoever calls it from Python imports this module first.
"""

from __future__ import annotations

from tvm.driver.tvmc import main as tvmc_main
from tvm.driver.tvmc.composite_target import REGISTERED_CODEGEN

from tvm_re2na.frontends.common.marks import COMPILER
from tvm_re2na.frontends.relay.partition import partition_for_re2na
from tvm_re2na.runtime.abi import load_library_global

load_library_global()  # for `tvmc run`
REGISTERED_CODEGEN[COMPILER] = {
    "config_key": None,
    "pass_default": False,
    "default_target": None,
    "pass_pipeline": partition_for_re2na,
}


def main() -> int:
    """Run tvmc with the command line's arguments; returns its exit code."""
    return int(tvmc_main.main() or 0)
