# SPDX-License-Identifier: BSD-3-Clause
"""Ctrl-C at any moment of `fit`, in a process of its own: whole updates, soon, and it goes on.

The process keeps a twin that makes the same updates one by one, undisturbed. After each Ctrl-C it
lets the twin catch up and compares every bit.
"""

import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

SOAK = [pytest.mark.soak, pytest.mark.timing, pytest.mark.timeout(3600)]
PROGRAM = Path(__file__).with_name("interrupted.py")
KINDS = (
    *("tiny", "rows", "bounded rows", "wide", "threads"),
    *("callable", "blocks", "batches", "validation"),
)
# What is promised; and what is allowed where other tests run beside this one.
PROMISED, ANY = 0.1, 60.0

pytestmark = pytest.mark.skipif(os.name == "nt", reason="Ctrl-C reaches no single process there")


def interrupt(kind, n_interrupts, seed, allowed, folder):
    """Send SIGINT so many times; how long each took to come out of `fit`."""
    generator = random.Random(seed)
    command = [sys.executable, PROGRAM, kind, folder]
    delays = []
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        for n_left in reversed(range(n_interrupts)):
            assert process.stdout.readline() == "fits\n"
            time.sleep(generator.uniform(0.0, 0.05))
            sent = time.clock_gettime(time.CLOCK_MONOTONIC)
            process.send_signal(signal.SIGINT)
            line = process.stdout.readline().split()
            assert line[0] == "same", line
            delays.append(float(line[1]) - sent)
            if n_left > 0:
                process.stdin.write("again\n")
                process.stdin.flush()
        process.stdin.close()
        assert process.stdout.read() == "finished\n"
    assert process.returncode == 0
    assert max(delays) < allowed
    return delays


@pytest.mark.parametrize("kind", KINDS)
def test_ctrl_c_leaves_whole_updates(kind, tmp_path):
    interrupt(kind, 3, 0, ANY, tmp_path)


@pytest.mark.parametrize("kind", [pytest.param(kind, marks=SOAK) for kind in KINDS])
def test_ctrl_c_200_times_within_100_ms(kind, tmp_path):
    interrupt(kind, 200, 1, PROMISED, tmp_path)
