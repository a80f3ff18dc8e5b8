"""Sizes and alignment of what lies in a memory."""

from __future__ import annotations

ALIGNMENT = 64  # of buffers and tensors
BIAS_BYTES = 4
SUM_BYTES = 4  # of a parked sum
MOST_PARKED = 2**31 // 2**14 - 1  # products of two bytes whose sum stays within it
MOST_PARTS = 32  # of a sum
LITTLE = 64  # weights of less than so many parts of the SRAM are not cut further


def aligned(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT


def mask_bytes(k: int) -> int:
    """Bytes of a bitmap of k steps."""
    return -(-k // 8)
