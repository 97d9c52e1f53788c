# SPDX-License-Identifier: BSD-3-Clause
"""Settings that do not fit: the right exception, whose message begins with the argument's name."""

import numpy as np
import pytest
from slots import D, G, K, X, Y, make_net

import mlpcore
from mlpcore import losses

RELU = ["relu", "identity"]

BAD_ARGUMENTS = [
    ("sizes", TypeError, {"sizes": 3}),
    ("sizes", TypeError, {"sizes": None}),
    ("sizes", TypeError, {"sizes": "345"}),
    ("sizes", TypeError, {"sizes": {3}}),
    ("sizes", TypeError, {"sizes": {3: "inputs", 2: "outputs"}}),
    ("sizes", TypeError, {"sizes": np.array(3)}),
    ("sizes", ValueError, {"sizes": []}),
    ("sizes", ValueError, {"sizes": [3]}),
    ("sizes", ValueError, {"sizes": [2**40, 2**40, 2]}),
    ("sizes", ValueError, {"sizes": [2**70, 2]}),
    (r"sizes\[0\]", ValueError, {"sizes": [0, 5, 2]}),
    (r"sizes\[1\]", ValueError, {"sizes": [3, -1, 2]}),
    (r"sizes\[1\]", TypeError, {"sizes": [3, "10", 2]}),
    (r"sizes\[1\]", TypeError, {"sizes": [3, 5.0, 2]}),
    (r"sizes\[2\]", TypeError, {"sizes": [3, 5, True]}),
    (r"sizes\[0\]", TypeError, {"sizes": [None, 5, 2]}),
    (r"sizes\[0\]", TypeError, {"sizes": np.array([3.0, 5.0])}),
    (r"sizes\[0\]", TypeError, {"sizes": [[3, 5], [5, 2]]}),
    ("activations", ValueError, {"activations": "Relu"}),
    ("activations", ValueError, {"activations": "softmax"}),
    ("activations", TypeError, {"activations": None}),
    ("activations", TypeError, {"activations": 1}),
    ("activations", TypeError, {"activations": {"relu"}}),
    ("activations", TypeError, {"activations": {"relu": 0, "identity": 1}}),
    ("activations", ValueError, {"activations": []}),
    ("activations", ValueError, {"activations": ["relu"]}),
    ("activations", ValueError, {"activations": ["relu"] * 3}),
    ("activations", ValueError, {"activations": ["softmax", "identity"]}),
    (r"activations\[1\]", ValueError, {"activations": ["relu", "sinus"]}),
    (r"activations\[1\]", TypeError, {"activations": ["relu", None]}),
    (r"activations\[0\]", TypeError, {"activations": [np.tanh, "relu"]}),
    ("dtype", ValueError, {"dtype": "float16"}),
    ("dtype", ValueError, {"dtype": "int32"}),
    ("dtype", ValueError, {"dtype": "complex64"}),
    ("dtype", ValueError, {"dtype": ">f4"}),
    ("dtype", ValueError, {"dtype": "single-ish"}),
    ("dtype", ValueError, {"dtype": np.longdouble}),
    ("dtype", TypeError, {"dtype": None}),
    ("dtype", TypeError, {"dtype": 32}),
    ("seed", ValueError, {"seed": -1}),
    ("seed", ValueError, {"seed": 2**64}),
    ("seed", TypeError, {"seed": 0.0}),
    ("seed", TypeError, {"seed": "0"}),
    ("seed", TypeError, {"seed": True}),
    ("seed", TypeError, {"seed": [1, 2]}),
    ("init", ValueError, {"init": "He"}),
    ("init", ValueError, {"init": ""}),
    ("init", TypeError, {"init": None}),
    ("init", TypeError, {"init": 0}),
    ("bias", TypeError, {"bias": 1}),
    ("bias", TypeError, {"bias": None}),
    ("bias", TypeError, {"bias": "True"}),
]


