"""Today's TVM with Relax. Importing it registers the target tag "re2na" and its code generator."""

import tvm_re2na.frontends.relax.register  # noqa: F401  registers with TVM
