# SPDX-License-Identifier: BSD-3-Clause
"""What C can read as it is goes straight to it; the results are those of the checked way.

Every call has two ways: the core's own, for arrays and losses that need nothing done to them, and
`_forward_checked`, `_train_step_checked`, `_value_and_grad_checked` for all else.
"""

import copy
import pickle

import numpy as np
import pytest

import mlpcore
from mlpcore import losses

N_SAMPLES = 7


class Straight(mlpcore.MLP):
    """A net that takes the core's own way, or fails."""

    def _train_step_checked(self, *arguments):
        raise AssertionError("went the checked way")

    _forward_checked = _value_and_grad_checked = _train_step_checked


class Checked(mlpcore.MLP):
    """A net that takes the checked way, whatever it is given."""

    def forward(self, x, out=None):
        return self._forward_checked(x, out, None)

    def train_step(self, x, y, loss, optimizer):
        return self._train_step_checked(x, y, loss, optimizer, None)

    def value_and_grad(self, x, y, loss):
        return self._value_and_grad_checked(x, y, loss, None, None, 1.0)


def a_net(cls, output, n_outputs=3, dtype="float32"):
    net = cls([4, 5, n_outputs], activations=["tanh", output], dtype=dtype, seed=3)
    for name, loss in losses.NAMED.items():  # each is found out at its first use
        if output in ("sigmoid", "softmax") or name != "bce":
            mlpcore.MLP([1, 2], activations=[output]).value_and_grad([0.0], [0.0, 1.0], loss)
    return net


def inputs(dtype="float32"):
    return np.random.default_rng(5).normal(size=(N_SAMPLES, 4)).astype(dtype)


def rows(n_outputs, dtype="float32"):
    targets = np.random.default_rng(6).uniform(0.1, 1.0, size=(N_SAMPLES, n_outputs))
    return (targets / targets.sum(axis=1, keepdims=True)).astype(dtype)


CLASSES = np.array([0, 2, 1, 1, 0, 2, 2])
CASES = [
    pytest.param("mse", "identity", rows(3), id="rows"),
    pytest.param(losses.Huber(0.3, "sum"), "relu", rows(3), id="instance"),
    pytest.param("bce", "sigmoid", rows(3), id="bce"),
    pytest.param("l1", "tanh", rows(1)[:, 0], id="vector"),
    pytest.param("cross_entropy", "softmax", CLASSES, id="classes-softmax"),
    pytest.param("cross_entropy", "identity", CLASSES, id="classes-logits"),
    pytest.param("cross_entropy", "softmax", rows(3), id="soft"),
]


