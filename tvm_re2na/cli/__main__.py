"""`python -m tvm_re2na.cli` is `re2na`."""

import sys

from tvm_re2na.cli import main

sys.exit(main())
