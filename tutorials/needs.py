"""What a tutorial needs: where it is not there, one line that says how to install it."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path

# the extra of pip, the module that it brings, and what that is
EXTRAS = {
    "relay": ("tvm.relay", "TVM 0.19 with Relay, in an environment of its own"),
    "relax": ("tvm.relax", "TVM 0.27 with Relax, in an environment of its own"),
    "torch": ("torch", "PyTorch"),
    "pt2e": ("torchao", "PyTorch's torchao"),
    "torchvision": ("torchvision", "torchvision"),
    "plot": ("matplotlib", "matplotlib"),
}


def need(*alternatives: str) -> None:
    """Ends the script unless one of these extras is installed."""
    for extra in alternatives:
        try:
            import_module(EXTRAS[extra][0])
        except ImportError:
            continue
        return
    what = " or ".join(EXTRAS[extra][1] for extra in alternatives)
    sys.exit(f"{Path(sys.argv[0]).name}: needs {what}: pip install 'tvm_re2na[{alternatives[0]}]'")
