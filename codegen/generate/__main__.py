import sys

from tvm_re2na.codegen.generate.files import main

sys.exit(main())
