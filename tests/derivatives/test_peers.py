# SPDX-License-Identifier: BSD-3-Clause
"""Every derivative beside JAX's and PyTorch's, in float64, on random nets of one to six layers.

The extra ``peers`` brings the two; without them this file is skipped, and says so. They differ from
the reference in that nobody here has written the derivatives by hand.
"""

import numpy as np
import pytest
from nets import ACTIVATIONS
from tolerances import relative_error

import mlpcore

# Of two implementations whose sums have different orders. In float32 a net of six layers loses some
# hundreds of epsilons where second derivatives cancel.
TOLERANCE = {"float64": 1e-9, "float32": 2e-4}
N_SAMPLES = 5


def random_net(depth, activation, dtype):
    """Widths that are a multiple of nothing; a softmax comes after tanh."""
    rng = np.random.default_rng([depth, ACTIVATIONS.index(activation)])
    sizes = [int(width) for width in rng.integers(2, 12, depth + 1)]
    hidden = "tanh" if activation == "softmax" else activation
    net = mlpcore.MLP(sizes, [hidden] * (depth - 1) + [activation], dtype="float64", seed=depth)
    net.parameters[:] += rng.normal(0.0, 0.2, net.n_parameters)
    # The numbers of a float32 net, also where it is a float64 one: both see the same net.
    exact = mlpcore.MLP(sizes, net.activations, dtype=dtype)
    exact.parameters[:] = net.parameters.astype("f4")
    shapes = {
        "x": (N_SAMPLES, sizes[0]),
        "tangent": (N_SAMPLES, sizes[0]),
        "y": (N_SAMPLES, sizes[-1]),
        "cotangent": (N_SAMPLES, sizes[-1]),
        "dy_dx": (N_SAMPLES, sizes[-1], sizes[0]),
        "vector": (net.n_parameters,),
    }
    data = {name: rng.normal(size=shape).astype("f4") for name, shape in shapes.items()}
    return exact, {name: array.astype(dtype) for name, array in data.items()}


def mlpcores(net, x, tangent, y, cotangent, dy_dx, vector):
    """What is compared, by its name."""
    vjp = net.vjp(x, cotangent)
    return {
        "jvp": net.jvp(x, tangent, vector)[1],
        "vjp, parameters": vjp.flat,
        "vjp, inputs": vjp.inputs,
        "jacobian": net.jacobian(x),
        "input_hessian": net.input_hessian(x),
        "laplacian": net.laplacian(x),
        "hvp": net.hvp(x, y, "mse", vector),
        "per_sample_gradients": net.per_sample_gradients(x, y, "mse"),
        "per_sample_gradient_norms": net.per_sample_gradient_norms(x, y, "mse"),
        "dy_dx": net.value_and_grad(x, y, "mse", dy_dx=dy_dx, dy_dx_weight=0.5)[1].flat,
    }


def forward_of(net, functions, matmul):
    """The net as a function of its flat parameters and one sample, by a library's functions."""

    def forward(flat, x):
        start = 0
        for n_inputs, n_outputs, name in zip(
            net.sizes, net.sizes[1:], net.activations, strict=False
        ):
            end = start + n_inputs * n_outputs
            z = matmul(x, flat[start:end].reshape(n_inputs, n_outputs))
            x = functions[name](z + flat[end : end + n_outputs])
            start = end + n_outputs
        return x

    return forward


