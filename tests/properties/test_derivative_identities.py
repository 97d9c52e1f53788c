# SPDX-License-Identifier: BSD-3-Clause
"""Derivatives of any net, asked for in different ways, are those of one and the same function."""

import numpy as np
import pytest
import tolerances
from drawn import (
    ANALYTIC,
    REAL_LOSSES,
    SMOOTH,
    assert_within,
    batch,
    nets,
    property_test,
    reductions,
    seeds,
)
from hypothesis import given
from hypothesis import strategies as st

import mlpcore
from mlpcore import losses

n_rows = st.integers(1, 33)
# Twice differentiable, at every point.
bent = nets(activations=SMOOTH, last=("identity", "tanh", "softmax"), widths=st.integers(1, 17))
SMOOTH_LOSSES = (losses.MSE, losses.LogCosh)


def gradient_tolerance(net):
    return 10 * tolerances.GRADIENT[str(net.dtype)]


def second_tolerance(net):
    return 10 * tolerances.SECOND_ORDER[str(net.dtype)]


def direction_of(net, seed):
    return np.random.default_rng(seed + 7).normal(size=net.n_parameters).astype(net.dtype)


@property_test
@given(nets(), n_rows, seeds)
def test_forward_and_reverse_mode_are_adjoint(net, n, seed):
    """<cotangent, J tangent> is <J^T cotangent, tangent>, of inputs and parameters."""
    x, cotangent = batch(net, n, seed)
    tangent, _ = batch(net, n, seed + 1)
    along = direction_of(net, seed)
    _, dy_hat = net.jvp(x, tangent, along)
    back = net.vjp(x, cotangent)
    forward = cotangent.astype(np.float64) * dy_hat
    terms = np.concatenate(
        [(back.inputs.astype(np.float64) * tangent).ravel(), back.flat.astype(np.float64) * along]
    )
    scale = np.abs(forward).sum() + np.abs(terms).sum()
    assert abs(forward.sum() - terms.sum()) <= gradient_tolerance(net) * max(scale, 1e-2)


@property_test
@given(nets(), n_rows, seeds)
def test_the_jacobian_is_what_both_modes_multiply_with(net, n, seed):
    x, cotangent = batch(net, n, seed)
    tangent, _ = batch(net, n, seed + 1)
    y_hat, jacobian = net.value_and_jacobian(x)
    assert np.array_equal(y_hat, net(x))
    assert np.array_equal(jacobian, net.jacobian(x))
    jacobian = jacobian.astype(np.float64)
    dy_hat = np.einsum("nkd,nd->nk", jacobian, tangent)
    assert_within(net.jvp(x, tangent)[1], dy_hat, gradient_tolerance(net))
    inputs = np.einsum("nkd,nk->nd", jacobian, cotangent)
    assert_within(net.vjp(x, cotangent).inputs, inputs, gradient_tolerance(net))


@property_test
@given(nets(), n_rows, seeds)
def test_a_tangent_acts_linearly(net, n, seed):
    x, _ = batch(net, n, seed)
    tangent, _ = batch(net, n, seed + 1)
    along = direction_of(net, seed)
    y_hat, both = net.jvp(x, tangent, along)
    assert np.array_equal(y_hat, net(x))
    apart = net.jvp(x, tangent)[1].astype(np.float64) + net.jvp(x, None, along)[1]
    assert_within(both, apart, gradient_tolerance(net))
    doubled = net.jvp(x, 2 * tangent, 2 * along)[1]
    assert np.array_equal(doubled, 2 * both)  # a power of two rounds nothing


@property_test
@given(nets(), n_rows, seeds, st.sampled_from(REAL_LOSSES), reductions)
def test_gradients_of_samples_add_up_to_the_gradient(net, n, seed, cls, reduction):
    x, y = batch(net, n, seed)
    each = net.per_sample_gradients(x, y, cls(reduction=reduction)).astype(np.float64)
    total = each.sum(axis=0) if reduction == "sum" else each.mean(axis=0)
    _, gradients = net.value_and_grad(x, y, cls(reduction=reduction))
    assert_within(gradients.flat, total, gradient_tolerance(net))
    norms = net.per_sample_gradient_norms(x, y, cls(reduction=reduction))
    assert_within(norms, np.linalg.norm(each, axis=1), gradient_tolerance(net))


@property_test
@given(bent, n_rows, seeds, st.sampled_from(SMOOTH_LOSSES), reductions)
def test_the_hessian_of_the_loss_is_symmetric_and_linear(net, n, seed, cls, reduction):
    x, y = batch(net, n, seed)
    loss = cls(reduction=reduction)
    u, v = direction_of(net, seed), direction_of(net, seed + 1)
    hu, hv = (net.hvp(x, y, loss, vector).astype(np.float64) for vector in (u, v))
    scale = np.linalg.norm(v) * np.linalg.norm(hu) + np.linalg.norm(u) * np.linalg.norm(hv)
    assert abs(v @ hu - u @ hv) <= second_tolerance(net) * max(float(scale), 1e-2)
    together = net.hvp(x, y, loss, u + v)
    terms = float(np.linalg.norm(hu) + np.linalg.norm(hv))
    assert np.linalg.norm(together - (hu + hv)) <= second_tolerance(net) * max(terms, 1e-2)


