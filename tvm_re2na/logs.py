"""What the package says with Python's own logging: the steps of a job and their seconds (INFO), the compiler's passes, what the
cache has (DEBUG). Loggers bear the names of their modules, below "tvm_re2na"; without a handler nobody sees any of it.
"""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

PACKAGE = "tvm_re2na"
LEVELS = (logging.WARNING, logging.INFO, logging.DEBUG)  # by how often --verbose was given
FORMAT = "re2na: %(relativeCreated)6.0f ms  %(message)s  [%(name)s]"  # since Python's logging was loaded


@contextmanager
def timed(step: str, name: str) -> Iterator[None]:
    """The logger `name` tells how long the block took, or, as a decorator, each call of the function. What fails is not told: it is
    raised."""
    started = time.perf_counter()
    yield
    logging.getLogger(name).info("%s: %.2f s", step, time.perf_counter() - started)


@contextmanager
def shown_on_stderr(verbosity: int) -> Iterator[None]:
    """Within it, what the package says is a line on stderr each: of the steps from 1, of all else from 2."""
    logger, level = logging.getLogger(PACKAGE), LEVELS[min(verbosity, len(LEVELS) - 1)]
    was, handler = logger.level, logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter(FORMAT))
    if verbosity:
        logger.setLevel(level)
        logger.addHandler(handler)
    try:
        yield
    finally:
        logger.setLevel(was)
        logger.removeHandler(handler)
