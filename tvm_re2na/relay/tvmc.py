"""`tvmc` that knows Re²Na: `python -m tvm_re2na.relay.tvmc compile --target "re2na, llvm" model.onnx`."""

import sys

from tvm_re2na.frontends.relay.tvmc import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
