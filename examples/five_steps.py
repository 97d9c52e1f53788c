# SPDX-License-Identifier: BSD-3-Clause
"""The five steps of training with SGD, one by one and in one call: the parameters end up the same.

Run: python examples/five_steps.py
"""

import numpy as np

import mlpcore


def main() -> None:
    """Train two copies of a net on one batch, and compare them bit by bit."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((32, 2), dtype=np.float32)
    y = np.stack([np.sin(x[:, 0]), x[:, 0] * x[:, 1]], axis=1)

    net = mlpcore.MLP([2, 20, 2], activations=["relu", "identity"], seed=0)
    fused = net.copy()
    loss = mlpcore.losses.MSE()
    optimizer = mlpcore.SGD(learning_rate=0.1)
    fused_optimizer = mlpcore.SGD(learning_rate=0.1)

    for epoch in range(100):
        trace = net.trace(x)  # 1. forward, keeping every intermediate
        value = loss(trace, y)  # 2. the loss
        # 3. clear the gradients: nothing to do, backward overwrites and never accumulates
        gradients = net.backward(trace, loss, y)  # 4. backward
        optimizer.step(net, gradients)  # 5. update the parameters

        fused_value = fused.train_step(x, y, loss, fused_optimizer)  # the same in one call

        assert value == fused_value
        assert np.array_equal(net.parameters, fused.parameters)
        if epoch % 20 == 0:
            print(f"step {epoch:2}: loss {value:.6f}, |dl/dW1| {norm(gradients.weights[0]):.6f}")
    print(f"after 100 steps: loss {loss(net(x), y):.6f}; apart and fused, the bits are the same")


def norm(array: np.ndarray) -> float:
    """Euclidean norm of all entries."""
    return float(np.linalg.norm(array))


if __name__ == "__main__":
    main()
