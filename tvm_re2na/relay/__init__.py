"""Room 1: TVM 0.19 with Relay. Importing it registers the pattern table, the target tag "re2na" and its code generator."""

import os

# Without it, TVM looks for tuned schedules on the network and prints its failures.
os.environ.setdefault("TOPHUB_LOCATION", "NONE")

from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.relay import backend as _backend  # registers with TVM
from tvm_re2na.relay.backend import collect_programs, export_library
from tvm_re2na.relay.explain import explain, offloaded_macs_share
from tvm_re2na.relay.lower import lower
from tvm_re2na.relay.partition import is_partitioned, offloaded_functions, partition_for_re2na, prepare
from tvm_re2na.relay.patterns import pattern_table

__all__ = [
    "Explanation",
    "collect_programs",
    "explain",
    "export_library",
    "is_partitioned",
    "lower",
    "offloaded_functions",
    "offloaded_macs_share",
    "partition_for_re2na",
    "pattern_table",
    "prepare",
]
TAG = _backend.TAG
