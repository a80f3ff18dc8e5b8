"""How the output channels of a convolution are cut for the array's rows."""

from __future__ import annotations

from collections.abc import Iterator


def channel_blocks(outputs: int, groups: int, rows: int) -> Iterator[tuple[int, int, int]]:
    """(first channel, the one behind the last, groups) of each block of at most `rows` channels of `outputs`.

    Whole groups share a block where several fit; larger groups are cut, so that no block reaches from one into the next.
    """
    per_group = outputs // groups
    at_once = max(1, min(groups, rows // per_group))
    for group in range(0, groups, at_once):
        count = min(at_once, groups - group)
        first, last = group * per_group, (group + count) * per_group
        for start in range(first, last, rows if count == 1 else last - first):
            yield start, min(start + rows, last) if count == 1 else last, count
