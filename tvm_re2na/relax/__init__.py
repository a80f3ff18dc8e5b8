"""What users of today's TVM with Relax call; the code is in `tvm_re2na.frontends.relax`.

Importing it registers the patterns, the target tag "re2na" and its code generator.
"""

from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.frontends.common.marks import TAG
from tvm_re2na.frontends.common.programs import collect_programs
from tvm_re2na.frontends.relax.backend import export_library
from tvm_re2na.frontends.relax.explain import explain, offloaded_macs_share
from tvm_re2na.frontends.relax.lower import lower
from tvm_re2na.frontends.relax.names import name_operators
from tvm_re2na.frontends.relax.partition import is_partitioned, offloaded_functions, partition_for_re2na

__all__ = [
    "TAG",
    "Explanation",
    "collect_programs",
    "explain",
    "export_library",
    "is_partitioned",
    "lower",
    "name_operators",
    "offloaded_functions",
    "offloaded_macs_share",
    "partition_for_re2na",
]
