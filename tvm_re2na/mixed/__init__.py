"""Layers in float, or at the machine's full width, as few as a wanted accuracy needs."""

from tvm_re2na.mixed.report import WidthSearch, WidthTrial
from tvm_re2na.mixed.search import search_widths
from tvm_re2na.mixed.target import Target

__all__ = ["Target", "WidthSearch", "WidthTrial", "search_widths"]
