# SPDX-License-Identifier: BSD-3-Clause
"""A net together with the encoding of the table that it was trained with, in one file."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from .. import _safetensors, files
from .._checks import as_path, received
from .._validation import as_network
from .encoding import Encoding
from .table import TableLike

if TYPE_CHECKING:
    from .._core import Array
    from ..mlp import MLP


class TableModel:
    """A net and the encoding of its inputs and outputs.

    Parameters
    ----------
    net : MLP
        Of a classification the last activation is softmax.
    encoding : Encoding
        With as many inputs and outputs as the net has.

    Raises
    ------
    ValueError, TypeError
        If the two do not fit together.

    Examples
    --------
    >>> import mlpcore
    >>> table = {"size": [1.0, 3.0], "sold": ["no", "yes"]}
    >>> encoding = Encoding.of(table, target="sold")
    >>> model = TableModel(mlpcore.MLP([1, 2], ["softmax"], seed=0), encoding)
    >>> model.probabilities({"size": [2.0, 2.5, 4.0]}).shape
    (3, 2)
    """

    def __init__(self, net: MLP, encoding: Encoding) -> None:
        as_network(net)
        if not isinstance(encoding, Encoding):
            raise TypeError(f"encoding: expected an Encoding, got {received(encoding)}")
        expected = (encoding.n_inputs, encoding.n_outputs)
        if (net.sizes[0], net.sizes[-1]) != expected:
            raise ValueError(
                f"net: expected {expected[0]} inputs and {expected[1]} outputs as the encoding has "
                f"them, got {net.sizes[0]} and {net.sizes[-1]}"
            )
        if encoding.is_classification and net.activations[-1] != "softmax":
            raise ValueError(
                f"net: expected softmax after the last layer, got {net.activations[-1]!r}"
            )
        self.net = net
        self.encoding = encoding

    def predict(self, table: TableLike) -> Array:
        """The likeliest class, or the number, for each row.

        Parameters
        ----------
        table : Table, path, or mapping of str to array_like of shape (N,)
            With the columns of the training; others, such as the target, do not count.

        Returns
        -------
        numpy.ndarray of shape (N,)
            Classes as texts; numbers in float64, in the target's unit.

        Raises
        ------
        ValueError
            If a column is missing, a cell does not fit, or a category is new.

        Examples
        --------
        >>> import mlpcore
        >>> encoding = Encoding.of({"size": [1.0, 3.0], "price": [10.0, 15.0]}, target="price")
        >>> model = TableModel(mlpcore.MLP([1, 1], init="zeros"), encoding)
        >>> model.predict({"size": [2.0, 2.5, 4.0]})        # it has learnt nothing: the mean
        array([12.5, 12.5, 12.5])
        """
        return self.encoding.answers(self.net(self.encoding.inputs(table)))

    def probabilities(self, table: TableLike) -> Array:
        """The probability of each class.

        Parameters
        ----------
        table
            As for `predict`.

        Returns
        -------
        numpy.ndarray of shape (N, n_classes)
            In the order of ``encoding.target.categories``.

        Raises
        ------
        ValueError
            As `predict`, and if the target has no classes.

        Examples
        --------
        >>> import mlpcore
        >>> encoding = Encoding.of({"size": [1.0, 3.0], "sold": ["no", "yes"]}, target="sold")
        >>> model = TableModel(mlpcore.MLP([1, 2], ["softmax"], init="zeros"), encoding)
        >>> model.probabilities({"size": [2.0]})
        array([[0.5, 0.5]], dtype=float32)
        """
        if not self.encoding.is_classification:
            raise ValueError(
                f"probabilities: expected classes, got numbers for {self.encoding.target.name!r}"
            )
        return self.net(self.encoding.inputs(table))

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write both into a file that `mlpcore.load` takes too, as the net alone.

        Parameters
        ----------
        path : str or path-like
            The file, in the safetensors format; one that is there is replaced.

        Raises
        ------
        OSError
            If the file cannot be written; what was at `path` is then still there.

        Examples
        --------
        >>> import os, tempfile
        >>> import mlpcore
        >>> encoding = Encoding.of({"size": [1.0, 3.0], "price": [10.0, 15.0]}, target="price")
        >>> model = TableModel(mlpcore.MLP([1, 1], seed=0), encoding)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = os.path.join(folder, "prices.safetensors")
        ...     model.save(path)
        ...     TableModel.load(path).encoding == encoding, mlpcore.load(path) == model.net
        (True, True)
        """
        metadata, arrays = files.pack(self.net)
        text = self.encoding.to_json()
        metadata |= {"table": text, "table_checksum": files.text_checksum(text)}
        _safetensors.write(path, arrays, metadata)

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> TableModel:
        """Read a file that `save` or ``mlpcore train`` has written. Nothing in it is executed.

        Parameters
        ----------
        path : str or path-like
            The file.

        Returns
        -------
        TableModel
            With the net's parameters to the bit.

        Raises
        ------
        OSError
            If the file cannot be read.
        ValueError
            If it is damaged, was written by a newer version, or has no table's encoding.

        Examples
        --------
        `save` has one that goes there and back.
        """
        metadata, arrays = _safetensors.read(path)
        source = as_path(path)
        net = files.unpack(metadata, arrays, source)
        if "table" not in metadata:
            raise ValueError(
                f"{source}: expected a net with the encoding of a table, got a net alone; "
                "mlpcore.load reads it"
            )
        try:
            return cls(net, Encoding.from_json(metadata["table"]))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{source}: {error}") from None
