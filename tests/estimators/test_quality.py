# SPDX-License-Identifier: BSD-3-Clause
"""What is learnt is as good as what scikit-learn learns; benchmarks/estimators.py asks more."""

import statistics
import sys
from pathlib import Path

import pytest

# Last, so that it is the installed package that is tested.
sys.path.append(str(Path(__file__).parents[2]))
from benchmarks import estimators as benchmark

N_SEEDS = 3
# The digits take a second a fit; the rest of the table is made by the benchmark.
PAIRS = [
    (task, solver)
    for task in benchmark.TASKS
    for solver in (["adam"] if task.name == "digits" else benchmark.SOLVERS)
]


@pytest.mark.parametrize(("task", "solver"), PAIRS, ids=lambda value: getattr(value, "name", value))
def test_held_out_scores_are_not_lower(task, solver):
    theirs, ours = benchmark.scores(task, solver, N_SEEDS)
    assert len(theirs) == len(ours) == N_SEEDS
    assert statistics.mean(ours) > (0.9 if task.score == "accuracy" else 0.1)
    assert statistics.mean(ours) >= statistics.mean(theirs) - benchmark.LARGEST_LOSS[task.score]
