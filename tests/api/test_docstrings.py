# SPDX-License-Identifier: BSD-3-Clause
"""Every public name is in the reference, and its docstring tells what a caller has to know."""

import importlib
import inspect
import re
from pathlib import Path
from types import WrapperDescriptorType

import pytest

import mlpcore

DOCS = Path(__file__).parents[2] / "docs"
REFERENCE = "\n".join((DOCS / page).read_text("utf-8") for page in ("api.rst", "slow_twins.rst"))

# Whose names are public.
MODULES = [
    "mlpcore",
    "mlpcore.convert",
    "mlpcore.cpu",
    "mlpcore.losses",
    "mlpcore.reference",
    "mlpcore.schedules",
    "mlpcore.tabular",
]

# What of numpydoc.validate is asked for. Not so: where quotes stand (GL01, GL02), an extended
# summary (ES01), "See Also" (SA01), the grammar of a summary (SS05), and a capital at the beginning
# of a description, which may be a formula (PR08, RT04).
CHECKS = {
    *("GL03", "GL05", "GL06", "GL07", "GL08", "GL09", "GL10"),
    *("SS01", "SS02", "SS03", "SS04", "SS06", "EX01"),
    *("PR01", "PR02", "PR03", "PR04", "PR05", "PR06", "PR07", "PR09", "PR10"),
    *("RT01", "RT02", "RT03", "RT05", "YD01", "SA02", "SA03", "SA04"),
}

# They take what mlpcore itself hands to them.
CANNOT_FAIL = {
    "mlpcore.losses.Loss.fuses_with",
    "mlpcore.schedules.Schedule.factor",
    "mlpcore.schedules.Schedule.length",
    "mlpcore.tabular.Encoding.answers",
    "mlpcore.tabular.Table.where",
}

# "As `MLP.to_torch`", "see `Loss.after`": one full docstring is enough.
REFERS = re.compile(r"\b(?:[Aa]s|see) `([\w.]+)`")


def listed():
    """The names of the reference, as they are imported."""
    blocks = re.findall(r"^\.\. autosummary::\n(?:   :.*\n)+\n((?:   [\w.]+\n)+)", REFERENCE, re.M)
    return ["mlpcore." + name for block in blocks for name in block.split()]


def found(name):
    """What a dotted name stands for."""
    parts = name.split(".")
    for n in range(len(parts), 0, -1):
        try:
            thing = importlib.import_module(".".join(parts[:n]))
        except ImportError:
            continue
        for part in parts[n:]:
            thing = getattr(thing, part)
        return thing
    raise AssertionError(name)


def methods(cls):
    """Names of the methods that are mlpcore's own, and not described with a base.

    What a list or a mapping brings along is not mlpcore's; nor is what an estimator has of
    scikit-learn's base classes, or of those in their place. A ``__call__`` of the binding cannot
    have a docstring; the class's has to do.
    """
    elsewhere = [found(name) for name in CLASSES if found(name) is not cls]
    for name in dir(cls):
        owner = next((c for c in cls.__mro__ if name in vars(c)), object)
        is_own = owner.__module__.startswith("mlpcore") and owner not in elsewhere
        is_own = is_own and owner.__module__ != "mlpcore.estimators.standalone"
        if is_own and (name == "__call__" or not name.startswith("_")):
            raw, method = inspect.getattr_static(cls, name), getattr(cls, name)
            # Another library may put methods into a class of ours; those of the binding tell none.
            module = getattr(method, "__module__", None) or "mlpcore"
            is_slot = isinstance(raw, property | WrapperDescriptorType)
            if callable(method) and not is_slot and module.startswith("mlpcore"):
                yield name


def attributes(cls):
    """Names of the properties."""
    return [
        name
        for name in dir(cls)
        if not name.startswith("_") and isinstance(inspect.getattr_static(cls, name), property)
    ]


def own_and_base_docs(thing):
    """The docstring, and those of the bases of a class: they speak for it too."""
    if not inspect.isclass(thing):
        return inspect.getdoc(thing)
    own = [cls for cls in thing.__mro__ if cls.__module__.startswith("mlpcore")]
    return "\n".join(inspect.cleandoc(cls.__doc__ or "") for cls in own)


