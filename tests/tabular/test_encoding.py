# SPDX-License-Identifier: BSD-3-Clause
"""From columns to inputs and targets, and the encoding in a model file."""

import json

import numpy as np
import pytest

import mlpcore
from mlpcore import _safetensors
from mlpcore.tabular import CategoryColumn, Encoding, NumberColumn, Table, TableModel

TABLE = {
    "size": [1.0, 2.0, 3.0, 6.0],
    "same": [7.0, 7.0, 7.0, 7.0],
    "color": ["red", "blue", "red", "green"],
    "price": [10.0, 20.0, 30.0, 40.5],
}


def table_of(**columns):
    return Table("t", {name: np.asarray(cells) for name, cells in columns.items()})


def model():
    encoding = Encoding.of(TABLE, "price")
    return TableModel(mlpcore.MLP([5, 4, 1], "tanh", seed=0), encoding)


# ---- inputs and targets -------------------------------------------------------------------------


def test_inputs_are_scaled_numbers_and_one_hot_categories():
    encoding = Encoding.of(TABLE, "price")
    deviation = np.std(TABLE["size"])
    assert encoding.columns == (
        NumberColumn("size", 3.0, deviation),
        NumberColumn("same", 7.0, 1.0),
        CategoryColumn("color", ("blue", "green", "red")),
    )
    x = encoding.inputs(TABLE)
    assert (x.dtype, x.shape) == (np.float32, (4, encoding.n_inputs))
    expected = (np.array(TABLE["size"]) - 3.0) / deviation
    np.testing.assert_array_equal(x[:, 0], expected.astype(np.float32))
    assert x[:, 1].tolist() == [0, 0, 0, 0]
    assert x[:, 2:].tolist() == [[0, 0, 1], [1, 0, 0], [0, 0, 1], [0, 1, 0]]


def test_mean_and_deviation_are_of_the_rows_that_are_learnt_from():
    encoding = Encoding.of(TABLE, "price", rows=np.array([0, 2]))
    assert encoding.columns[0] == NumberColumn("size", 2.0, 1.0)
    assert encoding.target == NumberColumn("price", 20.0, 10.0)
    assert encoding.columns[2].categories == ("blue", "green", "red")


def test_targets_and_answers_are_each_other_s_inverse():
    encoding = Encoding.of(TABLE, "price")
    np.testing.assert_allclose(encoding.answers(encoding.targets(TABLE)), TABLE["price"], rtol=1e-6)
    encoding = Encoding.of(TABLE, "color")
    codes = encoding.targets(TABLE)
    assert codes.tolist() == [2, 0, 2, 1]
    assert encoding.answers(np.eye(3)[codes]).tolist() == TABLE["color"]


@pytest.mark.parametrize(
    ("target", "is_classification"),
    [
        (["a", "b"] * 10, True),
        ([0, 1] * 10, True),
        ([0.0, 1.0, 2.0, 3.0] * 5, True),
        ([0.5, 1.0] * 10, False),
        (list(range(20)), False),
        (list(range(11)) * 2, False),
        ([0, 1], False),
    ],
)
def test_the_task_is_found_from_the_target(target, is_classification):
    table = {"x": list(range(len(target))), "y": target}
    assert Encoding.of(table, "y").is_classification == is_classification


def test_the_task_may_be_said():
    table = {"x": list(range(20)), "y": [0, 1] * 10}
    assert Encoding.of(table, "y", task="regression").target == NumberColumn("y", 0.5, 0.5)
    assert Encoding.of(table, "x", task="classification").n_outputs == 20


def test_categories_that_are_numbers_are_in_the_order_of_numbers():
    table = {"x": [10, 9, 100, 9], "y": [1.5, 2.5, 3.5, 4.5]}
    encoding = Encoding.of(table, "y", categorical=["x"])
    assert encoding.columns == (CategoryColumn("x", ("9", "10", "100")),)
    # A file that has them as text, or with a fraction of nothing, means the same.
    for cells in (["10", "9"], [10.0, 9.0]):
        assert encoding.inputs({"x": cells}).tolist() == [[0, 1, 0], [1, 0, 0]]


def test_what_looks_like_no_category_is_one_if_that_is_said():
    table = {"x": [f"{i},5" for i in range(11)], "y": np.arange(11) / 2}
    assert Encoding.of(table, "y", categorical=["x"]).n_inputs == 11


