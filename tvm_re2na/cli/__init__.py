"""The `re2na` command.

Exit codes: 0 done; 1 done, but Re²Na's outputs are not those of the CPU; 2 wrong usage or unusable input; 3 the network
cannot be compiled, or the program cannot be run or has a hazard; 4 an optional package is missing; 5 workers were lost; 130
interrupted.
Results go to stdout, everything else to stderr; an expected failure is one line there.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

from tvm_re2na.cli.parser import make_parser


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, that of the process where there are no `arguments`; returns its exit code.

    Nothing but the parser is loaded before the options are known.
    """
    if arguments is None:
        # no command uses PyTorch, which today's TVM loads wherever it is installed: half of the time of `compile`
        sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    options = make_parser().parse_args(arguments)
    from tvm_re2na import cache
    from tvm_re2na.cli.errors import explain_failure
    from tvm_re2na.cli.output import results_only, show

    try:
        with results_only(), cache.off(when=getattr(options, "no_cache", False)):
            module, function = options.command.split(":")
            result = getattr(import_module(f"tvm_re2na.cli.{module}"), function)(options)
        show(result, as_json=getattr(options, "json", False))
    except BrokenPipeError:
        # the reader of a pipe has gone: nothing to say, and nobody to say it to
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except (Exception, KeyboardInterrupt) as error:
        failure = explain_failure(error, getattr(options, "model", None))
        if failure is None:
            raise
        print(f"re2na: error: {failure.message}", file=sys.stderr)
        return failure.code
    return int(result.code)
