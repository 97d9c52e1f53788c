# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks`` checks what it times; no duration is asserted here."""

import importlib
import json
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]
SMALL = ("seed_tiny", "tabular", "digits")


@pytest.fixture
def benchmark(monkeypatch):
    """A module of the benchmarks by its name; the package is not installed."""
    monkeypatch.syspath_prepend(ROOT)
    return lambda name: importlib.import_module(f"benchmarks.{name}")


@pytest.fixture
def results(benchmark):
    case = benchmark("cases").CASES[0]
    return list(benchmark("measure").measure(case, n_rounds=2, slice_seconds=1e-5))


def test_rivals_agree_with_the_reference(benchmark):
    cases = [case for case in benchmark("cases").CASES if case.name in SMALL]
    assert {case.loss for case in cases} == {"mse", "cross_entropy"}
    bce = cases[0]._replace(loss="bce", hidden_activation="sigmoid", output_activation="sigmoid")
    tanh = cases[0]._replace(hidden_activation="tanh")
    for case in [*cases, bce, tanh]:
        benchmark("measure").verify(case)


@pytest.mark.parametrize("job", ["forward", "value_and_grad", "sgd_step", "adam_step"])
@pytest.mark.parametrize("rival", ["MlpcoreNet", "NumpyNet"])
def test_a_wrong_result_is_not_timed(benchmark, monkeypatch, rival, job):
    net = getattr(benchmark("rivals"), rival)
    right = getattr(net, job)

    def wrong(self, *arguments):
        result = right(self, *arguments)
        if job.endswith("step"):
            self.parameters += np.float32(0.01)
            return result
        return tuple(1.2 * part for part in result) if isinstance(result, tuple) else 1.2 * result

    monkeypatch.setattr(net, job, wrong)
    measure = benchmark("measure")
    with pytest.raises(RuntimeError, match="differs"):
        measure.measure(benchmark("cases").CASES[1])


def test_every_job_is_timed_for_both(results):
    assert [result.job for result in results] == [
        "forward",
        "value_and_grad",
        "sgd_step",
        "adam_step",
    ]
    for result in results:
        assert set(result.timings) == {"mlpcore", "numpy"}
        for timing in result.timings.values():
            assert 0 < timing.lower_quartile <= timing.median <= timing.upper_quartile


def test_reports(benchmark, results):
    report = benchmark("report")
    lines = list(report.text(results, n_threads=1))
    assert len(lines) == 4 + len(results)
    table = [line for line in report.markdown(results, n_threads=2) if line.startswith("|")]
    assert len(table) == 3
    assert {line.count("|") for line in table} == {7}
    (text,) = report.as_json(results, n_threads=1)
    data = json.loads(text)
    assert data["machine"]["n_threads"] == 1
    assert [record["job"] for record in data["results"]] == [result.job for result in results]
