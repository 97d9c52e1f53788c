# SPDX-License-Identifier: BSD-3-Clause
"""Fits data of some size within a limit, and prints what the kernel counted.

Usage: bounded.py KIND MEGABYTES_OF_DATA MEGABYTES_ALLOWED FILE. For ``arrays`` the peak of the
resident memory, in bytes, less the data. For ``memmap`` and ``batches`` no more private memory is
given than allowed (RLIMIT_DATA, which does not count a mapped file); too little is a MemoryError.
"""

import resource
import sys

import numpy as np

import mlpcore

KIND, FILE = sys.argv[1], sys.argv[4]
MIB = 2**20
N_BYTES, ALLOWED = int(sys.argv[2]) * MIB, int(sys.argv[3]) * MIB
N_COLUMNS = 784
N_ROWS = N_BYTES // (4 * N_COLUMNS)
BATCH = 1024


def make_trainer():
    net = mlpcore.MLP([N_COLUMNS, 256, 128, 10], seed=0)
    return mlpcore.Trainer(net, "cross_entropy", mlpcore.Adam(), 128, seed=0)


def of_status(name):
    """Bytes; getrusage's peak includes what the process was before it became this program."""
    with open("/proc/self/status", encoding="ascii") as file:
        (line,) = (line for line in file if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


def limit():
    now = of_status("VmData")
    resource.setrlimit(resource.RLIMIT_DATA, (now + ALLOWED, now + ALLOWED))


def batches():
    rng = np.random.default_rng(0)
    for _ in range(N_ROWS // BATCH):
        x = rng.random((BATCH, N_COLUMNS), dtype=np.float32)
        yield x, np.arange(BATCH) % 10


trainer = make_trainer()
small = np.zeros((2, N_COLUMNS), np.float32)
make_trainer().fit([(small, np.arange(2))], epochs=1)  # imports
if KIND == "arrays":
    x = np.empty((N_ROWS, N_COLUMNS), np.float32)
    np.random.default_rng(0).random(out=x, dtype=np.float32)
    y = np.arange(N_ROWS) % 10
    trainer.fit(x, y, epochs=1)
    print(of_status("VmHWM") - x.nbytes)
elif KIND == "memmap":
    # A file of holes: zeros that take no disk.
    np.memmap(FILE, np.float32, "w+", shape=(N_ROWS, N_COLUMNS)).flush()
    x = np.memmap(FILE, np.float32, "r", shape=(N_ROWS, N_COLUMNS))
    y = np.arange(N_ROWS) % 10
    limit()
    trainer.fit(x, y, epochs=1)
else:
    limit()
    trainer.fit(batches, epochs=1)
