# SPDX-License-Identifier: BSD-3-Clause
"""Tables from files: what is read, and what is refused with its place."""

import contextlib
import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from mlpcore.tabular import read_table


@pytest.fixture
def csv_table(tmp_path):
    """Write a CSV file and read it."""

    def read(content, name="t.csv"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return read_table(path)

    return read


# ---- CSV ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x\n2,y\n",
        "a,b\r\n1,x\r\n2,y\r\n",
        b"\xef\xbb\xbfa,b\n1,x\n2,y",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty\n",
        ' a , "b"\n\n1, x \n\n"2","y"\n\n',
    ],
)
def test_every_way_to_write_a_table(csv_table, content):
    table = csv_table(content)
    assert list(table.columns) == ["a", "b"]
    assert table.numbers("a").tolist() == [1.0, 2.0]
    assert table.texts("b") == ["x", "y"]


def test_cells_in_quotes(csv_table):
    table = csv_table('name,"a ""b"", c"\n"Lovelace, Ada",1\n"two\nlines",2\n,x\n')
    assert table.texts("name") == ["Lovelace, Ada", "two\nlines", ""]
    assert list(table.columns) == ["name", 'a "b", c']
    # The second row ends in line 4.
    with pytest.raises(ValueError, match=r"t\.csv, line 5, column .*expected a number, got 'x'"):
        table.numbers('a "b", c')


def test_names_and_cells_need_not_be_ascii(csv_table):
    table = csv_table("größe,色\n1,赤\n")
    assert table.texts("色") == ["赤"]


@pytest.mark.parametrize("cell", ["", "NA", "N/A", "NaN", "nan", "NULL", "null", "?"])
def test_missing_cells(csv_table, cell):
    table = csv_table(f"a,b\n1,x\n{cell},{cell}\n")
    assert table.kind("a") == "number"
    np.testing.assert_array_equal(table.numbers("a"), [1.0, np.nan])
    assert table.texts("b") == ["x", ""]


@pytest.mark.parametrize("text", ["1e3", "-.5", "+7", "1E-3", "007"])
def test_numbers(csv_table, text):
    assert csv_table(f"a\n{text}\n").numbers("a").tolist() == [float(text)]


@pytest.mark.parametrize("text", ["1_000", "0x10", "1 2", "1.2.3", "one", "1,5"])
def test_what_is_no_number(csv_table, text):
    with pytest.raises(ValueError, match=r"line 2, column 'a': expected a number, got"):
        csv_table(f'a\n"{text}"\n').numbers("a")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "expected names of columns in the first line, got an empty file"),
        ("\n1,2\n", "expected names of columns in the first line, got an empty line"),
        ("a,b\n", "expected rows below the names of the columns, got none"),
        ("a,b\n1,2\n1,2,3\n", r"t\.csv, line 3: expected 2 cells as in the first line, got 3"),
        ("# a\na,b\n", r"t\.csv, line 2: expected 1 cell as in the first line, got 2"),
        ("a,b\n1\n", r"t\.csv, line 2: expected 2 cells as in the first line, got 1"),
        (",a\n0,1\n", "line 1: expected a name for column 1, got none .*index=False"),
        ("a,b,a\n1,2,3\n", "line 1: expected names that differ, got 'a' twice"),
        ('a,b\n1,"2\n3,4\n', r"t\.csv, line 3: unexpected end of data"),
        (b"a\n\xff\n", "expected text in UTF-8, got the byte 0xff"),
        ("a,b\n1,2\n".encode("utf-16"), "expected text in UTF-8, got the byte 0xff"),
    ],
)
def test_what_is_no_table_is_refused(csv_table, content, message):
    with pytest.raises(ValueError, match=message):
        csv_table(content)


def test_a_column_of_both_kinds_is_refused_with_both_places(csv_table):
    table = csv_table("a\n1\n2\nabc\n")
    with pytest.raises(ValueError, match=r"line 4, column 'a': expected a number as in line 2, .*"):
        table.kind("a")
    with pytest.raises(ValueError, match="every cell is missing"):
        csv_table("a,b\n1,\n2,NA\n").kind("b")


def test_memory_of_a_csv_file(tmp_path):
    n_rows, n_columns = 5000, 20
    line = ",".join(["12.345678"] * n_columns)
    path = tmp_path / "t.csv"
    names = ",".join(f"c{i}" for i in range(n_columns))
    path.write_text(f"{names}\n" + f"{line}\n" * n_rows)
    tracemalloc.start()
    table = read_table(path)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert table.n_rows == n_rows
    assert peak < (70 + 9) * n_rows * n_columns


# ---- other files --------------------------------------------------------------------------------


