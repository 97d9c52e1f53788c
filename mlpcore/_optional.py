# SPDX-License-Identifier: BSD-3-Clause
"""Libraries that only some calls need, imported when such a call is made."""

from __future__ import annotations

from importlib import import_module
from types import ModuleType

# Where the name of the package is not that of the module.
_PACKAGES = {"sklearn": "scikit-learn"}


def library(name: str, needs: str) -> ModuleType:
    """The module of this name.

    Parameters
    ----------
    name : str
        Of a module, also of one inside a package.
    needs : str
        What needs it, as the message begins.

    Raises
    ------
    ImportError
        If it cannot be imported; the message says how to get it.

    Examples
    --------
    >>> library("json", "saving").dumps([1])
    '[1]'
    """
    try:
        return import_module(name)
    except ImportError as error:
        root = name.partition(".")[0]
        package = _PACKAGES.get(root, root)
        raise ImportError(f"{needs} needs {package}: pip install {package} ({error})") from error
