"""How the pages of `docs/` become a site: `make docs`. Nothing is fetched, while building or while reading."""

import sys
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import walk_packages

HERE = Path(__file__).resolve().parent
sys.path[:0] = [str(HERE.parent), str(HERE)]

project = "rationalizers"
author = "The rationalizers authors"
project_copyright = author

extensions = [
    "myst_parser",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.napoleon",
    "extensions.docstrings",
    "extensions.mathml",
    "extensions.repository",
]
exclude_patterns = ["_build"]
templates_path = ["templates"]

myst_enable_extensions = ["dollarmath"]
myst_heading_anchors = 3

# Single backticks name things of Python, most of them ours. Code is text where a page names no language.
default_role = "py:obj"
highlight_language = "text"

# Where there is no Triton, the twins of the operators have pages all the same. Everything else is imported before something takes
# its place, and sees that there is none: torch would not do with less than all of it.
if find_spec("triton") is None:
    for package in ("rationalizers", "graph"):
        for module in walk_packages(import_module(package).__path__, f"{package}."):
            if not module.name.startswith("rationalizers.kernels.cuda."):
                import_module(module.name)
    autodoc_mock_imports = ["triton"]

autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
autodoc_class_signature = "mixed"
napoleon_google_docstring = True
napoleon_numpy_docstring = False
# Attributes stand in the list of their class alone; as entries of their own some would be there twice.
napoleon_use_ivar = True

html_theme = "furo"
html_title = "rationalizers"
html_static_path = ["static"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_sourcelink = False
