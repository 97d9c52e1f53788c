# SPDX-License-Identifier: BSD-3-Clause
"""What the documents say is true: their code runs, and what they name exists."""

import ast
import doctest
import importlib
import importlib.util
import pkgutil
import re
import runpy
import sys
from pathlib import Path

import pytest

import mlpcore

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
# They are about the C sources, list other pages, or are a page of the folder above.
WITHOUT_CODE = {"architecture.md", "changelog.md", "contributing.md", "kernels.md", "questions.md"}
MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(mlpcore.__path__, "mlpcore.")
    # The reference has a test of its own.
    if not module.name.startswith(("mlpcore.__main__", "mlpcore.reference"))
)


def page_id(path):
    return path.relative_to(ROOT).as_posix()


def code_blocks(text, language):
    """Code in the order of the page; without what needs a library that is not installed.

    The comment ``<!-- needs: torch -->`` stands in the line before such a block.
    """
    fence = rf"^(?:<!-- needs: (\w+) -->\n)?```{language}\n(.*?)^```"
    return [
        block
        for library, block in re.findall(fence, text, re.DOTALL | re.MULTILINE)
        if not library or importlib.util.find_spec(library) is not None
    ]


def run_examples(examples, globs):
    """Run doctests; the report of those that fail is the message."""
    report = []
    runner = doctest.DocTestRunner(optionflags=doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS)
    runner.run(examples, out=report.append, clear_globs=False)
    assert runner.failures == 0, "".join(report)
    return globs


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_code_of_a_page_runs(path, monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    text = path.read_text(encoding="utf-8")
    assert ("\n```python\n" in text) != (path.name in WITHOUT_CODE)
    blocks = code_blocks(text, "python")
    globs = {"__name__": "page"}
    for i, block in enumerate(blocks):
        if ">>>" in block:
            test = doctest.DocTestParser().get_doctest(
                block, globs, f"{path.name}, block {i}", None, 0
            )
            test.globs = globs  # the parser copies them; a page is one session
            run_examples(test, globs)
        else:
            exec(compile(block, f"{path.name}, block {i}", "exec"), globs)


@pytest.mark.parametrize("name", ["mlpcore", *MODULES])
def test_examples_of_docstrings_run(name):
    module = importlib.import_module(name)
    finder = doctest.DocTestFinder(exclude_empty=True)
    for test in finder.find(module, extraglobs={"mlpcore": mlpcore}):
        run_examples(test, test.globs)


def functions_of(path):
    """Names of all functions of a test file, those of its classes as ``Class::function``."""
    names = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef):
            names.add(node.name)
        elif isinstance(node, ast.ClassDef):
            names |= {f"{node.name}::{child.name}" for child in node.body if hasattr(child, "name")}
    return names


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_tests_that_a_page_names_exist(path):
    for file, name in re.findall(r"`(tests/[\w/]+\.py)::(\w+(?:::\w+)?)`", path.read_text("utf-8")):
        assert name in functions_of(ROOT / file), f"{file}::{name}"


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_files_that_a_page_links_to_exist(path):
    for target in re.findall(r"\]\((?!https?:)([^)#]+)", path.read_text(encoding="utf-8")):
        assert (path.parent / target).exists(), target


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_sources_that_a_page_names_exist(path):
    folders = ("benchmarks", "docs", "examples", "mlpcore", "src_c", "tests", "tools")
    sources = [page_id(file) for folder in folders for file in (ROOT / folder).rglob("*.*")]
    prose = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.M)
    for name in re.findall(r"[\w/]+\.(?:pyx?|pxi|[ch])\b", prose):
        assert any(source == name or source.endswith(f"/{name}") for source in sources), name


def test_the_map_of_the_house_has_every_module():
    named = re.findall(
        r"[\w/]+\.(?:pyx?|pxi|h)\b", (ROOT / "README.md").read_text(encoding="utf-8")
    )
    modules = {file.name for file in (ROOT / "mlpcore").glob("*.py*")} - {"__init__.py", "py.typed"}
    for room in ("binding", "command_line", "estimators", "tabular"):
        modules |= {file.name for file in (ROOT / "mlpcore" / room).glob("*.p*")} - {"__init__.py"}
    assert modules - set(named) == {"_core.pyi"}


@pytest.mark.parametrize("path", PAGES, ids=page_id)
def test_make_targets_that_a_page_names_exist(path):
    targets = re.findall(
        r"^([a-z]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE
    )
    assert set(re.findall(r"\bmake ([a-z]+)\b", path.read_text(encoding="utf-8"))) <= set(targets)


def test_seed_page_answers_every_row():
    rows = re.findall(
        r"^\| (\d+) \|.*\| (.*) \|$", (ROOT / "docs/seed.md").read_text("utf-8"), re.MULTILINE
    )
    assert [int(number) for number, _ in rows] == list(range(1, 37))
    assert all("`tests/" in shown_by for _, shown_by in rows)


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.py")), ids=page_id)
def test_example_runs(path, monkeypatch, tmp_path, capsys):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [str(path)])
    runpy.run_path(str(path), run_name="__main__")
    assert capsys.readouterr().out
