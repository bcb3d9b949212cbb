"""Sphinx configuration: MyST pages, numpydoc reference, executed gallery."""

import warnings
from pathlib import Path

from docutils import nodes

import sklearn_rankformer

project = "sklearn-rankformer"
author = "the sklearn-rankformer developers"
copyright = f"2026, {author}"
release = version = sklearn_rankformer.__version__

extensions = [
    "myst_parser",
    "numpydoc",
    "sphinx.ext.autodoc",
    "sphinx.ext.autosummary",
    "sphinx.ext.mathjax",
    "sphinx_copybutton",
    "sphinx_gallery.gen_gallery",
]
myst_enable_extensions = ["dollarmath", "colon_fence"]
myst_heading_anchors = 3
source_suffix = {".md": "markdown", ".rst": "restructuredtext"}
exclude_patterns = ["_build", "results"]
templates_path = ["_templates"]

autosummary_generate = True
autodoc_member_order = "groupwise"
default_role = "py:obj"  # `fit` in a docstring leads to the method, where it is one
numpydoc_show_class_members = False
numpydoc_class_members_toctree = False

html_theme = "furo"
html_title = f"sklearn-rankformer {release}"
html_static_path = ["_static"]
html_favicon = "_static/favicon.svg"
html_css_files = ["custom.css"]
html_search_scorer = str(Path(__file__).parent / "search_order.js")

# Copy what is typed, without prompts and output.
copybutton_prompt_text = r">>> |\.\.\. |\$ "
copybutton_prompt_is_regexp = True

sphinx_gallery_conf = {
    "examples_dirs": "../examples",
    "gallery_dirs": "auto_examples",
    "filename_pattern": "/plot_",
    "download_all_examples": False,
    "show_memory": False,
    "show_signature": False,
    "write_computation_times": False,
    # What a script prints and draws is shown, the value of its last line is not.
    "capture_repr": (),
    "doc_module": ("sklearn_rankformer",),
    "backreferences_dir": "api/generated/examples",
    "reference_url": {"sklearn_rankformer": None},
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
