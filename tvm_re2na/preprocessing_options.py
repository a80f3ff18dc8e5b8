"""The options of `Preprocessing`, as the command offers them. Data alone: help must not wait for NumPy."""

from __future__ import annotations

OPTIONS = {
    "mean": ("NUMBERS", "subtracted from pixels of 0 to 1: one number, or one a channel, like 0.485,0.456,0.406"),
    "std": ("NUMBERS", "what pixels less mean are divided by: one number, or one a channel"),
    "resize": ("SIZE", "resize to H (the shorter side), or to HxW"),
    "crop": ("SIZE", "then cut out the centre: H (a square), or HxW"),
    "gray": (None, "make grey images of coloured ones, for a network of one channel"),
    "layout": ("LAYOUT", "order of the axes of an .npz's x: nchw (the default) or nhwc"),
}
