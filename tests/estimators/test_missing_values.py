# SPDX-License-Identifier: BSD-3-Clause
"""What stands for no value, in frames and in lists: refused in the same words wherever it is."""

import numpy as np
import pandas
import polars
import pytest

from mlpcore import MLPClassifier, MLPRegressor

X = np.random.default_rng(0).standard_normal((20, 2))
NUMBERS = [None, *range(19)]
TEXTS = [None, *"abab" * 4, "a", "b", "a"]


@pytest.mark.parametrize(
    "rows",
    [
        pandas.DataFrame({"a": pandas.array(NUMBERS, "Int64"), "b": X[:, 0]}),
        pandas.DataFrame({"a": pandas.array(NUMBERS, "Float64")}),
        polars.DataFrame({"a": NUMBERS, "b": NUMBERS}),
        [[value, 1.0] for value in NUMBERS],
    ],
    ids=["Int64", "Float64", "polars", "list"],
)
def test_in_rows(rows):
    with pytest.raises(ValueError, match="Input X contains NaN"):
        MLPRegressor().fit(rows, X[:, 0])


@pytest.mark.parametrize(
    "labels",
    [
        pandas.Series(TEXTS, dtype="string"),
        pandas.Series(NUMBERS, dtype="Int64"),
        polars.Series(TEXTS),
        np.array(TEXTS, object),
        np.array([np.nan, *TEXTS[1:]], object),
    ],
    ids=["string", "Int64", "polars", "None", "NaN"],
)
def test_in_labels(labels):
    with pytest.raises(ValueError, match="Input y contains NaN"):
        MLPClassifier().fit(X, labels)


def test_in_targets_and_weights():
    values = pandas.Series(NUMBERS, dtype="Float64")
    with pytest.raises(ValueError, match="Input y contains NaN"):
        MLPRegressor().fit(X, values)
    with pytest.raises(ValueError, match="Input sample_weight contains NaN"):
        MLPRegressor().fit(X, X[:, 0], sample_weight=values)
