# SPDX-License-Identifier: BSD-3-Clause
"""Losses as objects: names, values and gradients by the reference, traces, classes, callables."""

import copy
import pickle

import numpy as np
import pytest
from twins import options_of

import mlpcore
from mlpcore import _core, losses, reference

N, K = 5, 3
NAMES = [
    "mse",
    "l1",
    "huber",
    "log_cosh",
    "quantile",
    "bce",
    "bce_with_logits",
    "cross_entropy",
    "poisson",
]
INSTANCES = [
    losses.MSE(),
    losses.L1("sum"),
    losses.Huber(),
    losses.Huber(0.3, "batch_mean"),
    losses.LogCosh(),
    losses.Quantile(),
    losses.Quantile(0.9, "sum"),
    losses.BCE(),
    losses.BCEWithLogits("batch_mean"),
    losses.CrossEntropy(),
    losses.CrossEntropy(False, "sum"),
    losses.Poisson(),
]
instances = pytest.mark.parametrize("loss", INSTANCES, ids=repr)


def data(loss, dtype="float64", n=N):
    generator = np.random.default_rng(3)
    y_hat = generator.uniform(0.05, 0.95, (n, K)).astype(dtype)
    if loss.name not in ("bce", "cross_entropy"):
        y_hat = 4 * y_hat - 2
    return y_hat, generator.random((n, K)).astype(dtype)


def tolerance(dtype):
    return {"rtol": 2e-6, "atol": 1e-6} if dtype == "float32" else {"rtol": 1e-13, "atol": 1e-14}


# ---- names and objects --------------------------------------------------------------------------


def test_every_name_is_an_instance_of_that_name():
    assert list(losses.NAMED) == NAMES
    for name, loss in losses.NAMED.items():
        assert loss.name == name
        assert loss.reduction == "mean"


def test_constructors():
    assert losses.MSE("sum").reduction == "sum"
    assert losses.MSE(reduction="batch_mean").reduction == "batch_mean"
    assert repr(losses.Huber(2)) == "Huber(delta=2.0, reduction='mean')"
    assert repr(losses.CrossEntropy()) == "CrossEntropy(from_logits=True, reduction='mean')"
    assert losses.Quantile(q=0.25) == losses.Quantile(0.25)


@instances
def test_repr_is_the_call_that_makes_it(loss):
    assert eval(repr(loss), vars(losses).copy()) == loss