LISTED = listed()
CLASSES = [name for name in LISTED if inspect.isclass(found(name))]
CALLABLE = [name for name in LISTED if callable(found(name))]
CALLABLE += [f"{name}.{method}" for name in CLASSES for method in methods(found(name))]


def overrides(name):
    """Whether it is a method in place of a base's, whose docstring has an example."""
    owner, _, method = name.rpartition(".")
    if owner not in CLASSES:
        return False
    bases = [base for base in found(owner).__mro__[1:] if method in vars(base)]
    return any("Examples\n---" in (inspect.getdoc(getattr(base, method)) or "") for base in bases)


def is_reference_to_another(name):
    """Whether a docstring sends its reader to a full one, or overrides a method that has it."""
    doc = inspect.getdoc(found(name)) or ""
    if len(doc.split("\n\n")) > 1:
        return False
    target = REFERS.search(doc)
    if target:
        candidates = [n for n in CALLABLE if n == target[1] or n.endswith("." + target[1])]
        assert candidates, f"{name} refers to {target[1]}, which is not in the reference"
        return True
    return overrides(name)


def test_every_public_name_is_in_the_reference():
    public = {
        f"{module}.{name}" for module in MODULES for name in importlib.import_module(module).__all__
    }
    shown = set(LISTED) | set(re.findall(r"``(mlpcore\.[\w.]+)``", REFERENCE))
    shown |= set(re.findall(r"automodule:: ([\w.]+)", REFERENCE))
    # One thing may have two names: `mlpcore.set_n_threads` is also one of `mlpcore.cpu`.
    things = [found(name) for name in shown]
    missing = {name for name in public - shown if not any(found(name) is t for t in things)}
    assert sorted(missing) == [], "add these to docs/api.rst"
    assert len(LISTED) == len(set(LISTED))


@pytest.mark.parametrize("name", CALLABLE)
def test_docstring_is_complete(name):
    validate = pytest.importorskip("numpydoc.validate", reason="numpydoc is not installed").validate
    if is_reference_to_another(name):
        return
    thing = found(name)
    doc = inspect.getdoc(thing)
    made_by_others = inspect.isclass(thing) and "Parameters\n---" not in doc
    faults = []
    for code, message in validate(name)["errors"]:
        if code not in CHECKS or (code == "EX01" and overrides(name)):
            continue
        if code == "PR01" and made_by_others and ("Attributes\n---" in doc or "makes it" in doc):
            continue
        if code == "PR04":  # several names of one line: "x, y, loss" and "As for `train_step`."
            parameter = re.search(r'"(.+)"', message)[1]
            if re.search(rf"^[\w, *]*{re.escape(parameter)}\b.*\n    As for ", doc, re.M):
                continue
        faults.append(f"{code} {message}")
    assert faults == []


@pytest.mark.parametrize("name", CALLABLE)
def test_docstring_names_shapes_and_errors(name):
    if is_reference_to_another(name):
        return
    doc = inspect.getdoc(found(name))
    typed = re.findall(r"^(\w[\w, *]*) : (.*(?:array_like|ndarray|tensor).*)$", doc, re.M)
    typed += [("returns", line) for line in re.findall(r"^numpy\.ndarray.*$", doc, re.M)]
    shapeless = [
        (what, kind)
        for what, kind in typed
        if "shape" not in kind and not re.search("^(sequence|tuple|list) of|mapping of", kind)
    ]
    assert shapeless == []
    # Of the reference, NumPy's own errors go without saying.
    can_fail = "Parameters\n---" in doc and not name.startswith("mlpcore.reference.")
    if can_fail and name not in CANNOT_FAIL:
        assert "\nRaises\n------\n" in own_and_base_docs(found(name))


@pytest.mark.parametrize("name", CLASSES)
def test_class_describes_its_attributes(name):
    doc = own_and_base_docs(found(name))
    described = set()
    for line in re.findall(r"^(\w[\w, ]*?)(?: : .*)?$\n    \S", doc, re.M):
        described |= set(line.split(", "))
    assert sorted(set(attributes(found(name))) - described) == []


def test_version_is_public():
    assert "__version__" in mlpcore.__all__