def everything(net, library, forward, mean, data):
    """The same by `library`, which is jax or torch.func: their functions have the same names."""
    x, tangent, y, cotangent, dy_dx, vector = (
        data[name] for name in ("x", "tangent", "y", "cotangent", "dy_dx", "vector")
    )
    flat = data["parameters"]

    def of_rows(flat, x):
        return library.vmap(forward, (None, 0))(flat, x)

    def mse(flat, x, y):
        return mean((of_rows(flat, x) - y) ** 2)

    def sobolev(flat):
        jacobians = library.vmap(library.jacrev(forward, 1), (None, 0))(flat, x)
        return mse(flat, x, y) + 0.5 * mean((jacobians - dy_dx) ** 2)

    def of_sample(flat, x, y):
        return mse(flat, x[None], y[None])

    _, back = library.vjp(of_rows, flat, x)
    grad_flat, grad_x = back(cotangent)
    hessian = library.vmap(library.jacfwd(library.jacrev(forward, 1), 1), (None, 0))(flat, x)
    rows = library.vmap(library.grad(of_sample), (None, 0, 0))(flat, x, y)
    return {
        "jvp": library.jvp(of_rows, (flat, x), (vector, tangent))[1],
        "vjp, parameters": grad_flat,
        "vjp, inputs": grad_x,
        "jacobian": library.vmap(library.jacfwd(forward, 1), (None, 0))(flat, x),
        "input_hessian": hessian,
        "hvp": library.jvp(lambda p: library.grad(mse)(p, x, y), (flat,), (vector,))[1],
        "per_sample_gradients": rows,
        "dy_dx": library.grad(sobolev)(flat),
    }


def as_arrays(results):
    """NumPy's arrays, and what follows from them."""
    arrays = {name: np.asarray(array) for name, array in results.items()}
    arrays["laplacian"] = np.trace(arrays["input_hessian"], axis1=-2, axis2=-1)
    arrays["per_sample_gradient_norms"] = np.linalg.norm(arrays["per_sample_gradients"], axis=1)
    return arrays


def jaxs(net, data):
    jax = pytest.importorskip("jax", reason="the extra 'peers' brings JAX, and it is not installed")
    from jax import numpy as jnp

    functions = {
        "identity": lambda z: z,
        "relu": jax.nn.relu,
        "leaky_relu": jax.nn.leaky_relu,
        "elu": jax.nn.elu,
        "gelu": lambda z: jax.nn.gelu(z, approximate=False),
        "silu": jax.nn.silu,
        "softplus": jax.nn.softplus,
        "tanh": jnp.tanh,
        "sigmoid": jax.nn.sigmoid,
        "softmax": jax.nn.softmax,
    }
    forward = forward_of(net, functions, jnp.matmul)
    with jax.enable_x64(True):
        arrays = {name: jnp.asarray(array) for name, array in data.items()}
        compiled = jax.jit(lambda arrays: everything(net, jax, forward, jnp.mean, arrays))
        return as_arrays(compiled(arrays))


def torchs(net, data):
    torch = pytest.importorskip(
        "torch", reason="the extra 'peers' brings PyTorch, and it is not installed"
    )
    functional = torch.nn.functional
    functions = {
        "identity": lambda z: z,
        "relu": functional.relu,
        "leaky_relu": functional.leaky_relu,
        "elu": functional.elu,
        "gelu": functional.gelu,
        "silu": functional.silu,
        "softplus": functional.softplus,
        "tanh": torch.tanh,
        "sigmoid": torch.sigmoid,
        "softmax": lambda z: functional.softmax(z, dim=-1),
    }
    forward = forward_of(net, functions, torch.matmul)
    arrays = {name: torch.from_numpy(array) for name, array in data.items()}
    return as_arrays(everything(net, torch.func, forward, torch.mean, arrays))


def check(peer, activation, depth):
    net, data = random_net(depth, activation, "float64")
    want = peer(net, {**data, "parameters": net.parameters})
    for dtype, tolerance in TOLERANCE.items():
        same, arrays = random_net(depth, activation, dtype)
        assert np.array_equal(same.parameters, net.parameters)
        got = mlpcores(same, **arrays)
        assert got.keys() == want.keys()
        for name in got:
            assert relative_error(got[name], want[name]) <= tolerance, (name, dtype)


@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")  # the libraries' own
@pytest.mark.parametrize("depth", range(1, 7))
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_derivative_is_that_of_pytorch(activation, depth):
    check(torchs, activation, depth)


# Compiling takes JAX seconds: each activation at two depths, each depth with several activations.
@pytest.mark.timeout(600)
@pytest.mark.filterwarnings("default")
@pytest.mark.parametrize("half", [0, 3])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_every_derivative_is_that_of_jax(activation, half):
    check(jaxs, activation, 1 + (ACTIVATIONS.index(activation) + half) % 6)