@pytest.mark.parametrize(("name", "error", "change"), BAD_ARGUMENTS, ids=str)
def test_bad_arguments_of_a_net(name, error, change):
    with pytest.raises(error, match=rf"^{name}: .*(got|expected)"):
        mlpcore.MLP(**{"sizes": [D, 5, K], "activations": RELU, **change})


def test_an_iterator_is_no_sequence_of_sizes():
    with pytest.raises(TypeError, match=r"^sizes: expected a sequence"):
        mlpcore.MLP(iter([D, K]))


def test_one_name_is_no_names():
    with pytest.raises(ValueError, match=r"^activations: expected 1 name, one per layer, got"):
        mlpcore.MLP([D, K], ["relu", "identity"])


def test_a_seed_is_checked_alike_everywhere():
    messages = set()
    for use in (
        lambda: mlpcore.MLP([D, K], seed=-1),
        lambda: make_net().fit(X, Y, "mse", mlpcore.SGD(), epochs=1, seed=-1),
        lambda: mlpcore.Trainer(make_net(), "mse", mlpcore.SGD(), seed=-1),
    ):
        with pytest.raises(ValueError, match=r"^seed: expected None or") as caught:
            use()
        messages.add(str(caught.value))
    assert len(messages) == 1


def test_sizes_that_no_memory_holds():
    with pytest.raises(MemoryError):
        mlpcore.MLP([2**44, 2**12], init="zeros")


@pytest.mark.parametrize("kind", [tuple, np.array, lambda s: list(map(np.int16, s))])
def test_sizes_of_any_kind_of_sequence(kind):
    assert mlpcore.MLP(kind([D, 5, K])).sizes == (D, 5, K)


BAD_HYPERPARAMETERS = [
    (cls, name, error, value)
    for cls, names in [
        (mlpcore.SGD, ["learning_rate", "momentum", "weight_decay"]),
        (mlpcore.Adam, ["learning_rate", "beta1", "beta2", "epsilon", "weight_decay"]),
        (mlpcore.AdamW, ["learning_rate", "beta1", "beta2", "epsilon", "weight_decay"]),
    ]
    for name in names
    for error, value in [
        (ValueError, -1.0),
        (ValueError, float("nan")),
        (ValueError, float("inf")),
        (TypeError, "0.1"),
        (TypeError, None),
        (TypeError, 1j),
        (TypeError, True),
        (TypeError, [0.1]),
        (TypeError, np.array([0.1])),
    ]
]


@pytest.mark.parametrize(("cls", "name", "error", "value"), BAD_HYPERPARAMETERS)
def test_bad_hyperparameters(cls, name, error, value):
    with pytest.raises(error, match=rf"^{name}: expected .*got"):
        cls(**{name: value})


@pytest.mark.parametrize("cls", [mlpcore.SGD, mlpcore.Adam, mlpcore.AdamW])
@pytest.mark.parametrize("name", ["learning_rate", "weight_decay"])
@pytest.mark.parametrize("value", [-1, np.nan, np.inf, "0.1", None])
def test_bad_hyperparameters_are_refused_later_too(cls, name, value):
    optimizer = cls()
    before = getattr(optimizer, name)
    with pytest.raises((ValueError, TypeError), match=rf"^{name}: expected .*got"):
        setattr(optimizer, name, value)
    assert getattr(optimizer, name) == before


