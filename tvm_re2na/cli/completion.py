"""`re2na completion`: a script with which a shell completes commands, options, choices and files. The package shtab writes it."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from tvm_re2na.cli import arguments
from tvm_re2na.cli.output import Result
from tvm_re2na.cli.parser import make_parser
from tvm_re2na.frontends import MissingPackageError


def completion(options: argparse.Namespace) -> Result:
    """The script for one shell, from the parser itself. Raises MissingPackageError where shtab is not installed."""
    try:
        import shtab
    except ImportError as error:
        raise MissingPackageError("shtab is not installed: pip install 'tvm_re2na[completion]'") from error
    parser = make_parser()
    for action in _actions(parser):
        if action.type is arguments.path:
            action.complete = shtab.FILE  # type: ignore[attr-defined]  # an attribute of shtab's own
    script = shtab.complete(parser, options.shell)
    return Result({"shell": options.shell, "script": script}, (script,))


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Of the command and of all commands below it."""
    for action in parser._actions:  # argparse has no public way
        yield action
        if isinstance(action, argparse._SubParsersAction):
            for below in action.choices.values():
                yield from _actions(below)