def test_npz(tmp_path):
    path = tmp_path / "t.npz"
    x, y = np.arange(6.0).reshape(3, 2), np.array([[1], [0], [1]])
    np.savez(
        path, x=x, y=y, color=np.array(["red", "blue", ""]), is_new=np.array([True, False, True])
    )
    table = read_table(path)
    assert list(table.columns) == ["x_0", "x_1", "y", "color", "is_new"]
    assert table.numbers("x_1").tolist() == [1.0, 3.0, 5.0]
    assert table.texts("y") == ["1", "0", "1"]
    assert table.texts("color") == ["red", "blue", ""]
    assert table.texts("is_new") == ["True", "False", "True"]
    assert table.where(2, "y") == f"{path}, row 3, column 'y'"


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"x": np.zeros((2, 2, 2))}, "'x': expected one value a row, got shape"),
        ({"x": np.zeros(2, complex)}, "'x': expected numbers or texts"),
        ({"x": np.zeros(2, "M8[D]")}, "'x': expected numbers or texts"),
        ({"x": np.zeros(2), "y": np.zeros(3)}, "columns of one length, got 2 rows of 'x' and 3"),
        ({"x": np.array([{}, {}])}, "allow_pickle"),
        ({}, "expected a table with columns, got none"),
    ],
)
def test_npz_without_a_table_is_refused(tmp_path, arrays, message):
    path = tmp_path / "t.npz"
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=message):
        read_table(path)


def test_a_broken_npz_is_refused(tmp_path):
    path = tmp_path / "t.npz"
    np.savez(path, x=np.arange(50.0))
    content = path.read_bytes()
    for broken in (b"", b"text", content[:100], content[:-30]):
        path.write_bytes(broken)
        with pytest.raises(ValueError, match=r"t\.npz"):
            read_table(path)
    for i in range(len(content)):
        path.write_bytes(content[:i] + bytes([content[i] ^ 0x81]) + content[i + 1 :])
        with contextlib.suppress(ValueError):  # and nothing else
            read_table(path)
    with pytest.raises(FileNotFoundError, match=r"none\.npz"):
        read_table(tmp_path / "none.npz")
    np.save(tmp_path / "t.npy", np.zeros(2))
    (tmp_path / "t.npy").rename(path)
    with pytest.raises(ValueError, match="a single array without a name"):
        read_table(path)


@pytest.mark.parametrize("method", ["ZIP_BZIP2", "ZIP_LZMA"])
def test_a_broken_npz_of_another_compression_is_refused(tmp_path, method):
    path, buffer = tmp_path / "t.npz", io.BytesIO()
    np.save(buffer, np.arange(50.0))
    with zipfile.ZipFile(path, "w", getattr(zipfile, method)) as archive:
        archive.writestr("x.npy", buffer.getvalue())
    assert read_table(path).numbers("x").tolist() == list(range(50))
    whole, refused = path.read_bytes(), []
    for place in range(40, len(whole) - 100, 7):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x81]) + whole[place + 1 :])
        try:
            read_table(path)
        except ValueError as error:  # and nothing else
            refused.append(str(error))
    assert refused
    assert not any("None" in message for message in refused)


def test_parquet(tmp_path):
    pa = pytest.importorskip("pyarrow", reason="pyarrow is missing")
    import pyarrow.parquet as parquet

    path = tmp_path / "t.parquet"
    columns = {
        "whole": [1, 2, None],
        "real": [0.5, None, 2.5],
        "text": ["a", None, "b"],
        "flag": [True, False, None],
        "code": pa.array(["x", "y", "x"]).dictionary_encode(),
    }
    parquet.write_table(pa.table(columns), path)
    table = read_table(path)
    np.testing.assert_array_equal(table.numbers("whole"), [1.0, 2.0, np.nan])
    np.testing.assert_array_equal(table.numbers("real"), [0.5, np.nan, 2.5])
    assert table.texts("whole") == ["1", "2", ""]
    assert table.texts("text") == ["a", "", "b"]
    assert table.texts("flag") == ["True", "False", ""]
    assert table.texts("code") == ["x", "y", "x"]
    parquet.write_table(pa.table({"when": pa.array([0, 1], pa.timestamp("s"))}), path)
    with pytest.raises(ValueError, match=r"'when' \(timestamp\[ms\]\): expected numbers or texts"):
        read_table(path)
    path.write_bytes(b"PAR1 no")
    with pytest.raises(ValueError, match="no Parquet file"):
        read_table(path)
    with pytest.raises(FileNotFoundError):
        read_table(tmp_path / "none.parquet")


def test_without_pyarrow_it_says_so(tmp_path, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "pyarrow", None)
    with pytest.raises(ImportError, match="pip install pyarrow"):
        read_table(tmp_path / "t.parquet")


@pytest.mark.parametrize("name", ["t.xlsx", "t", "t.csv.gz"])
def test_other_files_are_refused(tmp_path, name):
    with pytest.raises(ValueError, match=r"expected a file of \.csv, \.tsv, \.parquet, \.npz"):
        read_table(tmp_path / name)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"none\.csv"):
        read_table(tmp_path / "none.csv")
