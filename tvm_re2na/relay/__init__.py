"""What users of TVM 0.19 with Relay call; the code is in `tvm_re2na.frontends.relay`.

Importing it registers the pattern table, the target tag "re2na" and its code generator.
"""

from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.frontends.common.marks import TAG
from tvm_re2na.frontends.common.programs import collect_programs
from tvm_re2na.frontends.relay.backend import export_library
from tvm_re2na.frontends.relay.explain import explain, offloaded_macs_share
from tvm_re2na.frontends.relay.lower import lower
from tvm_re2na.frontends.relay.partition import is_partitioned, offloaded_functions, partition_for_re2na, prepare
from tvm_re2na.frontends.relay.patterns import pattern_table

__all__ = [
    "TAG",
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
