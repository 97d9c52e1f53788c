# SPDX-License-Identifier: BSD-3-Clause
"""The docstrings' examples that need another library: they are left out where all others run."""

import doctest

import pytest

import mlpcore
from mlpcore.exchange import Exchange

LIBRARIES = {"sklearn": "sklearn", "torch": "torch", "onnx": "onnx"}


@pytest.mark.parametrize("way", ["to", "from"])
@pytest.mark.parametrize("name", LIBRARIES)
def test_example_runs(name, way, monkeypatch, tmp_path):
    pytest.importorskip(LIBRARIES[name], reason=f"{LIBRARIES[name]} is missing")
    monkeypatch.chdir(tmp_path)
    method = getattr(Exchange, f"{way}_{name}")
    text = method.__doc__.replace("# doctest: +SKIP", "")
    example = doctest.DocTestParser().get_doctest(text, {"mlpcore": mlpcore}, name, None, 0)
    report = []
    result = doctest.DocTestRunner().run(example, out=report.append)
    assert result.attempted > 1
    assert result.failed == 0, "".join(report)
