"""Sphinx configuration: `make docs` builds into docs/_build/html."""

from importlib.metadata import version as installed_version

project = "napari-lowdose"
author = "The napari-lowdose developers"
copyright = "2026, the napari-lowdose developers"
version = release = installed_version("napari-lowdose")

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.mathjax",
]
exclude_patterns = ["_build"]

myst_enable_extensions = ["amsmath", "colon_fence", "deflist", "dollarmath"]
myst_heading_anchors = 3

autodoc_member_order = "bysource"
autodoc_typehints = "none"  # numpydoc's parameter lists say more: shapes and units
numpydoc_show_class_members = False

html_theme = "pydata_sphinx_theme"
html_title = "napari-lowdose"
html_show_sourcelink = False
html_theme_options = {"show_toc_level": 2}
html_sidebars = {"**": ["sidebar-nav-bs"], "index": [], "tutorial": []}  # no pages below them
