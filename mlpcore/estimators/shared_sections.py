# SPDX-License-Identifier: BSD-3-Clause
"""What the docstrings of both estimators say: their parameters and attributes, told once."""

from __future__ import annotations

from typing import TypeVar

Estimator = TypeVar("Estimator", bound=type)

OF_SCIKIT_LEARN = """\
hidden_layer_sizes : sequence of int or int, default=(100,)
    Units of each hidden layer.
activation : {"identity", "logistic", "tanh", "relu"}, default="relu"
    Of every hidden layer; `hidden_activations` knows more.
solver : {"lbfgs", "sgd", "adam"}, default="adam"
    What makes the updates. ``"lbfgs"`` takes all rows at once and needs SciPy.
alpha : float, default=0.0001
    L2 penalty: alpha / 2 times the squares of all weights, not of the biases, divided by the
    rows of a batch, or by their weights.
batch_size : int or "auto", default="auto"
    Rows of a mini-batch; ``"auto"`` is 200, or all if there are fewer.
learning_rate : {"constant", "invscaling", "adaptive"}, default="constant"
    How ``"sgd"`` changes the rate: never; to ``learning_rate_init / (rows seen)**power_t``
    after each epoch; or to a fifth when more than `n_iter_no_change` epochs in a row are no
    better.
learning_rate_init : float, default=0.001
    The first rate.
power_t : float, default=0.5
    Of ``"invscaling"``.
max_iter : int, default=200
    Epochs, or iterations of ``"lbfgs"``, at most.
shuffle : bool, default=True
    Whether each epoch takes the rows in a new order.
random_state : int, RandomState or None, default=None
    Where the first weights, the order of the rows, held-out rows and dropout come from. The
    first weights are those of scikit-learn for the same `random_state`.
tol : float, default=0.0001
    An epoch that improves by less counts as none.
verbose : bool or int, default=False
    Whether to print a line for each epoch.
warm_start : bool, default=False
    Whether `fit` goes on where the last one ended: with its weights, moments, learning rate and
    count of epochs. ``fit`` of a and then of b epochs leaves the bits of one of a + b.
momentum : float, default=0.9
    Of ``"sgd"``.
nesterovs_momentum : bool, default=True
    Of ``"sgd"``.
early_stopping : bool, default=False
    Whether a score of held-out rows decides when to stop, in place of the training loss; the
    weights with the best score are kept. Not for ``"lbfgs"``, which takes no notice of it.
validation_fraction : float, default=0.1
    Share of the rows that `early_stopping` holds out; of classes, the same share of each.
beta_1, beta_2 : float, default=0.9 and 0.999
    Of ``"adam"``.
epsilon : float, default=1e-8
    Of ``"adam"``.
n_iter_no_change : int or inf, default=10
    Epochs without improvement that are allowed.
max_fun : int, default=15000
    Evaluations of the loss by ``"lbfgs"``, at most.
"""

HIDDEN_ACTIVATIONS = """\
hidden_activations : sequence of str or str, optional
    The activation of each hidden layer, or of all, in place of `activation`: the four above and
    ``leaky_relu elu gelu silu softplus``.
"""

OF_THE_TRAINER = """\
dropout : float or sequence of float, default=0.0
    Which share of a hidden layer's outputs a step leaves out, for all or for each of them.
l1 : float, default=0.0
    L1 penalty: l1 times the absolute values of all weights, divided as that of `alpha`.
clip_norm : float, optional
    The longest gradient of a step; a longer one is scaled to it.
schedule : Schedule or callable, optional
    How the learning rate changes, one of `mlpcore.schedules`; with a constant `learning_rate`.
callbacks : list or tuple of callable, default=()
    Each is called with a `mlpcore.callbacks.EpochState` after every epoch; True stops.
dtype : {"float32", "float64"}, optional
    Precision of the net and of what it gives; None keeps float32, and takes float64 for all
    other data.
n_threads : int, optional
    Threads at work; None takes `mlpcore.get_n_threads()`. No result depends on it.
"""

NET = """\
net_ : MLP
    The net, which can be asked for anything that a net can; `coefs_` and `intercepts_` are
    views of its parameters.
history_ : History
    A row for each epoch.
coefs_, intercepts_ : list of numpy.ndarray
    Weights (n_inputs, n_outputs) and biases (n_outputs,) of each layer, live.
"""

CURVES = """\
loss_curve_ : list of float
    Loss of each epoch, with the penalties; `loss_` is the last one.
best_loss_ : float or None
    The lowest one; None with `early_stopping`.
"""

COUNTS = """\
n_iter_ : int
    Epochs of the last `fit`.
t_ : int
    Rows seen, over all epochs.
n_layers_, n_outputs_ : int
    Layers, with the inputs; outputs of the net.
out_activation_ : str
    The activation of the output, by scikit-learn's name.
n_features_in_ : int
    Columns.
feature_names_in_ : numpy.ndarray of shape (D,)
    Their names, where `fit` was given a frame.
"""

SECTIONS = {
    "{of_scikit_learn}": OF_SCIKIT_LEARN,
    "{hidden_activations}": HIDDEN_ACTIVATIONS,
    "{of_the_trainer}": OF_THE_TRAINER,
    "{net}": NET,
    "{curves}": CURVES,
    "{counts}": COUNTS,
}


def with_shared_sections(estimator: Estimator) -> Estimator:
    """Put the sections in the places of the docstring, a line each, that have their names."""
    if estimator.__doc__ is not None:  # python -OO drops it
        lines = estimator.__doc__.splitlines()
        for name, section in SECTIONS.items():
            at = lines.index(f"    {name}")
            lines[at : at + 1] = [f"    {line}" for line in section.splitlines()]
        estimator.__doc__ = "\n".join(lines)
    return estimator
