"""The `re2na` command.

Exit codes: 0 done; 1 done, but Re²Na's outputs are not those of the CPU; 2 wrong usage or unusable input; 3 the network
cannot be compiled, or the program cannot be run or has a hazard; 4 an optional package is missing; 5 workers were lost; 130
interrupted; 143 terminated.
Results go to stdout, everything else to stderr; an expected failure is one line there.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from importlib import import_module

from tvm_re2na.cli.parser import make_parser
from tvm_re2na.cli.signals import stop_signals


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, that of the process where there are no `arguments`; returns its exit code.

    Nothing but the parser is loaded before the options are known.
    """
    if arguments is None:
        # no command uses PyTorch, which today's TVM loads wherever it is installed: half of the time of `compile`
        sys.modules.setdefault("torch", None)  # type: ignore[arg-type]
    options = make_parser().parse_args(arguments)
    options.words = tuple(sys.argv[1:] if arguments is None else arguments)
    with stop_signals() as stopped:
        try:
            return _run(options)
        except BrokenPipeError:
            # the reader of a pipe has gone: nothing to say, and nobody to say it to
            _close_stdout()
            return 0
        except (Exception, KeyboardInterrupt) as error:
            from tvm_re2na.cli.errors import explain_failure

            file = getattr(options, "model", None) or getattr(options, "program", None)
            failure = explain_failure(stopped[0] if stopped else error, file)
            if failure is None:
                raise
            print(f"re2na: error: {failure.message}", file=sys.stderr)
            return failure.code


def _run(options: argparse.Namespace) -> int:
    from tvm_re2na import cache
    from tvm_re2na.cli.output import results_only, show, warnings_last
    from tvm_re2na.logs import shown_on_stderr

    no_cache = cache.off(when=getattr(options, "no_cache", False))
    with shown_on_stderr(options.verbose), warnings_last(), results_only(), no_cache:
        module, function = options.command.split(":")
        result = getattr(import_module(f"tvm_re2na.cli.{module}"), function)(options)
    try:
        show(result, getattr(options, "format", "table"))
    except OSError as error:
        if not isinstance(error, BrokenPipeError):
            _close_stdout()
            error.filename = "standard output"
        raise
    return int(result.code)


def _close_stdout() -> None:
    """What is left in it is dropped: writing it at the end would fail once more."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
