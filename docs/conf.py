# SPDX-License-Identifier: BSD-3-Clause
"""How the pages of this folder become a site: ``make docs``. Nothing is fetched from a network."""

import inspect
from types import WrapperDescriptorType
from typing import Any

from sphinx.util.nodes import make_refnode

import mlpcore

project = "mlpcore"
author = "the mlpcore developers"
copyright = author
version = release = mlpcore.__version__

extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.autosummary", "numpydoc"]
exclude_patterns = ["templates"]
templates_path = ["templates"]

# ---- pages in Markdown: a heading is a place to link to, as it is on GitHub ----------------------
myst_heading_anchors = 3
smartquotes_action = "qe"  # not of dashes: --full is an option

# ---- the reference: one page for each name of api.rst and slow_twins.rst -------------------------
autodoc_typehints = "none"  # docstrings say it, with shapes
autodoc_member_order = "bysource"
toc_object_entries_show_parents = "hide"
numpydoc_show_class_members = False  # the class template has every method on the class's page
# `MLP.trace` in a docstring is a link, and an error if there is no such name.
default_role = "py:obj"
nitpick_ignore_regex = [
    ("py:obj", r"(numpy|scipy)\..*"),  # their inventories would have to come from a network
]


def skip_attributes(
    app: Any, what: str, name: str, obj: Any, skip: bool, options: Any
) -> bool | None:
    """Leave out what the class's docstring describes, and what is not mlpcore's.

    The docstring has the attributes, a call of the binding, and what estimators have of
    scikit-learn's base classes, or of those in their place.
    """
    if inspect.isdatadescriptor(obj) or isinstance(obj, WrapperDescriptorType):
        return True
    module = getattr(obj, "__module__", None) or "mlpcore"  # methods of the binding tell none
    if module.startswith(("sklearn.", "mlpcore.estimators.standalone")):
        return True
    return None


def resolve_name(app: Any, env: Any, node: Any, contnode: Any) -> Any:
    """Find the page of a name that is written without its module, such as `MLP.trace`.

    A name without a dot or a capital that is not in the class itself is an argument, an attribute
    or a key: `x`. It stays plain.
    """
    target = node.get("reftarget", "")
    if node.get("refdomain") != "py":
        return None
    matches = [
        (name, entry)
        for name, entry in env.domains.python_domain.find_obj(env, None, None, target, "obj", 1)
        if not name.startswith("mlpcore.reference.") and not entry.aliased
    ]
    if target.isidentifier() and target.islower():
        return contnode
    if len(matches) != 1:
        return None
    name, entry = matches[0]
    return make_refnode(app.builder, node["refdoc"], entry.docname, entry.node_id, contnode, name)


def setup(app: Any) -> None:
    """Called by Sphinx."""
    app.connect("autodoc-skip-member", skip_attributes)
    app.connect("missing-reference", resolve_name)


# ---- how it looks --------------------------------------------------------------------------------
html_theme = "pydata_sphinx_theme"
html_title = f"mlpcore {release}"
html_static_path = ["static"]
html_css_files = ["mlpcore.css"]
html_copy_source = False
html_show_sourcelink = False
html_show_copyright = False
html_sidebars = {"**": ["contents.html"]}
html_theme_options = {
    "navbar_center": [],
    "navbar_end": ["theme-switcher"],
    "secondary_sidebar_items": ["page-toc"],
    "show_toc_level": 2,
    "footer_start": [],
    "footer_end": [],
    "show_prev_next": True,
}
