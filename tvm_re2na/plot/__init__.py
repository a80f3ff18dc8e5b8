"""Every figure of the project: one style (`style.py`), and a file for each kind of figure. Drawn with matplotlib (extra `plot`)."""

from tvm_re2na.plot.heat import check_heat, heat_figure
from tvm_re2na.plot.layers import report_figure
from tvm_re2na.plot.machines import exploration_figure
from tvm_re2na.plot.style import FORMATS, PlotError, check_format, new_figure, write_figure

__all__ = [
    "FORMATS",
    "PlotError",
    "check_format",
    "check_heat",
    "exploration_figure",
    "heat_figure",
    "new_figure",
    "report_figure",
    "write_figure",
]
