# SPDX-License-Identifier: BSD-3-Clause
"""Tables of pandas, polars and pyarrow, where arrays are taken: the same bits, or a clear error.

Each library is optional, and its tests are skipped without it.
"""

import numpy as np
import pytest

import mlpcore

X = np.random.default_rng(0).standard_normal((100, 3)).astype(np.float32)
Y = np.stack([np.sin(X[:, 0]), X[:, 1] * X[:, 2]], axis=1)
CLASSES = (X[:, 0] > 0.0).astype(np.int64)
WEIGHT = np.random.default_rng(1).uniform(0.5, 2.0, 100)


class Pandas:
    def __init__(self):
        self.module = pytest.importorskip("pandas")

    def table(self, array):
        # An index that is not 0 .. n - 1: rows count by their place.
        index = np.arange(len(array))[::-1]
        return self.module.DataFrame(array, columns=list("abc")[: array.shape[1]], index=index)

    def column(self, array):
        return self.module.Series(array, index=np.arange(len(array))[::-1])

    def with_a_gap(self):
        return self.table(X).astype("Float32").mask(X > 2.0)


class Polars:
    def __init__(self):
        self.module = pytest.importorskip("polars")

    def table(self, array):
        return self.module.DataFrame(array, schema=list("abc")[: array.shape[1]])

    def column(self, array):
        return self.module.Series(array)

    def with_a_gap(self):
        column = self.module.col("a")
        gap = self.module.when(column > 2.0).then(None).otherwise(column)
        return self.table(X).with_columns(gap.alias("a"))


class Pyarrow:
    def __init__(self):
        self.module = pytest.importorskip("pyarrow")

    def table(self, array):
        columns = zip("abc", array.T, strict=False)
        return self.module.table({name: np.ascontiguousarray(c) for name, c in columns})

    def column(self, array):
        return self.module.array(array)

    def with_a_gap(self):
        values = [[None if v > 2.0 else float(v) for v in column] for column in X.T]
        return self.module.table(dict(zip("abc", values, strict=True)))


@pytest.fixture(params=[Pandas, Polars, Pyarrow])
def library(request):
    return request.param()


def trained(x, y=None, loss="mse", **options):
    net = mlpcore.MLP([3, 8, 2], activations="tanh", seed=0)
    trainer = mlpcore.Trainer(net, loss, mlpcore.Adam(1e-2), 16, seed=0)
    trainer.fit(x, y, epochs=2, **options)
    return net


@pytest.mark.parametrize(
    "options", [{}, {"validation": 0.2}, {"block_rows": 32}, {"block_rows": 32, "validation": 0.2}]
)
def test_tables_are_learnt_as_arrays_are(library, options):
    assert trained(library.table(X), library.table(Y), **options) == trained(X, Y, **options)


def test_columns_are_targets_weights_and_classes(library):
    weighted = trained(library.table(X), library.table(Y), sample_weight=library.column(WEIGHT))
    assert weighted == trained(X, Y, sample_weight=WEIGHT)
    assert weighted != trained(X, Y)
    classes = library.column(CLASSES)
    classified = trained(library.table(X), classes, loss="cross_entropy")
    assert classified == trained(X, CLASSES, loss="cross_entropy")


def test_tables_validate_and_are_asked(library):
    net, twin = (mlpcore.MLP([3, 8, 2], activations="tanh", seed=0) for _ in range(2))
    validation = (library.table(X[:20]), library.table(Y[:20]))
    history = net.fit(X, Y, "mse", mlpcore.Adam(), epochs=1, validation=validation, seed=0)
    expected = twin.fit(X, Y, "mse", mlpcore.Adam(), epochs=1, validation=(X[:20], Y[:20]), seed=0)
    assert history[0]["validation_loss"] == expected[0]["validation_loss"]
    np.testing.assert_array_equal(net(library.table(X)), twin(X))


def test_batches_of_tables(library):
    parts = [(X[i : i + 32], Y[i : i + 32]) for i in range(0, 100, 32)]
    tables = [tuple(library.table(array) for array in part) for part in parts]
    assert trained(tables) == trained(parts)


def test_a_gap_is_refused(library):
    with pytest.raises((ValueError, TypeError), match=r"^x: expected .*got (nan|<NA>)"):
        trained(library.with_a_gap(), Y)


def test_columns_of_pandas_kinds():
    pandas = pytest.importorskip("pandas")
    x = pandas.DataFrame(X)
    assert trained(x.astype("Float32"), Y) == trained(X, Y)
    expected = trained(X, CLASSES, loss="cross_entropy")
    for kind in ("category", "Int64", "int8"):
        y = pandas.Series(CLASSES).astype(kind)
        assert trained(x, y, loss="cross_entropy") == expected
    with pytest.raises(TypeError, match=r"^x: expected an array of real numbers, got 's' \(str\)"):
        trained(pandas.DataFrame({"a": "s", "b": X[:, 1], "c": X[:, 2]}), Y)


def test_a_dataset_of_parquet_is_learnt_batch_by_batch(tmp_path):
    pyarrow = pytest.importorskip("pyarrow")
    dataset = pytest.importorskip("pyarrow.dataset")
    parquet = pytest.importorskip("pyarrow.parquet")
    columns = {name: np.ascontiguousarray(c) for name, c in zip("abcuv", [*X.T, *Y.T], strict=True)}
    parquet.write_table(pyarrow.table(columns), tmp_path / "rows.parquet", row_group_size=32)

    def batches():
        for batch in dataset.dataset(tmp_path / "rows.parquet").to_batches(batch_size=32):
            yield batch.select(["a", "b", "c"]), batch.select(["u", "v"])

    parts = [(X[i : i + 32], Y[i : i + 32]) for i in range(0, 100, 32)]
    assert trained(batches) == trained(parts)
    # Without a rule for which columns are what, a batch is refused.
    with pytest.raises(TypeError, match=r"^batch 1: x: expected batches \(x, y\)"):
        trained(dataset.dataset(tmp_path / "rows.parquet").to_batches)
