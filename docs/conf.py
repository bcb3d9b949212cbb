"""Sphinx configuration: MyST pages, numpydoc reference, executed gallery."""

import warnings

from docutils import nodes

import sklearn_rankformer

project = "sklearn-rankformer"
author = "the sklearn-rankformer developers"
copyright = author
release = version = sklearn_rankformer.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "results"]

autosummary_generate = True
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"sklearn-rankformer {release}"

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "download_all_examples": False,
    "show_memory": False,
    "min_reported_time": 1e9,
}

# Figures are drawn into the page, never shown in a window.
warnings.filterwarnings("ignore", message="FigureCanvasAgg is non-interactive")


def drop_mail_links(app, doctree):
    """Take NDCG@10 for what it is: docutils makes a mail address of it."""
    for link in list(doctree.findall(nodes.reference)):
        if link.get("refuri", "").startswith("mailto:"):
            link.replace_self(link.children)


def setup(app):
    """Register what Sphinx is to call."""
    app.connect("doctree-read", drop_mail_links)
