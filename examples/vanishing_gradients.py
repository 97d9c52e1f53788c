# SPDX-License-Identifier: BSD-3-Clause
"""Why sigmoids make deep nets hard to train: the gradient of layer 1 against the depth of the net.

The derivative of sigmoid is at most 1/4, so each layer shrinks the gradient on its way back; tanh
shrinks it where it saturates; ReLU's derivative is 0 or 1, and with weights of the right size (He
et al. 2015, https://arxiv.org/abs/1502.01852) the gradient keeps its norm. Neither the activation
nor the initialisation is enough alone.

Run: python examples/vanishing_gradients.py (needs matplotlib for the picture)
"""

import numpy as np

import mlpcore

WIDTH = 64
DEPTHS = range(2, 21)
ACTIVATIONS = ("sigmoid", "tanh", "relu")
INITS = {
    "lecun_normal": "N(0, 1/n)",
    "glorot_normal": "N(0, 2/(n + m))",
    "he_normal": "N(0, 2/n)",
}
PICTURE = "vanishing_gradients.png"


def make_net(activation: str, init: str, depth: int) -> mlpcore.MLP:
    """A net of `depth` layers for the same data, always from the same seed."""
    sizes = [WIDTH] * depth + [1]
    return mlpcore.MLP(sizes, [activation] * (depth - 1) + ["sigmoid"], init=init, seed=0)


def main() -> None:
    """Print and draw the norms, and let the diagnostic speak on the deepest nets."""
    rng = np.random.default_rng(0)
    x = rng.standard_normal((256, WIDTH), dtype=np.float32)
    y = (x[:, :1] * x[:, 1:2] > 0).astype(np.float32)

    norms = {}
    print("Norm of dl/dW1 in a net of 2, 5, 10 and 20 layers:")
    for activation in ACTIVATIONS:
        for init, formula in INITS.items():
            reports = [
                make_net(activation, init, depth).gradient_report(x, y, "bce") for depth in DEPTHS
            ]
            norms[activation, init] = [report.layers[0].grad_weight_norm for report in reports]
            shown = (f"{norms[activation, init][depth - 2]:8.1e}" for depth in (2, 5, 10, 20))
            print(f"  {activation:8} {formula:16}", *shown)

    print()
    for activation in ACTIVATIONS:
        report = make_net(activation, "lecun_normal", 20).gradient_report(x, y, "bce")
        print(f"20 layers of {activation}, N(0, 1/n): {report.diagnosis}")
    draw(norms)


def draw(norms: dict[tuple[str, str], list[float]]) -> None:
    """Save one panel for each initialisation."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        print("No picture: it needs matplotlib.")
        return
    figure = Figure(figsize=(11, 4), layout="constrained")
    for ax, (init, formula) in zip(figure.subplots(1, 3, sharey=True), INITS.items(), strict=True):
        for activation in ACTIVATIONS:
            ax.semilogy(DEPTHS, norms[activation, init], marker=".", label=activation)
        ax.set_title(f"weights from {formula}")
        ax.set_xlabel("layers")
    figure.axes[0].set_ylabel("norm of dl/dW1")
    figure.axes[0].legend()
    figure.savefig(PICTURE)
    print(f"picture: {PICTURE}")


if __name__ == "__main__":
    main()
