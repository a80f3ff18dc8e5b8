"""Names for operators: those of the source model, made unique; numbers by kind where it has none."""

from __future__ import annotations

from collections import Counter


class UniqueNames:
    """Hands every name out once."""

    def __init__(self) -> None:
        self._used: set[str] = set()
        self._counts: Counter[str] = Counter()

    def take(self, kind: str, source: str | None) -> str:
        """`source`, or `source_0` if that is taken, and so on; `conv2d_0` where the source has no name."""
        name = source
        while name is None or name in self._used:
            stem = source or kind
            name = f"{stem}_{self._counts[stem]}"
            self._counts[stem] += 1
        self._used.add(name)
        return name
