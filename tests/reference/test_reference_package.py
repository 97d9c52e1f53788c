# SPDX-License-Identifier: BSD-3-Clause
"""The reference stands alone, and the examples of its docstrings are true."""

import ast
import doctest
import importlib
import inspect
import pkgutil
from pathlib import Path

import numpy as np
import pytest

from mlpcore import reference

MODULES = [module.name for module in pkgutil.iter_modules(reference.__path__)]


@pytest.mark.parametrize("name", MODULES)
def test_examples(name):
    # Not an attribute of the package: reference.chain is the function.
    module = importlib.import_module(f"mlpcore.reference.{name}")
    result = doctest.testmod(module, extraglobs={"np": np})
    assert result.failed == 0


@pytest.mark.parametrize("name", MODULES)
def test_imports_only_numpy_and_itself(name):
    path = Path(inspect.getfile(reference)).parent / f"{name}.py"
    imported = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            imported |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add("." * node.level if node.level else node.module.split(".")[0])
    assert imported <= {"numpy", ".", "math", "typing", "collections", "dataclasses", "itertools"}


def test_every_public_function_has_an_example():
    for name in reference.__all__:
        thing = getattr(reference, name)
        if inspect.isfunction(thing):
            assert ">>>" in thing.__doc__, name
