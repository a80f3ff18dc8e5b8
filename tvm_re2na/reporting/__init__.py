"""`re2na report`: everything that is known of a run in one document, a page that draws it, and two of them side by side.

`document.py` is what is known, `collect.py` finds it, all others only show it.
"""

from __future__ import annotations

from tvm_re2na.reporting.differences import Difference, Differences, differences
from tvm_re2na.reporting.document import ReportError, RunReport
from tvm_re2na.reporting.page import check_library, comparison_page, run_page, save
from tvm_re2na.reporting.reading import read_report, read_survey

from tvm_re2na.reporting.collect import report  # isort: skip  # the last, since it needs TVM's side of the package

__all__ = [
    "Difference",
    "Differences",
    "ReportError",
    "RunReport",
    "check_library",
    "comparison_page",
    "differences",
    "read_report",
    "read_survey",
    "report",
    "run_page",
    "save",
]
