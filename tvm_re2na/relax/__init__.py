"""Room 2: today's TVM with Relax. Importing it registers the patterns, the target tag "re2na" and its code generator."""

from tvm_re2na.codegen.offload.explanation import Explanation
from tvm_re2na.relax import backend as _backend  # registers with TVM
from tvm_re2na.relax.backend import collect_programs, export_library
from tvm_re2na.relax.explain import explain, offloaded_macs_share
from tvm_re2na.relax.lower import lower
from tvm_re2na.relax.names import name_operators
from tvm_re2na.relax.partition import is_partitioned, offloaded_functions, partition_for_re2na

__all__ = [
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
TAG = _backend.TAG