@pytest.mark.parametrize(
    ("name", "error", "make"),
    [
        ("learning_rate", ValueError, lambda: mlpcore.SGD(0)),
        ("learning_rate", ValueError, lambda: mlpcore.Adam(0.0)),
        ("momentum", ValueError, lambda: mlpcore.SGD(momentum=1)),
        ("nesterov", ValueError, lambda: mlpcore.SGD(nesterov=True)),
        ("nesterov", TypeError, lambda: mlpcore.SGD(momentum=0.5, nesterov=1)),
        ("beta1", ValueError, lambda: mlpcore.Adam(beta1=1.0)),
        ("beta2", ValueError, lambda: mlpcore.AdamW(beta2=1.5)),
        ("epsilon", ValueError, lambda: mlpcore.Adam(epsilon=0)),
        ("delta", ValueError, lambda: losses.Huber(0)),
        ("delta", ValueError, lambda: losses.Huber(-1)),
        ("delta", ValueError, lambda: losses.Huber(np.inf)),
        ("delta", TypeError, lambda: losses.Huber("1")),
        ("q", ValueError, lambda: losses.Quantile(0)),
        ("q", ValueError, lambda: losses.Quantile(1)),
        ("q", ValueError, lambda: losses.Quantile(np.nan)),
        ("q", TypeError, lambda: losses.Quantile(None)),
        ("reduction", ValueError, lambda: losses.MSE("average")),
        ("reduction", TypeError, lambda: losses.MSE(None)),
        ("reduction", TypeError, lambda: losses.BCE(1)),
        ("from_logits", TypeError, lambda: losses.CrossEntropy("sum")),
        ("from_logits", TypeError, lambda: losses.CrossEntropy(0)),
        ("n_threads", ValueError, lambda: mlpcore.set_n_threads(0)),
        ("n_threads", ValueError, lambda: mlpcore.set_n_threads(-1)),
        ("n_threads", ValueError, lambda: mlpcore.set_n_threads(2**40)),
        ("n_threads", TypeError, lambda: mlpcore.set_n_threads(1.0)),
        ("n_threads", TypeError, lambda: mlpcore.set_n_threads(None)),
        ("n_threads", ValueError, lambda: make_net().forward(X, n_threads=0)),
        ("n_threads", TypeError, lambda: make_net().forward(X, n_threads="2")),
        ("n_threads", TypeError, lambda: make_net().forward(X, n_threads=True)),
    ],
)
def test_bad_settings(name, error, make):
    with pytest.raises(error, match=rf"^{name}: expected .*got"):
        make()


@pytest.mark.parametrize(
    ("name", "error", "loss", "optimizer"),
    [
        ("loss", ValueError, "MSE", mlpcore.SGD()),
        ("loss", ValueError, "", mlpcore.SGD()),
        ("loss", TypeError, None, mlpcore.SGD()),
        ("loss", TypeError, 3, mlpcore.SGD()),
        ("loss", TypeError, losses.MSE, mlpcore.SGD()),
        ("loss", ValueError, "bce", mlpcore.SGD()),
        ("loss", ValueError, losses.BCE("sum"), mlpcore.SGD()),
        ("loss", ValueError, losses.CrossEntropy(from_logits=False), mlpcore.SGD()),
        ("optimizer", TypeError, "mse", "adam"),
        ("optimizer", TypeError, "mse", None),
        ("optimizer", TypeError, "mse", mlpcore.Adam),
    ],
)
def test_bad_loss_or_optimizer(name, error, loss, optimizer):
    with pytest.raises(error, match=rf"^{name}: .*expected .*got"):
        make_net().train_step(X, Y, loss, optimizer)
    with pytest.raises(error, match=rf"^{name}: .*expected .*got"):
        make_net().fit(X, Y, loss, optimizer, epochs=1)


@pytest.mark.parametrize("output", ["identity", "relu", "tanh", "softplus", "elu"])
def test_bce_after_an_output_that_can_leave_0_and_1_names_both_remedies(output):
    net = mlpcore.MLP([D, K], [output])
    with pytest.raises(ValueError, match=r"sigmoid.*bce_with_logits.*" + output):
        net.train_step(X, Y, "bce", mlpcore.SGD())


@pytest.mark.parametrize("net", [None, "net", X, mlpcore.MLP, 3])
def test_what_is_no_net(net):
    with pytest.raises(TypeError, match=r"^net: expected an MLP, got"):
        mlpcore.SGD().step(net, G)
    with pytest.raises(TypeError, match=r"^net: expected an MLP, got"):
        mlpcore.Trainer(net, "mse", mlpcore.SGD())