def same_gradients(got, want):
    for a, b in [(got.flat, want.flat), (got.inputs, want.inputs)]:
        assert (a.shape, a.dtype, a.flags.writeable) == (b.shape, b.dtype, b.flags.writeable)
        assert a.tobytes() == b.tobytes()
    for a, b in zip(got.weights, want.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize(("loss", "output", "y"), CASES)
def test_both_ways_give_the_same_bits(loss, output, y, dtype):
    n_outputs = 1 if y.ndim == 1 and y.dtype.kind == "f" else 3
    y = y if y.dtype.kind == "i" else y.astype(dtype)
    x = inputs(dtype)
    straight, checked = (a_net(cls, output, n_outputs, dtype) for cls in (Straight, Checked))
    optimizers = [mlpcore.Adam(0.01), mlpcore.Adam(0.01)]
    for _ in range(3):
        want, want_gradients = checked.value_and_grad(x, y, loss)
        value, gradients = straight.value_and_grad(x, y, loss)
        assert (type(value), value) == (float, want)
        same_gradients(gradients, want_gradients)
        steps = [
            net.train_step(x, y, loss, optimizer)
            for net, optimizer in zip((straight, checked), optimizers, strict=True)
        ]
        assert steps == [want, want]
        assert straight.parameters.tobytes() == checked.parameters.tobytes()
    assert straight(x).tobytes() == checked.forward(x).tobytes()


def test_both_ways_agree_on_one_sample():
    x, y = inputs()[0], rows(3)[0]
    straight, checked = (a_net(cls, "identity") for cls in (Straight, Checked))
    value, gradients = straight.value_and_grad(x, y, "mse")
    want, want_gradients = checked.value_and_grad(x, y, "mse")
    assert value == want
    same_gradients(gradients, want_gradients)
    for sgd in (mlpcore.SGD(0.1), mlpcore.SGD(0.1, momentum=0.9)):
        assert straight.train_step(x, y, "mse", sgd) == checked.train_step(
            x, y, "mse", copy.deepcopy(sgd)
        )


@pytest.mark.parametrize(
    ("x", "y", "loss", "optimizer"),
    [
        (inputs("float64"), rows(3), "mse", mlpcore.SGD()),
        (np.asfortranarray(inputs()), rows(3), "mse", mlpcore.SGD()),
        (inputs()[::2], rows(3)[::2], "mse", mlpcore.SGD()),
        (inputs().astype(">f4"), rows(3), "mse", mlpcore.SGD()),
        (inputs(), rows(3).tolist(), "mse", mlpcore.SGD()),
        (inputs(), rows(3, "float64"), "mse", mlpcore.SGD()),
        (inputs()[:, :3].copy(), rows(3), "mse", mlpcore.SGD()),
        (inputs(), rows(3)[1:], "mse", mlpcore.SGD()),
        (inputs(), rows(3)[:, :2].copy(), "mse", mlpcore.SGD()),
        (inputs(), rows(3)[:, 0].copy(), "mse", mlpcore.SGD()),
        (inputs(), CLASSES, "mse", mlpcore.SGD()),
        (inputs(), CLASSES + 1, "cross_entropy", mlpcore.SGD()),
        (inputs(), CLASSES - 1, "cross_entropy", mlpcore.SGD()),
        (inputs(), CLASSES.astype(np.int32), "cross_entropy", mlpcore.SGD()),
        (inputs(), CLASSES[1:], "cross_entropy", mlpcore.SGD()),
        (inputs()[:0], rows(3)[:0], "mse", mlpcore.SGD()),
        (inputs()[0], rows(3)[:1], "mse", mlpcore.SGD()),
        (inputs()[np.newaxis], rows(3), "mse", mlpcore.SGD()),
        (np.float32(1.0), rows(3), "mse", mlpcore.SGD()),
        (inputs(), None, "mse", mlpcore.SGD()),
        (inputs(), rows(3), "bce", mlpcore.SGD()),
        (inputs(), rows(3), "no such loss", mlpcore.SGD()),
        (inputs(), rows(3), lambda y_hat, y: (1.0, y_hat - y), mlpcore.SGD()),
        (inputs(), rows(3), "mse", None),
        (inputs(), rows(3), "mse", mlpcore.SGD.__new__(mlpcore.SGD)),
    ],
)
def test_what_does_not_fit_goes_the_checked_way(x, y, loss, optimizer):
    with pytest.raises(AssertionError, match="went the checked way"):
        a_net(Straight, "identity").train_step(x, y, loss, optimizer)


def test_sample_weights_go_the_checked_way():
    arguments = inputs(), rows(3), "mse"
    net = a_net(Straight, "identity")
    with pytest.raises(AssertionError, match="went the checked way"):
        net.train_step(*arguments, mlpcore.SGD(), np.ones(N_SAMPLES))
    with pytest.raises(AssertionError, match="went the checked way"):
        net.value_and_grad(*arguments, sample_weight=np.ones(N_SAMPLES))


def test_a_loss_of_ones_own_is_asked_each_time():
    class Turning(losses.MSE):
        reduction_now = "sum"

        def after(self, activation):
            return losses.MSE(self.reduction_now)

    net, loss = a_net(mlpcore.MLP, "identity"), Turning()
    total, _ = net.value_and_grad(inputs(), rows(3), loss)
    Turning.reduction_now = "mean"
    mean, _ = net.value_and_grad(inputs(), rows(3), loss)
    assert mean == pytest.approx(total / rows(3).size, rel=1e-12)


def test_a_loss_that_is_initialised_anew_is_another_one():
    net, loss = a_net(mlpcore.MLP, "identity"), losses.MSE("mean")
    mean, _ = net.value_and_grad(inputs(), rows(3), loss)
    loss.__init__("sum")
    total, _ = net.value_and_grad(inputs(), rows(3), loss)
    assert mean == pytest.approx(total / rows(3).size, rel=1e-12)


def test_a_known_loss_is_known_for_its_output_activation_alone():
    loss = losses.CrossEntropy()
    for output in ("softmax", "identity", "softmax"):
        straight, checked = (a_net(cls, output) for cls in (mlpcore.MLP, Checked))
        value, gradients = straight.value_and_grad(inputs(), CLASSES, loss)
        want, want_gradients = checked.value_and_grad(inputs(), CLASSES, loss)
        assert value == want
        same_gradients(gradients, want_gradients)


def test_a_step_that_is_not_made_leaves_all_as_it_was():
    net, optimizer = a_net(mlpcore.MLP, "identity"), mlpcore.Adam(0.1)
    net.train_step(inputs(), rows(3), "mse", optimizer)
    before, moments = net.parameters.copy(), optimizer.second_moment.copy()
    x = inputs()
    x[2, 1] = np.nan
    with pytest.raises(FloatingPointError, match=r"^the loss \(nan\), a gradient or the update"):
        net.train_step(x, rows(3), "mse", optimizer)
    np.testing.assert_array_equal(net.parameters, before)
    np.testing.assert_array_equal(optimizer.second_moment, moments)
    assert optimizer.n_steps == 1


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_gradients_are_pickled_by_every_protocol(protocol):
    _, gradients = a_net(Straight, "identity").value_and_grad(inputs(), rows(3), "mse")
    same_gradients(pickle.loads(pickle.dumps(gradients, protocol)), gradients)
