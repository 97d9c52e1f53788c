# SPDX-License-Identifier: BSD-3-Clause
"""Tables of numbers and categories: how they become a net's inputs, and a net that remembers it.

``mlpcore train`` and ``mlpcore predict`` are made of these.

Examples
--------
>>> import mlpcore
>>> from mlpcore.tabular import Encoding, TableModel
>>> table = {"size": [1.0, 2.0, 3.0, 4.0], "color": ["red", "blue", "red", "blue"],
...          "price": [10.0, 15.0, 30.0, 35.0]}
>>> encoding = Encoding.of(table, target="price")
>>> encoding.n_inputs, encoding.n_outputs               # size, blue or not, red or not; the price
(3, 1)
>>> net = mlpcore.MLP([encoding.n_inputs, 8, encoding.n_outputs], seed=0)
>>> x, y = encoding.inputs(table), encoding.targets(table)
>>> history = net.fit(x, y, loss="mse", optimizer=mlpcore.Adam(0.01), epochs=300, seed=0)
>>> model = TableModel(net, encoding)
>>> model.predict({"size": [1.0], "color": ["red"]}).shape
(1,)
"""

from .columns import CategoryColumn, NumberColumn
from .encoding import Encoding
from .model import TableModel
from .readers import read_table
from .table import Table

__all__ = ["CategoryColumn", "Encoding", "NumberColumn", "Table", "TableModel", "read_table"]
