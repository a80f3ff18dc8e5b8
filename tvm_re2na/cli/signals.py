"""SIGINT and SIGTERM end a command like an error: what it holds is put away, one line is said."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Terminated(KeyboardInterrupt):
    """SIGTERM; whatever treats an interrupt in its own way treats this alike."""


@contextmanager
def stop_signals() -> Iterator[list[KeyboardInterrupt]]:
    """Within it both raise. What was raised is in the list, too: native code that called us makes an error of its own of it.

    A second signal ends the process at once.
    """
    raised: list[KeyboardInterrupt] = []
    if threading.current_thread() is not threading.main_thread():  # no signals here
        yield raised
        return

    def stop(number: int, frame: FrameType | None) -> None:
        del frame
        signal.signal(number, signal.SIG_DFL)
        raised.append(Terminated() if number == signal.SIGTERM else KeyboardInterrupt())
        raise raised[-1]

    # a shell that starts a command in the background lets it ignore SIGINT: so it stays
    kinds = [kind for kind in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(kind) is not signal.SIG_IGN]
    before = {kind: signal.signal(kind, stop) for kind in kinds}
    try:
        yield raised
    finally:
        for kind, handler in before.items():
            signal.signal(kind, handler)
