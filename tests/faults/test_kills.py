# SPDX-License-Identifier: BSD-3-Clause
"""kill -9 of what trains or writes a file over another one: the old one is there, or the new one,
whole, and a trainer that is loaded goes on with the bits of one that nothing happened to.
"""

import os
import random
import re
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import mlpcore

SOAK = [pytest.mark.soak, pytest.mark.timeout(3600)]
TEMPORARY = re.compile(r"\.kept\.[0-9a-f]{16}\.tmp")

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork"),
    # CPython 3.12 and later: the workers of other tests are threads.
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def a_net(seed):
    # 900 kB: some write calls, and a time that a kill can fall into.
    return mlpcore.MLP([784, 256, 128, 10], seed=seed)


def a_trainer(seed):
    trainer = mlpcore.Trainer(a_net(seed), "mse", mlpcore.Adam(1e-3), seed=seed)
    rng = np.random.default_rng(seed)
    x = rng.standard_normal((40, 784)).astype(np.float32)
    trainer.fit(x, x[:, :10], epochs=2)
    return trainer


def save_net(seed):
    net = a_net(seed)
    return lambda path: mlpcore.save(net, path)


def save_trainer(seed):
    trainer = a_trainer(seed)
    return lambda path: trainer.save(path)


def parameters_of(path, kind):
    if kind == "net":
        return mlpcore.load(path).parameters
    trainer = mlpcore.Trainer.load(path)
    parts = [trainer.net.parameters, trainer.optimizer.first_moment]
    return np.concatenate([*parts, trainer.optimizer.second_moment])


def write_until_killed(savers, path):
    """A child that saves both by turns for ever; its process id."""
    child = os.fork()
    if child == 0:
        try:
            while True:
                for save in savers:
                    save(path)
        finally:
            os._exit(1)  # only a failure comes here
    return child


@pytest.mark.parametrize("kind", ["net", "trainer"])
@pytest.mark.parametrize("n_kills", [40, pytest.param(1000, marks=SOAK)])
def test_a_file_is_the_old_one_or_the_new_one(kind, n_kills, tmp_path):
    make = {"net": save_net, "trainer": save_trainer}[kind]
    savers = [make(0), make(1)]
    contents, parameters = [], []
    for number, save in enumerate(savers):
        save(tmp_path / f"{number}")
        contents.append((tmp_path / f"{number}").read_bytes())
        parameters.append(parameters_of(tmp_path / f"{number}", kind).tobytes())
    assert contents[0] != contents[1]
    start = time.perf_counter()
    for save in savers:
        save(tmp_path / "kept")
    duration = (time.perf_counter() - start) / 2

    generator = random.Random(0)
    folder = tmp_path / "folder"
    folder.mkdir()
    path = folder / "kept"
    savers[1](path)
    seen, n_cut, longest = set(), 0, 4 * duration
    for i in range(n_kills):
        if i % 10 == 9 and seen != {0, 1}:  # a fork is slow to begin on a busy machine
            longest *= 2
        child = write_until_killed(savers, path)
        time.sleep(generator.uniform(0.0, longest))
        os.kill(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        assert os.WIFSIGNALED(status)
        assert os.WTERMSIG(status) == signal.SIGKILL
        which = contents.index(path.read_bytes())
        assert parameters_of(path, kind).tobytes() == parameters[which]
        seen.add(which)
        left = [name for name in os.listdir(folder) if name != "kept"]
        n_cut += bool(left)
        for name in left:
            assert TEMPORARY.fullmatch(name)
            (folder / name).unlink()
    # Both were met, and some kills did fall into a writing.
    assert seen == {0, 1}
    assert n_cut >= n_kills // 10


@pytest.mark.parametrize("n_bytes", [0, 1, 5000, 700_000])
@pytest.mark.parametrize("make", [save_net, save_trainer])
def test_a_disk_that_is_full_leaves_the_old_file(make, n_bytes, tmp_path):
    path = tmp_path / "kept"
    old, new = make(0), make(1)
    old(path)
    before = path.read_bytes()
    child = os.fork()
    if child == 0:
        # Python ignores SIGXFSZ: a write beyond the limit is an OSError, as on a full disk.
        import resource

        resource.setrlimit(resource.RLIMIT_FSIZE, (n_bytes, n_bytes))
        try:
            new(path)
        except OSError as error:
            os._exit(0 if error.filename == str(path) else 2)
        finally:
            os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["kept"]


# Saves after each epoch and says so; then it waits for a line, or for the end of them.
TRAINING = """
import sys
import numpy as np
import mlpcore

def save(state):
    state.trainer.save(path)
    print("saved", flush=True)
    sys.stdin.readline()

path, n_epochs = sys.argv[1], int(sys.argv[2])
rng = np.random.default_rng(1)
x = rng.standard_normal((256, 3)).astype(np.float32)
try:
    trainer = mlpcore.Trainer.load(path)
except FileNotFoundError:
    net = mlpcore.MLP([3, 64, 2], seed=0)
    trainer = mlpcore.Trainer(net, "mse", mlpcore.Adam(1e-3), dropout=0.2, seed=5)
print("ready", flush=True)
trainer.fit(x, np.sin(x[:, :2]), epochs=n_epochs - trainer.n_epochs, callbacks=[save])
print(trainer.n_epochs, trainer.net.parameters.tobytes().hex())
"""
MAX_EPOCHS = 3  # that a process says it saved before it is killed in the next one


def train(path, n_epochs, **options):
    command = [sys.executable, "-c", TRAINING, path, str(n_epochs)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, **options)


def train_and_kill(path, n_epochs, n_told, delay):
    """Kill the program so long after it said so many times that it saved."""
    with train(path, n_epochs, stdin=subprocess.PIPE) as process:
        assert process.stdout.readline() == "ready\n"
        for _ in range(n_told):
            assert process.stdout.readline() == "saved\n"
            process.stdin.write("go on\n")
            process.stdin.flush()
        time.sleep(delay)
        process.kill()


def train_to_the_end(path, n_epochs):
    with train(path, n_epochs, stdin=subprocess.DEVNULL) as process:
        printed = process.stdout.read().splitlines()
    assert process.returncode == 0
    return printed[-1]


@pytest.mark.parametrize("n_kills", [8, pytest.param(1000, marks=SOAK)])
def test_training_goes_on_where_it_was_killed(n_kills, tmp_path):
    path = tmp_path / "killed"
    n_epochs = n_kills * (MAX_EPOCHS + 1) + 1  # some are left, whatever was saved
    generator = random.Random(0)
    n_saved = 0
    for _ in range(n_kills):
        n_told = generator.randint(0, MAX_EPOCHS)
        train_and_kill(path, n_epochs, n_told, generator.uniform(0.0, 0.03))
        # A process that is killed in its first epoch may have written nothing.
        n_found = mlpcore.Trainer.load(path).n_epochs if path.exists() else 0
        assert n_saved + n_told <= n_found <= n_saved + n_told + 1
        n_saved = n_found
    assert n_saved > 0
    assert train_to_the_end(path, n_epochs) == train_to_the_end(tmp_path / "other", n_epochs)