@property_test
@given(bent, n_rows, seeds)
def test_the_laplacian_is_the_trace_of_a_symmetric_hessian(net, n, seed):
    x, _ = batch(net, n, seed)
    hessian = net.input_hessian(x)
    assert np.array_equal(hessian, hessian.swapaxes(-1, -2))
    diagonal = np.diagonal(hessian, axis1=-2, axis2=-1).astype(np.float64)
    terms = float(np.linalg.norm(np.abs(diagonal).sum(axis=-1)))
    error = np.linalg.norm(net.laplacian(x) - diagonal.sum(axis=-1))
    assert error <= second_tolerance(net) * max(terms, 1e-2)


def central(function, step):
    """A difference of fourth order of what is a function of one number."""
    terms = [function(k * step) for k in (-2, -1, 1, 2)]
    return (terms[0] - terms[3] + 8 * (terms[2] - terms[1])) / (12 * step)


exact = nets(ANALYTIC, ("identity", "tanh", "softmax"), ("float64",), st.integers(1, 17))


@property_test
@given(exact, n_rows, seeds, st.sampled_from(SMOOTH_LOSSES), reductions)
def test_derivatives_are_what_differences_approach(net, n, seed, cls, reduction):
    """Of fourth order with a step of 1e-3: truncation and rounding are near 1e-11 each."""
    x, y = batch(net, n, seed)
    loss = cls(reduction=reduction)
    along = direction_of(net, seed) / np.sqrt(net.n_parameters)
    _, gradients = net.value_and_grad(x, y, loss)
    hvp = net.hvp(x, y, loss, along)
    dy_hat = net.jvp(x, None, along)[1]
    start, other = net.parameters.copy(), net.copy()

    def moved(t):
        other.parameters[:] = start + t * along
        value, there = other.value_and_grad(x, y, loss)
        return np.concatenate([[value], there.flat, other(x).ravel()])

    got = np.concatenate([[gradients.flat @ along], hvp, dy_hat.ravel()])
    scale = max(float(np.abs(moved(0.0)).max()), 1.0)
    assert np.abs(got - central(moved, 1e-3)).max() <= 1e-7 * scale


@property_test
@given(exact, n_rows, seeds)
def test_second_derivatives_in_the_inputs_are_those_of_the_jacobian(net, n, seed):
    x, _ = batch(net, n, seed)
    tangent, _ = batch(net, n, seed + 1)
    hessian = net.input_hessian(x)
    got = np.einsum("nkij,nj->nki", hessian, tangent)
    want = central(lambda t: net.jacobian(x + t * tangent), 1e-3)
    assert np.abs(got - want).max() <= 1e-6 * max(float(np.abs(want).max()), 1.0)


@property_test
@given(nets(), n_rows, seeds, st.sampled_from(REAL_LOSSES))
def test_the_chain_rule_by_name_ends_in_the_gradients(net, n, seed, cls):
    x, y = batch(net, n, seed)
    chain = net.chain(x, y, cls())
    value, gradients = net.value_and_grad(x, y, cls())
    assert float(chain["l"]) == pytest.approx(value, rel=1e-6, abs=1e-9)
    tolerance = gradient_tolerance(net)
    assert_within(chain["dl/dx"], gradients.inputs, tolerance)
    for l, weight in enumerate(gradients.weights, 1):
        assert_within(chain[f"dl/dW{l}"], weight, tolerance)


@property_test
@given(bent, n_rows, seeds, st.floats(0.1, 4.0))
def test_known_derivatives_add_the_error_of_the_jacobian(net, n, seed, factor):
    """The value is the sum of both losses; with no weight it is the first alone."""
    x, y = batch(net, n, seed)
    rng = np.random.default_rng(seed)
    dy_dx = rng.normal(size=(n, net.sizes[-1], net.sizes[0])).astype(net.dtype)
    alone, of_alone = net.value_and_grad(x, y, "mse")
    value, _ = net.value_and_grad(x, y, "mse", dy_dx=dy_dx, dy_dx_weight=factor)
    error = mlpcore.losses.MSE()(
        net.jacobian(x).reshape(n, -1).astype(np.float64), dy_dx.reshape(n, -1)
    )
    assert value == pytest.approx(alone + factor * error, rel=gradient_tolerance(net))
    nothing, of_nothing = net.value_and_grad(x, y, "mse", dy_dx=dy_dx, dy_dx_weight=0.0)
    assert nothing == pytest.approx(alone, rel=gradient_tolerance(net))
    assert_within(of_nothing.flat, of_alone.flat, gradient_tolerance(net))
