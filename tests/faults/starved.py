# SPDX-License-Identifier: BSD-3-Clause
"""Does one thing again and again with a little more memory, until there is enough.

Usage: starved.py KIND FOLDER. Prints how often there was too little. Each time that has to be a
MemoryError which leaves the net, the optimizer and the files as they were.
"""

import os
import resource
import sys

import numpy as np

import mlpcore

KIND, FOLDER = sys.argv[1:]
SIZES = [300, 700, 10]
FILE = os.path.join(FOLDER, "kept.safetensors")
MOST = 2**29

rng = np.random.default_rng(0)
# float64, C-ordered or not: the call has to make arrays of its own.
x, y = rng.standard_normal((8000, 300)), rng.standard_normal((8000, 10))


def make_trainer(sizes, n_threads=1):
    net = mlpcore.MLP(sizes, activations="tanh", seed=0)
    return mlpcore.Trainer(net, "mse", mlpcore.Adam(1e-3), 2000, seed=0, n_threads=n_threads)


CALLS = {
    "fit": lambda t, x, y: t.fit(x, y, epochs=1),
    "fit, threads": lambda t, x, y: t.fit(x, y, epochs=1),
    "fit, validation": lambda t, x, y: t.fit(
        *(x, y), epochs=1, validation=0.5, early_stopping=mlpcore.EarlyStopping(1)
    ),
    "step": lambda t, x, y: t.step(x, y),
    "forward": lambda t, x, y: t.net(x),
    "trace": lambda t, x, y: t.net.trace(x),
    "value_and_grad": lambda t, x, y: t.net.value_and_grad(x, y, "mse"),
    "jacobian": lambda t, x, y: t.net.jacobian(x[:800]),
    "input_hessian": lambda t, x, y: t.net.input_hessian(x[:20]),
    "per_sample_gradients": lambda t, x, y: t.net.per_sample_gradients(x[:60], y[:60], "mse"),
    "hvp": lambda t, x, y: t.net.hvp(x, y, "mse", np.ones(t.net.n_parameters)),
    "save": lambda t, x, y: mlpcore.save(t.net, FILE),
    "Trainer.save": lambda t, x, y: t.save(FILE),
    "load": lambda t, x, y: mlpcore.load(FILE),
    "Trainer.load": lambda t, x, y: mlpcore.Trainer.load(FILE),
    "copy": lambda t, x, y: t.net.copy(),
}


def state_of(trainer):
    optimizer = trainer.optimizer
    moments = [optimizer.first_moment, optimizer.second_moment]
    parts = [trainer.net.parameters, *(m for m in moments if m is not None)]
    files = {}
    for name in sorted(os.listdir(FOLDER)):
        with open(os.path.join(FOLDER, name), "rb") as file:
            files[name] = file.read()
    return [part.tobytes() for part in parts], optimizer.n_steps, list(trainer.history), files


def allow(n_bytes):
    """Let the process have so much address space more than now; None: as much as it wants."""
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    limit = hard
    if n_bytes is not None:
        with open("/proc/self/statm", encoding="ascii") as file:
            limit = int(file.read().split()[0]) * resource.getpagesize() + n_bytes
    resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


def main():
    call = CALLS[KIND]
    n_threads = 2 if KIND == "fit, threads" else 1
    small = make_trainer([300, 3, 10])
    if "load" in KIND:
        (mlpcore.save if KIND == "load" else mlpcore.Trainer.save)(
            make_trainer(SIZES).net if KIND == "load" else make_trainer(SIZES), FILE
        )
    elif "save" in KIND:
        mlpcore.save(small.net, FILE)
    if "load" not in KIND:
        # What a first call imports; it is not about that.
        CALLS[KIND](small, x[:30], y[:30])
    n_failures, n_bytes = 0, 2**14
    while True:
        trainer = make_trainer(SIZES, n_threads)
        before = state_of(trainer)
        allow(n_bytes)
        try:
            call(trainer, x, y)
        except MemoryError:
            allow(None)
            n_failures += 1
            assert state_of(trainer) == before
        else:
            allow(None)
            break
        n_bytes = int(1.5 * n_bytes)
        assert n_bytes < MOST, f"{n_bytes} bytes were not enough"
    if KIND.startswith(("fit", "step")):
        # The one that came through with little has the bits of one that had plenty.
        plenty = make_trainer(SIZES)
        call(plenty, x, y)
        assert trainer.net == plenty.net
    print(n_failures)


main()