@pytest.mark.parametrize("value", [0.1, 1e30, 1e308, -5e-324])
def test_a_constant_column_is_0_exactly(value):
    """Its mean, by sums, would be another number."""
    table = {"x": [value] * 30, "y": np.arange(30) / 2}
    encoding = Encoding.of(table, "y")
    assert encoding.columns == (NumberColumn("x", value, 1.0),)
    assert not encoding.inputs(table).any()


@pytest.mark.parametrize("unit", [2.0**-1000, 2.0**-600, 2.0**-30, 1.0, 2.0**500])
def test_a_unit_makes_no_difference(unit):
    values = np.random.default_rng(0).standard_normal(30)
    table = {"x": values, "y": values[::-1]}
    in_unit = {name: unit * column for name, column in table.items()}
    encoding, other = Encoding.of(table, "y"), Encoding.of(in_unit, "y")
    np.testing.assert_array_equal(other.inputs(in_unit), encoding.inputs(table))
    np.testing.assert_array_equal(other.targets(in_unit), encoding.targets(table))
    answers = other.answers(other.targets(in_unit))
    np.testing.assert_array_equal(answers, unit * encoding.answers(encoding.targets(table)))


def test_numbers_far_from_zero_keep_their_differences():
    table = {"x": 1e15 + 2.0 * np.arange(4), "y": [0.5, 1.5, 2.5, 3.5]}
    x = Encoding.of(table, "y").inputs(table)
    assert 0.9 < x.std() < 1.1


@pytest.mark.parametrize("values", [[0.1 + 0.2, 0.3, 0.3, 0.3], [5e-324, 0.0, 0.0, 5e-324]])
def test_what_differs_by_rounding_alone_is_constant(values):
    encoding = Encoding.of({"x": values, "y": [0.5, 1.5, 2.5, 3.5]}, "y")
    assert encoding.columns[0] == NumberColumn("x", values[0], 1.0)
    assert abs(encoding.inputs({"x": [0.3001]})[0, 0]) < 1


def test_missing_cells_are_filled_in():
    table = {"x": [1.0, np.nan, 3.0], "c": ["a", "", "b"], "y": [0.5, 1.5, 2.5]}
    encoding = Encoding.of(table, "y", fills=True)
    assert encoding.columns[0] == NumberColumn("x", 2.0, 1.0)
    assert encoding.inputs(table).tolist() == [[-1, 1, 0], [0, 0, 0], [1, 0, 1]]
    with pytest.raises(ValueError, match=r"table, row 2, column 'x': .* a missing one"):
        Encoding.of(table, "y")
    table["y"][1] = np.nan
    with pytest.raises(ValueError, match=r"table, row 2, column 'y': .* a missing one"):
        Encoding.of(table, "y", fills=True)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"y": [0.5, 1.5]}, "expected a column besides 'y', got none"),
        ({"x": [1.0, 2.0]}, "expected a column 'y', got 'x'"),
        ({"x": [], "y": []}, "expected rows, got none"),
        ({"x": [1.0, np.inf], "y": [0.5, 1.5]}, "row 2, column 'x': expected a finite number"),
        ({"x": [1e308, -1e308], "y": [0.5, 1.5]}, "'x': expected numbers whose spread is a number"),
        ({"x": [1.0, 2.0], "y": ["a", "a"]}, "expected two classes or more in column 'y', got 'a'"),
        ({"x": [f"n{i}" for i in range(1001)], "y": np.arange(1001) / 2}, "at most 1000 different"),
        ({"x": [np.nan, np.nan], "y": [0.5, 1.5]}, "'x': every cell is missing"),
        ({"x": [b"a", b"b"], "y": [0.5, 1.5]}, "expected numbers or texts"),
        ({"x": ["1,5", "2,25"], "y": [0.5, 1.5]}, "row 1, column 'x': expected a decimal point"),
        ({"x": [f"n{i}" for i in range(11)], "y": np.arange(11) / 2}, "'x': .* come twice"),
    ],
)
def test_what_cannot_be_encoded_is_refused(columns, message):
    with pytest.raises(ValueError, match=message):
        Encoding.of(columns, "y", fills=True)


def test_a_kind_that_is_no_table_is_refused():
    with pytest.raises(TypeError, match="table: expected columns by name, or a path"):
        Encoding.of(3, "y")
    with pytest.raises(ValueError, match="task: expected one of"):
        Encoding.of(TABLE, "price", task="ranking")


