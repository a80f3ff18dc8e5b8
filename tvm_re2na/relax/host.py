"""The processor that code is built for which stays in this process."""

from tvm_re2na.frontends.relax.host import host_target, target_of

__all__ = ["host_target", "target_of"]
