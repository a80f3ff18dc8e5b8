"""PyTorch's PT2E models -> Relax."""

from tvm_re2na.frontends.relax.pt2e import Pt2eError, from_exported_program

__all__ = ["Pt2eError", "from_exported_program"]
