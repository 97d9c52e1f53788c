# SPDX-License-Identifier: BSD-3-Clause
"""What the optimizers are compared on: the formulas are right, and the rows what they say."""

from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def tasks(monkeypatch):
    monkeypatch.syspath_prepend(ROOT)
    from benchmarks import optimizer_tasks

    return optimizer_tasks


@pytest.mark.parametrize(
    ("pressure", "temperature", "volume", "enthalpy"),
    [
        (3.0, 300.0, 0.100215168e-2, 0.115331273e3),
        (80.0, 300.0, 0.971180894e-3, 0.184142828e3),
        (3.0, 500.0, 0.120241800e-2, 0.975542239e3),
    ],
)
def test_water_is_that_of_the_release(tasks, pressure, temperature, volume, enthalpy):
    """The nine digits that the release has for programs to be checked with, in its table 5."""
    got = tasks.volume_and_enthalpy(np.array([pressure]), np.array([temperature]))
    np.testing.assert_allclose(got, [[volume, enthalpy]], rtol=5e-9)


def test_measurements_are_split_and_standardised_by_what_is_learnt(tasks, tmp_path):
    path = tmp_path / "yacht_hydrodynamics.data"
    table = np.random.default_rng(0).normal(3.0, 2.0, (40, 7))
    np.savetxt(path, table)
    task = tasks.yacht_task(path)
    data, other = task.data(0), task.data(1)
    assert [len(rows) for rows in data] == [30, 30, 10, 10]
    assert data.x.shape[1] == task.sizes[0]
    for columns in (data.x, data.y):
        np.testing.assert_allclose(columns.mean(axis=0), 0.0, atol=1e-12)
        np.testing.assert_allclose(columns.std(axis=0), 1.0)
    assert not np.array_equal(data.y_validation, other.y_validation)


def test_every_task_is_one_for_its_net(tasks):
    for task in tasks.TASKS:
        data = task.data(0)
        assert data.x.shape[1] == data.x_validation.shape[1] == task.sizes[0], task.name
        if not task.is_share:
            assert data.y.shape[1] == data.y_validation.shape[1] == task.sizes[-1], task.name