@instances
def test_copies_are_equal_and_work(loss):
    y_hat, y = data(loss)
    for other in (copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
        assert other == loss
        assert hash(other) == hash(loss)
        assert other(y_hat, y) == loss(y_hat, y)


def test_equality():
    assert len(set(INSTANCES)) == len(INSTANCES)
    assert losses.MSE() == losses.MSE("mean")
    assert losses.MSE() != losses.MSE("sum")
    assert losses.MSE() != losses.L1()
    assert losses.MSE() != "mse"


@instances
def test_a_loss_does_not_change(loss):
    for name in ("reduction", "kind", "parameter", "delta", "q", "from_logits"):
        with pytest.raises(AttributeError):
            setattr(loss, name, 0)


def test_parameters_are_attributes():
    assert losses.Huber(delta=2).delta == 2.0
    assert losses.Quantile(q=0.3).q == 0.3
    assert losses.CrossEntropy().from_logits is True
    assert losses.CrossEntropy(False).from_logits is False


class Steep(losses.Huber):
    """A constructor of its own, an attribute and a slot."""

    __slots__ = ("__dict__", "note")

    def __init__(self, note):
        super().__init__(7.0)
        self.note = note
        self.seen = [note]


class Whole(losses.Loss):
    name = "whole"

    def __init__(self):
        super().__init__("huber", 0.25, reduction="sum")


def test_a_copy_of_a_subclass_keeps_its_attributes():
    y_hat, y = data(losses.MSE())
    for loss in (Steep("a note"), Whole()):
        for other in (copy.copy(loss), copy.deepcopy(loss), pickle.loads(pickle.dumps(loss))):
            assert type(other) is type(loss)
            assert other == loss
            assert other(y_hat, y) == loss(y_hat, y)
            if isinstance(loss, Steep):
                assert (other.delta, other.note, other.seen) == (7.0, "a note", ["a note"])


class Forgetful(losses.Huber):
    def __init__(self):
        pass


@pytest.mark.parametrize("make", [Forgetful, lambda: losses.Huber.__new__(losses.Huber)])
def test_a_loss_without_its_constructor_is_an_error(make):
    y_hat, y = data(losses.Huber())
    net = mlpcore.MLP([2, K], seed=0)
    for use in (
        lambda: make()(y_hat, y),
        lambda: make().gradient(y_hat, y),
        lambda: net.value_and_grad(np.ones((N, 2)), y, make()),
        lambda: make()(net.trace(np.ones((N, 2))), y),
    ):
        with pytest.raises(RuntimeError, match="the loss is not initialised"):
            use()


@pytest.mark.parametrize("output", _core.ACTIVATIONS)
def test_what_a_net_computes_as_one_step(output):
    fused = {name for name, loss in losses.NAMED.items() if loss.fuses_with(output)}
    assert fused == {"sigmoid": {"bce"}, "softmax": {"cross_entropy"}}.get(output, set())
    assert losses.CrossEntropy(False).fuses_with(output) is (output == "softmax")
    assert not losses.CallableLoss(squared).fuses_with(output)


# ---- values and gradients -----------------------------------------------------------------------


@instances
@pytest.mark.parametrize("weight", [None, [1, 0, 2, 0.5, 1]], ids=["", "weighted"])
def test_value_and_gradient_are_the_references(loss, weight, dtype):
    y_hat, y = data(loss, dtype)
    arguments = (loss.name, y_hat, y, weight)
    value = loss(y_hat, y, weight)
    assert type(value) is float
    expected = reference.loss_value(*arguments, **options_of(loss))
    np.testing.assert_allclose(value, expected, **tolerance(dtype))
    gradient = loss.gradient(y_hat, y, weight)
    assert gradient.dtype == dtype
    expected = reference.loss_gradient(*arguments, **options_of(loss))
    np.testing.assert_allclose(gradient, expected, **tolerance(dtype))


@instances
def test_a_single_sample_has_no_first_axis(loss, dtype):
    y_hat, y = data(loss, dtype, 1)
    assert loss(y_hat[0], y[0]) == loss(y_hat, y)
    gradient = loss.gradient(y_hat[0], y[0])
    assert gradient.shape == (K,)
    np.testing.assert_array_equal(gradient, loss.gradient(y_hat, y)[0])
    assert loss(y_hat[0], y[0], 2.0) == pytest.approx(loss(y_hat, y, [2.0]))


@instances
def test_a_weight_of_two_is_the_row_given_twice(loss):
    y_hat, y = data(loss)
    twice = [0, 1, 1, 2, 3, 3, 4]
    weighted = loss(y_hat, y, [1, 2, 1, 2, 1])
    assert loss(y_hat[twice], y[twice]) == pytest.approx(weighted, rel=1e-13)


@instances
def test_an_empty_batch(loss, dtype):
    empty = np.empty((0, K), dtype)
    assert loss(empty, empty) == 0.0
    assert loss.gradient(empty, empty).shape == (0, K)
    assert loss(empty, empty, []) == 0.0


def test_the_precision_is_that_of_the_predictions():
    y_hat, y = data(losses.MSE(), "float32")
    for given, expected in [
        (y_hat, np.float32),
        (y_hat.astype(">f4"), np.float32),
        (y_hat.astype(np.float16), np.float64),
        (y_hat.astype(np.float64), np.float64),
        (y_hat.tolist(), np.float64),
    ]:
        assert losses.MSE().gradient(given, y).dtype == expected


def test_the_losses_of_one_sample_by_hand():
    y_hat, y = np.array([0.25, 0.5]), np.array([1.0, 0.0])
    assert losses.MSE("sum")(y_hat, y) == 0.75**2 + 0.5**2
    np.testing.assert_array_equal(losses.MSE("sum").gradient(y_hat, y), 2 * (y_hat - y))
    np.testing.assert_allclose(
        losses.BCE("mean").gradient(y_hat, y), -(y / y_hat - (1 - y) / (1 - y_hat)) / 2
    )


def test_probabilities_of_0_and_1_are_finite(dtype):
    y_hat = np.array([[0, 1], [1, 0]], dtype)
    right, wrong = y_hat.copy(), 1 - y_hat
    assert losses.BCE()(y_hat, right) == 0.0
    assert losses.BCE()(y_hat, wrong) == 100.0
    half = np.finfo(dtype).eps / 2
    np.testing.assert_array_equal(losses.BCE("sum").gradient(y_hat, right), 0)
    expected = (2 * y_hat - 1) / half
    np.testing.assert_allclose(losses.BCE("sum").gradient(y_hat, wrong), expected, rtol=1e-6)


# ---- classes ------------------------------------------------------------------------------------


@pytest.mark.parametrize("from_logits", [True, False])
def test_classes_are_rows_of_the_identity(from_logits, dtype):
    loss = losses.CrossEntropy(from_logits)
    y_hat, _ = data(loss, dtype)
    classes = np.array([0, 2, 1, 1, 0])
    rows = np.eye(K)[classes]
    np.testing.assert_allclose(loss(y_hat, classes), loss(y_hat, rows), **tolerance(dtype))
    np.testing.assert_allclose(
        loss.gradient(y_hat, classes), loss.gradient(y_hat, rows), **tolerance(dtype)
    )
    assert loss(y_hat[1], 2) == pytest.approx(loss(y_hat[1], rows[1]))
    assert loss(y_hat[1], np.int8(2)) == loss(y_hat[1], 2)
    assert loss.gradient(y_hat[1], 2).shape == (K,)


def test_one_output_takes_a_vector_of_targets():
    y_hat, y = np.array([[1.0], [2.0]]), np.array([3.0, 5.0])
    assert losses.MSE()(y_hat, y) == losses.MSE()(y_hat, y[:, None]) == 6.5
    assert losses.MSE().gradient(y_hat, y).shape == (2, 1)
    assert losses.MSE()([1.0], 3.0) == 4.0


# ---- traces -------------------------------------------------------------------------------------


def net_for(loss, dtype, output=None):
    output = output or {"bce": "sigmoid", "cross_entropy": "softmax"}.get(loss.name, "identity")
    return mlpcore.MLP([2, 4, K], ["tanh", output], dtype, seed=4)


@instances
def test_of_a_trace_it_is_the_loss_that_the_net_trains_with(loss, dtype):
    net = net_for(loss, dtype)
    x = np.linspace(-1, 1, 2 * N).reshape(N, 2)
    _, y = data(loss, dtype)
    weight = [1, 2, 0, 1, 1]
    trace = net.trace(x)
    assert loss(trace, y, weight) == net.value_and_grad(x, y, loss, weight)[0]
    bare = losses.CrossEntropy(False, loss.reduction) if loss.name == "cross_entropy" else loss
    np.testing.assert_allclose(
        loss.gradient(trace, y, weight), bare.gradient(trace.output, y, weight), **tolerance(dtype)
    )
    single = net.trace(x[1])
    assert loss(single, y[1]) == net.value_and_grad(x[1], y[1], loss)[0]
    assert loss.gradient(single, y[1]).shape == (K,)


@pytest.mark.parametrize("size", [30.0, 60.0])
@pytest.mark.parametrize(("output", "loss"), [("sigmoid", "bce"), ("softmax", "cross_entropy")])
def test_of_a_trace_it_keeps_its_gradient_where_an_output_saturates(output, loss, size, dtype):
    net = mlpcore.MLP([1, 2], [output], dtype, init="zeros")
    net.weights[0][:] = [[size], [-size]]
    wrong = [[0.0, 1.0]]
    trace = net.trace([[1.0]])
    instance = losses.NAMED[loss]
    assert instance(trace, wrong) == pytest.approx(size if loss == "bce" else 2 * size, rel=1e-6)
    expected = net.backward(trace, loss, wrong)
    assert np.abs(expected.flat).min() > 0.4
    actual = net.backward(trace, instance.gradient(trace, wrong))
    if loss == "cross_entropy" and 2 * size > 80 and dtype == "float32":
        assert np.isfinite(actual.flat).all()  # exp(-120) is 0 in float32
    else:
        np.testing.assert_allclose(actual.flat, expected.flat, rtol=1e-5)


def test_cross_entropy_after_softmax_is_not_a_second_softmax(dtype):
    net = net_for(losses.CrossEntropy(), dtype)
    x, classes = np.ones((2, 2)), [0, 2]
    expected = -np.log(net(x)[[0, 1], classes].astype(np.float64)).mean()
    for loss in ("cross_entropy", losses.CrossEntropy(), losses.CrossEntropy(from_logits=False)):
        assert net.value_and_grad(x, classes, loss)[0] == pytest.approx(expected, rel=1e-6)


def test_cross_entropy_after_identity_takes_logits(dtype):
    net = net_for(losses.CrossEntropy(), dtype, "identity")
    x, classes = np.ones((2, 2)), [0, 2]
    p = reference.activation("softmax", net(x))
    expected = -np.log(p[[0, 1], classes]).mean()
    assert net.value_and_grad(x, classes, "cross_entropy")[0] == pytest.approx(expected, rel=1e-6)


def test_bare_probabilities_of_a_softmax_have_to_be_named_as_such():
    net = net_for(losses.CrossEntropy(False), "float64", "softmax")
    trace, y = net.trace(np.ones((N, 2))), [0, 1, 2, 0, 1]
    expected = net.backward(trace, "cross_entropy", y).flat
    of_trace = net.backward(trace, losses.CrossEntropy().gradient(trace, y)).flat
    named = losses.CrossEntropy(from_logits=False).gradient(trace.output, y)
    np.testing.assert_allclose(of_trace, expected, rtol=1e-12, atol=1e-14)
    np.testing.assert_allclose(net.backward(trace, named).flat, expected, rtol=1e-12, atol=1e-14)


@pytest.mark.parametrize(
    ("loss", "good", "bad"),
    [
        (losses.BCE(), 1.0, 1.25),
        (losses.BCE(), 0.0, -0.25),
        (losses.BCEWithLogits(), 1.0, 2.0),
        (losses.CrossEntropy(), 3.0, -1.0),
        (losses.CrossEntropy(False), 3.0, -1.0),
        (losses.Poisson(), 3.0, -1.0),
    ],
    ids=repr,
)
def test_targets_outside_the_range_of_the_loss_are_refused(loss, good, bad):
    y_hat, y = np.full((N, K), 0.5), np.full((N, K), good)
    assert np.isfinite(loss(y_hat, y))
    y[2, 1] = np.nan
    assert np.isnan(loss(y_hat, y))
    y[3, 2] = bad
    for use in (loss, loss.gradient):
        with pytest.raises(ValueError, match=rf"^y: .*got {bad} at row 3, column 2"):
            use(y_hat, y)


def test_what_suits_no_output_is_refused_of_a_trace_too():
    trace = net_for(losses.MSE(), "float32").trace(np.ones((1, 2)))
    with pytest.raises(ValueError, match=r"^loss: bce needs"):
        losses.BCE()(trace, [[0, 0, 1]])
    with pytest.raises(ValueError, match=r"^loss: cross_entropy with from_logits=False needs"):
        losses.CrossEntropy(False).gradient(trace, [0])


@pytest.mark.parametrize("loss", NAMES)
@pytest.mark.parametrize("output", _core.ACTIVATIONS)
def test_every_loss_after_every_output(loss, output):
    net = mlpcore.MLP([2, K], [output], "float64", seed=0)
    x, y = np.ones((2, 2)), np.eye(K)[:2]
    if loss == "bce" and output not in ("sigmoid", "softmax"):
        with pytest.raises(ValueError, match=r"^loss: bce"):
            net.value_and_grad(x, y, loss)
        return
    value, gradients = net.value_and_grad(x, y, loss)
    expected = reference.value_and_grad(
        [(net.weights[0], net.biases[0], output)],
        x,
        y,
        loss,
        **({"from_logits": False} if (loss, output) == ("cross_entropy", "softmax") else {}),
    )
    assert value == pytest.approx(expected[0], rel=1e-13)
    np.testing.assert_allclose(gradients.inputs, expected[1].inputs, rtol=1e-12, atol=1e-14)


# ---- callables ----------------------------------------------------------------------------------


def squared(y_hat, y):
    return np.mean((y_hat - y) ** 2), 2 * (y_hat - y) / y.size


def test_a_callable_is_used_like_a_loss():
    own = losses.CallableLoss(squared)
    y_hat, y = data(losses.MSE())
    assert own(y_hat, y) == pytest.approx(losses.MSE()(y_hat, y))
    np.testing.assert_allclose(own.gradient(y_hat, y), losses.MSE().gradient(y_hat, y))
    assert own.gradient(y_hat[0], y[0]).shape == (K,)
    trace = net_for(losses.MSE(), "float64").trace(np.ones((N, 2)))
    assert own(trace, y) == pytest.approx(losses.MSE()(trace, y))
    assert own.name == "squared"
    assert repr(own) == "CallableLoss(squared)"
    assert own == pickle.loads(pickle.dumps(own))
    assert own != losses.CallableLoss(len)
    assert hash(own) == hash(losses.CallableLoss(squared))


def test_a_callable_sees_batches_and_may_not_write_to_predictions():
    net = mlpcore.MLP([2, 4, K], seed=0)
    seen = []

    def loss(y_hat, y):
        seen.append((y_hat.shape, y.shape, y_hat.flags.writeable or y.flags.writeable))
        return 0.0, np.zeros_like(y_hat)

    net.train_step([1, 2], ["labels", "of", "any", "kind"][:1][0], loss, mlpcore.SGD())
    net.train_step(np.ones((2, 2)), ["any", "kind"], loss, mlpcore.SGD())
    net.train_step(np.ones((2, 2)), np.ones((2, 7, 7)), loss, mlpcore.SGD())
    assert seen == [((1, K), (1,), False), ((2, K), (2,), False), ((2, K), (2, 7, 7), False)]


@pytest.mark.parametrize(
    ("error", "message", "result"),
    [
        (TypeError, r"^loss: expected the function to return \(value, dl_dy_hat\)", None),
        (TypeError, r"^loss: expected the function to return \(value, dl_dy_hat\)", 1.0),
        (TypeError, r"^loss: expected the function to return \(value, dl_dy_hat\)", (1.0,)),
        (TypeError, r"^loss: expected the function to return \(value, dl_dy_hat\)", [1.0, 2.0]),
        (TypeError, r"^loss's value: expected", ("1.0", np.zeros((2, K)))),
        (TypeError, r"^loss's value: expected", (1j, np.zeros((2, K)))),
        (ValueError, r"^loss's value: expected one number", (np.zeros(2), np.zeros((2, K)))),
        (TypeError, r"^loss's dl_dy_hat: expected", (1.0, None)),
        (ValueError, r"^loss's dl_dy_hat: expected shape \(2, 3\)", (1.0, np.zeros(K))),
        (ValueError, r"^loss's dl_dy_hat: expected shape \(2, 3\)", (1.0, 0.0)),
        (ValueError, r"^loss's dl_dy_hat: expected values in", (1.0, np.full((2, K), 1e300))),
    ],
)
def test_a_bad_result_of_a_callable_is_refused_and_updates_nothing(error, message, result):
    net = mlpcore.MLP([2, 4, K], seed=0)
    before = net.copy()
    with pytest.raises(error, match=message):
        net.train_step(np.ones((2, 2)), np.ones((2, K)), lambda y_hat, y: result, mlpcore.SGD())
    assert net == before


def test_a_callable_takes_no_weights_and_raises_what_it_raises():
    net = mlpcore.MLP([2, 4, K], seed=0)
    x, y = np.ones((2, 2)), np.ones((2, K))
    with pytest.raises(ValueError, match=r"^sample_weight: expected None with a callable"):
        net.train_step(x, y, squared, mlpcore.SGD(), [1, 2])
    with pytest.raises(ZeroDivisionError):
        net.train_step(x, y, lambda y_hat, y: 1 / 0, mlpcore.SGD())
    with pytest.raises(ValueError, match=r"^y: expected 2 rows"):
        net.train_step(x, y[:1], squared, mlpcore.SGD())
