"""Sphinx's configuration. `docs/site/build.py` runs it, twice: each tutorial is executed in the environment of its TVM.

RE2NA_DOCS_SECTIONS: the sections of the tutorials to execute, like `relax,pytorch`.
RE2NA_DOCS_ONLINE: 1 links names of TVM, NumPy, ONNX and Python to their own documentation, for which Sphinx asks the network.
"""

from __future__ import annotations

import os
import re
import sys
import warnings
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))
from docstrings import as_restructured

import tvm_re2na
from tvm_re2na.tutorials import SECTIONS, scripts

project = "tvm_re2na"
copyright = "the authors of tvm_re2na, Apache-2.0"
version = release = tvm_re2na.__version__

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.viewcode",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
intersphinx_mapping = {
    "python": ("https://docs.python.org/3", None),
    "numpy": ("https://numpy.org/doc/stable", None),
    "onnx": ("https://onnx.ai/onnx", None),
    "tvm": ("https://tvm.apache.org/docs", None),
}
if os.environ.get("RE2NA_DOCS_ONLINE") == "1":
    extensions.append("sphinx.ext.intersphinx")

highlight_language = "none"  # what is indented are commands and listings
default_role = "code"  # our docstrings have single backticks

# pages of the repository, as GitHub shows them
myst_heading_anchors = 4
myst_enable_extensions = ["deflist"]

# the API
autodoc_member_order = "bysource"
autodoc_typehints = "signature"
autodoc_preserve_defaults = True
autodoc_inherit_docstrings = False  # those of PyTorch say nothing of ours
python_use_unqualified_type_names = True
python_maximum_signature_line_length = 100

# the tutorials
executed = "|".join(os.environ.get("RE2NA_DOCS_SECTIONS", "none").split(","))
asking = [path.stem for path in scripts() if "tvm_re2na.tutorials.networks" in path.read_text(encoding="utf-8")]
without_data = "" if os.environ.get("RE2NA_DATA") else rf"(?!{'|'.join(asking)})"  # these are shown, but not run
sphinx_gallery_conf: dict[str, Any] = {
    "examples_dirs": ["../scripts"],
    "gallery_dirs": ["tutorials"],
    "filename_pattern": rf"/({executed})/{without_data}",
    "ignore_pattern": r"__init__|/(support|networks|lenet5_torch)\.py$",
    "subsection_order": [f"../scripts/{section}" for section in SECTIONS],
    "within_subsection_order": "FileNameSortKey",
    "nested_sections": False,
    "image_scrapers": ("scraper.written_pictures",),
    "reset_modules": (),
    "abort_on_example_error": True,
    "remove_config_comments": True,
    "show_memory": False,
    "min_reported_time": 0,
    "plot_gallery": "True",
    "capture_repr": (),
    "copyfile_regex": "",
    "reference_url": {"tvm_re2na": None},  # names in their code lead to the API
}
warnings.formatwarning = lambda message, category, *_: f"warning: {message}\n"  # pages need no paths of who built them

# how it looks
html_theme = "furo"
html_title = f"tvm_re2na {version}"
html_static_path = ["_static"]
templates_path = ["_templates"]
html_css_files = ["re2na.css"]
html_show_sphinx = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#0072B2", "color-brand-content": "#0072B2"},
    "dark_css_variables": {"color-brand-primary": "#56B4E9", "color-brand-content": "#56B4E9"},
}
html_sidebars = {
    "**": [
        "sidebar/brand.html",
        "sidebar/versions.html",
        "sidebar/search.html",
        "sidebar/scroll-start.html",
        "sidebar/navigation.html",
        "sidebar/scroll-end.html",
    ]
}


def without_ways_back(app: Any, page: str, template: str, context: dict[str, Any], doctree: Any) -> None:
    """Sources link back to one name each, wrongly where a name is described with a module that imports it."""
    del app, template, doctree
    if page.startswith("_modules/") and "body" in context:
        context["body"] = re.sub(r'<a class="viewcode-back".*?</a>', "", context["body"])


def setup(app: Any) -> None:
    app.connect("html-page-context", without_ways_back)
    app.connect("autodoc-process-docstring", as_restructured)