def test_new_categories_and_missing_columns_are_refused():
    encoding = Encoding.of(TABLE, "price")
    with pytest.raises(
        ValueError, match=r"row 1, column 'color': .*'blue', 'green', 'red'.*'pink'"
    ):
        encoding.inputs(TABLE | {"color": ["pink"] * 4})
    with pytest.raises(ValueError, match="expected the columns 'size', 'same' too"):
        encoding.inputs({"color": ["red"]})
    with pytest.raises(ValueError, match="row 1, column 'size': expected a number, got 'big'"):
        encoding.inputs(TABLE | {"size": ["big"] * 4})


def test_nothing_that_is_passed_in_is_changed():
    table = table_of(x=[1.0, np.nan, 3.0], y=[0.5, 1.5, 2.5])
    before = {name: cells.copy() for name, cells in table.columns.items()}
    Encoding.of(table, "y", fills=True).inputs(table)
    for name, cells in before.items():
        np.testing.assert_array_equal(table.columns[name], cells)


# ---- the model file -----------------------------------------------------------------------------


def test_a_model_comes_back_to_the_bit(tmp_path):
    saved = model()
    saved.save(tmp_path / "m.safetensors")
    loaded = TableModel.load(tmp_path / "m.safetensors")
    assert loaded.net == saved.net
    assert loaded.encoding == saved.encoding
    assert (loaded.predict(TABLE) == saved.predict(TABLE)).all()
    assert mlpcore.load(tmp_path / "m.safetensors") == saved.net


def test_a_changed_byte_anywhere_is_noticed(tmp_path):
    path = tmp_path / "m.safetensors"
    model().save(path)
    content = path.read_bytes()
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 0x20]) + content[i + 1 :])
        # One space more or less before the end of the header, which only spaces may pad, is none.
        if content[i : i + 1] == b" " or (content[i] ^ 0x20) == 0x20:
            continue
        for load in (mlpcore.load, TableModel.load):
            with pytest.raises(ValueError, match=r"m\.safetensors"):
                load(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"version": 2}, "is of version 2, .*: install a newer mlpcore"),
        ({"version": "1"}, "expected a version"),
        ({"columns": []}, "expected columns and fills"),
        ({"columns": [{"name": "x"}]}, "expected a column, got"),
        ({"columns": [{"name": "x", "mean": 0.0, "scale": 0.0}]}, "expected a column, got"),
        (
            {"columns": [{"name": "x", "mean": 0.0, "scale": 1.0}]},
            "expected 1 inputs and 1 outputs",
        ),
        ({"target": {"name": "y", "categories": []}}, "expected a column, got"),
        ({"fills": 1}, "expected columns and fills"),
    ],
)
def test_an_encoding_that_does_not_fit_is_refused(tmp_path, change, message):
    path = tmp_path / "m.safetensors"
    model().save(path)
    metadata, arrays = _safetensors.read(path)
    text = json.dumps(json.loads(metadata["table"]) | change)
    checksum = mlpcore.files.text_checksum(text)
    _safetensors.write(path, arrays, metadata | {"table": text, "table_checksum": checksum})
    with pytest.raises(ValueError, match=f"m.safetensors: .*{message}"):
        TableModel.load(path)
    assert mlpcore.load(path) == model().net  # which does not need it


@pytest.mark.parametrize("text", ["", "[]", "NaN", "[" * 100000, '{"version": 1, "version": 1}'])
def test_a_text_that_is_no_encoding_is_refused(tmp_path, text):
    path = tmp_path / "m.safetensors"
    model().save(path)
    metadata, arrays = _safetensors.read(path)
    checksum = mlpcore.files.text_checksum(text)
    _safetensors.write(path, arrays, metadata | {"table": text, "table_checksum": checksum})
    with pytest.raises(ValueError, match=r"m\.safetensors: "):
        TableModel.load(path)


def test_a_net_alone_is_refused(tmp_path):
    mlpcore.save(model().net, tmp_path / "n.safetensors")
    with pytest.raises(ValueError, match=r"got a net alone; mlpcore\.load reads it"):
        TableModel.load(tmp_path / "n.safetensors")


def test_a_net_that_does_not_fit_is_refused():
    encoding = Encoding.of(TABLE, "color")
    with pytest.raises(ValueError, match="expected 3 inputs and 3 outputs"):
        TableModel(mlpcore.MLP([3, 2]), encoding)
    with pytest.raises(ValueError, match="expected softmax after the last layer, got 'identity'"):
        TableModel(mlpcore.MLP([3, 3]), encoding)
    with pytest.raises(TypeError, match="encoding: expected an Encoding"):
        TableModel(mlpcore.MLP([3, 3]), None)
    with pytest.raises(ValueError, match="probabilities: expected classes, got numbers"):
        model().probabilities(TABLE)
