"""Names for operators: those of the source model, made unique; kind and running number where it has none."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable


class UniqueNames:
    """Hands every name out once; those that are `given` away already, never."""

    def __init__(self, given: Iterable[str] = ()) -> None:
        self._used = set(given)
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


def node_names(nodes: Iterable[tuple[str, str]]) -> list[str]:
    """The name of each of a model's nodes, given as (kind, name), which is empty where it has none: `Conv_0`, `Conv_1`...

    They are numbered in the model's order: in which order a TVM goes through its operators makes no difference.
    """
    nodes = list(nodes)
    names = UniqueNames(name for _, name in nodes if name)
    return [name or names.take(kind, None) for kind, name in nodes]
