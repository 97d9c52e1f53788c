# SPDX-License-Identifier: BSD-3-Clause
"""The reference optimizers against two steps worked by hand."""

import numpy as np
import pytest

from mlpcore import reference


def run(step, start, gradients, **options):
    """The parameter after each step from `start`."""
    parameters, state, path = np.array([start]), {}, []
    for gradient in gradients:
        parameters, state = step(parameters, [gradient], state, **options)
        path.append(float(parameters[0]))
    return path


def test_sgd():
    # 1 - 0.1 * 0.5; 0.95 + 0.1 * 2.
    path = run(reference.sgd_step, 1.0, [0.5, -2.0], learning_rate=0.1)
    np.testing.assert_allclose(path, [0.95, 1.15], rtol=1e-14)


def test_sgd_weight_decay():
    # gradient 0.5 + 0.2 * 1 = 0.7; then -2 + 0.2 * 0.93 = -1.814.
    path = run(reference.sgd_step, 1.0, [0.5, -2.0], learning_rate=0.1, weight_decay=0.2)
    np.testing.assert_allclose(path, [0.93, 1.1114], rtol=1e-14)


def test_sgd_momentum():
    # gradient 0.7, buffer 0.7; gradient -0.25 + 0.186 = -0.064, buffer 0.63 - 0.064 = 0.566.
    options = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.2}
    path = run(reference.sgd_step, 1.0, [0.5, -0.25], **options)
    np.testing.assert_allclose(path, [0.93, 0.8734], rtol=1e-14)


def test_sgd_nesterov():
    # 0.7 + 0.9 * 0.7 = 1.33; gradient -0.25 + 0.1734 = -0.0766, buffer 0.5534,
    # -0.0766 + 0.49806 = 0.42146.
    options = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.2, "nesterov": True}
    path = run(reference.sgd_step, 1.0, [0.5, -0.25], **options)
    np.testing.assert_allclose(path, [0.867, 0.824854], rtol=1e-14)


# Numbers that come out even.  Step 1, gradient 3: first moment 1.5, unbiased 1.5 / 0.5 = 3; second
# 2.25, unbiased 2.25 / 0.25 = 9, its root 3; 0.4 * 3 / (3 + 1) = 0.3.
# Step 2, gradient -0.5: first 0.75 - 0.25 = 0.5, unbiased 0.5 / 0.75 = 2/3; second
# 1.6875 + 0.0625 = 1.75, unbiased 1.75 / 0.4375 = 4, its root 2; 0.4 * (2/3) / (2 + 1) = 4/45.
ADAM = {"learning_rate": 0.4, "beta1": 0.5, "beta2": 0.75, "epsilon": 1.0}


def test_adam():
    path = run(reference.adam_step, 1.0, [3.0, -0.5], **ADAM)
    np.testing.assert_allclose(path, [0.7, 0.7 - 4.0 / 45.0], rtol=1e-14)


def test_adam_weight_decay_enters_the_gradient():
    # 2.5 + 0.5 * 1 = 3 and -0.85 + 0.5 * 0.7 = -0.5: the steps above.
    path = run(reference.adam_step, 1.0, [2.5, -0.85], weight_decay=0.5, **ADAM)
    np.testing.assert_allclose(path, [0.7, 0.7 - 4.0 / 45.0], rtol=1e-14)


def test_adamw_weight_decay_bypasses_the_moments():
    # 1 - 0.4 * 0.5 = 0.8 times the parameter, then the steps above.
    path = run(reference.adamw_step, 1.0, [3.0, -0.5], weight_decay=0.5, **ADAM)
    np.testing.assert_allclose(path, [0.8 - 0.3, 0.5 * 0.8 - 4.0 / 45.0], rtol=1e-14)


def test_defaults():
    # PyTorch's: after one step Adam moves by learning_rate * g / (|g| + epsilon).
    (after,) = run(reference.adam_step, 1.0, [1e-8])
    np.testing.assert_allclose(after, 1.0 - 1e-3 * 0.5, rtol=1e-14)
    (after,) = run(reference.adamw_step, 1.0, [1e-8])
    np.testing.assert_allclose(after, 1.0 - 1e-3 * 1e-2 - 1e-3 * 0.5, rtol=1e-14)
    constant = run(reference.adam_step, 0.0, [2.0] * 3, beta1=0.9, beta2=0.999)
    assert constant == run(reference.adam_step, 0.0, [2.0] * 3)


@pytest.mark.parametrize(
    ("step", "options"),
    [
        (reference.sgd_step, {"learning_rate": 0.1, "momentum": 0.9}),
        (reference.adam_step, {}),
        (reference.adamw_step, {}),
    ],
)
def test_steps_are_pure(step, options):
    parameters, gradients = np.array([1.0, 2.0]), np.array([0.5, -0.5])
    _, state = step(parameters, gradients, {}, **options)
    kept = {key: np.copy(value) for key, value in state.items()}
    first = step(parameters, gradients, state, **options)[0]
    again = step(parameters, gradients, state, **options)[0]
    np.testing.assert_array_equal(first, again)
    assert parameters.tolist() == [1.0, 2.0]
    assert gradients.tolist() == [0.5, -0.5]
    assert all(np.array_equal(state[key], value) for key, value in kept.items())
