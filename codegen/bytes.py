"""Sizes and alignment of what lies in a memory."""

from __future__ import annotations

ALIGNMENT = 64  # of buffers and tensors
BIAS_BYTES = 4
SUM_BYTES = 4  # of a parked sum


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def mask_bytes(k: int) -> int:
    """Bytes of a bitmap of k steps."""
    return -(-k // 8)
