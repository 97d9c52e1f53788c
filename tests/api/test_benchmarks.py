# SPDX-License-Identifier: BSD-3-Clause
"""``python -m benchmarks`` checks what it times; no duration is asserted here."""

import importlib
import itertools
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import mlpcore

ROOT = Path(__file__).parents[2]
COMPILER = os.environ.get("CC", "cc").split()[0]

needs_compiler = pytest.mark.skipif(
    shutil.which(COMPILER) is None, reason="machine.c needs a C compiler"
)


@pytest.fixture
def benchmark(monkeypatch):
    """A module of the benchmarks by its name; the package is not installed."""
    monkeypatch.syspath_prepend(ROOT)
    n_threads = mlpcore.get_n_threads()  # which a benchmark sets before each slice
    yield lambda name: importlib.import_module(f"benchmarks.{name}")
    mlpcore.set_n_threads(n_threads)


@pytest.fixture
def case(benchmark):
    """One net of few parameters, with every job."""
    return benchmark("cases").CASES[1]


class FakeMachine:
    """Limits that are known, so that shares of them can be checked."""

    n_threads = 1

    def flops(self):
        return 1e9

    def read(self, n_bytes):
        return 1e9

    def update(self, n_bytes):
        return n_bytes / 1e9

    def level_of(self, n_bytes):
        return "L1"

    def typical_bytes(self, level):
        return 1 << 14


@pytest.fixture
def bench(benchmark):
    """mlpcore beside NumPy, as short as can be."""
    timing = benchmark("timing")
    peers = {name: benchmark("peers").load(name) for name in ("mlpcore", "numpy")}
    clock = timing.Clock(FakeMachine())
    return benchmark("measure").Bench(clock, peers, timing.Budget(2, 1e-6))


@pytest.fixture
def run(benchmark, bench, case):
    """Results of every question, on tiny nets."""
    cases = benchmark("cases")
    results = [
        *bench.compare(case),
        *bench.compare(case._replace(size_class="large"), ["forward", "adam_step"]),
        *bench.compare(case._replace(size_class="row", batch_size=1), ["forward"]),
        *bench.compare(case._replace(size_class="small"), ["sgd_step"]),
        *bench.derivatives(case._replace(size_class="row", batch_size=1)),
        *bench.activations(case, ["forward"]),
        *bench.odd(cases.ODD_CASES[-1], ["forward"]),
    ]
    facts = {
        "date": "2026-01-01",
        "processor": "a processor",
        "caches": {"L1": 1 << 15},
        "vector_bits": 512,
        "n_threads": 1,
        "system": "a system",
        "python": "3.11",
        "compiler": "a compiler",
        "peers": {"mlpcore": "0.1", "NumPy": "2.4"},
        "names": {"mlpcore": "mlpcore", "numpy": "NumPy"},
        "absent": {"jax": "No module named 'jax'"},
    }
    return benchmark("report").Run(facts, {"flops": 1e9, "L1": 1e9}, results)


# ---- verified before it is timed -----------------------------------------------------------------


@pytest.mark.parametrize("name", ["mlpcore", "numpy", "sklearn"])
@pytest.mark.parametrize("loss", ["mse", "cross_entropy", "bce"])
def test_peers_agree_with_the_reference(benchmark, case, name, loss):
    if name == "sklearn":
        pytest.importorskip("sklearn")
    verify = benchmark("verify")
    changes = {"loss": loss}
    if loss == "bce":
        changes |= {"hidden_activation": "sigmoid", "output_activation": "sigmoid"}
    elif loss == "mse":
        changes |= {"hidden_activation": "tanh", "sizes": (2, 20, 1)}
    changed = case._replace(**changes)
    net = benchmark("peers").load(name)(changed, 1)
    jobs = (*benchmark("work").JOBS, *benchmark("work").DERIVATIVES)
    assert {*net.jobs, *net.derivative_jobs} <= set(jobs)
    verify.verify(net, jobs, verify.Expected(changed))


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:DeprecationWarning")
@pytest.mark.parametrize("name", ["torch", "jax", "onnxruntime"])
def test_large_peers_agree_with_the_reference(benchmark, case, name):
    peers, verify = benchmark("peers"), benchmark("verify")
    classes, absent = peers.load_all((name,))
    if name in absent:
        pytest.skip(absent[name])
    jobs = (*benchmark("work").JOBS, *benchmark("work").DERIVATIVES)
    for changed in (case, case._replace(sizes=(3, 20, 5), loss="cross_entropy")):
        verify.verify(classes[name](changed, 1), jobs, verify.Expected(changed))


@pytest.mark.parametrize(
    "job", ["forward", "call", "value_and_grad", "sgd_step", "adam_step", "sgd_epoch", "adam_epoch"]
)
@pytest.mark.parametrize("name", ["mlpcore", "numpy"])
def test_a_wrong_result_is_not_timed(benchmark, monkeypatch, bench, case, name, job):
    net = bench.peers[name]
    right = getattr(net, job)

    def wrong(self, *arguments):
        result = right(self, *arguments)
        if job.endswith(("step", "epoch")):
            self.parameters[...] += np.float32(0.01)
            return result
        return tuple(1.2 * part for part in result) if isinstance(result, tuple) else 1.2 * result

    monkeypatch.setattr(net, job, wrong)
    with pytest.raises(RuntimeError, match="differs"):
        list(bench.compare(case, [job]))


@pytest.mark.parametrize("job", ["jacobian", "value_and_jacobian", "hvp", "gradient_norms"])
def test_a_wrong_derivative_is_not_timed(monkeypatch, bench, case, job):
    net = bench.peers["mlpcore"]
    right = getattr(net, job)

    def wrong(self, *arguments):
        result = right(self, *arguments)
        return (result[0], 1.2 * result[1]) if isinstance(result, tuple) else 1.2 * result

    assert len(list(bench.derivatives(case, [job]))) == 1
    monkeypatch.setattr(net, job, wrong)
    with pytest.raises(RuntimeError, match=f"the result of {job} of mlpcore differs"):
        list(bench.derivatives(case, [job]))


@pytest.mark.parametrize("part", [1, 2])
def test_each_part_of_a_gradient_is_checked(monkeypatch, bench, case, part):
    net = bench.peers["numpy"]
    right = net.value_and_grad

    def wrong(self, *arguments):
        result = list(right(self, *arguments))
        result[part] = np.zeros_like(result[part])
        return tuple(result)

    monkeypatch.setattr(net, "value_and_grad", wrong)
    with pytest.raises(RuntimeError, match="differs"):
        list(bench.compare(case, ["value_and_grad"]))


# ---- how much work it is -------------------------------------------------------------------------


def counted_by_hand(case, backward, of_inputs):
    """Multiplications and additions of plain loops over rows, outputs and inputs."""
    count = 0
    for _, layer in itertools.product(range(case.batch_size), enumerate(case.layers)):
        i, (n_inputs, n_outputs) = layer
        for _, _ in itertools.product(range(n_inputs), range(n_outputs)):
            count += 2  # the output
            if backward:
                count += 2  # the weight's gradient
            if backward and (i > 0 or of_inputs):
                count += 2  # the input's gradient
    return count


@pytest.mark.parametrize("job", ["forward", "call", "value_and_grad", "sgd_step", "adam_epoch"])
def test_flops(benchmark, case, job):
    three_layers = case._replace(sizes=(3, 5, 4, 2), batch_size=7)
    by_hand = counted_by_hand(three_layers, job not in ("forward", "call"), job == "value_and_grad")
    assert benchmark("work").flops(three_layers, job) == by_hand


def test_flops_of_derivatives(benchmark, case):
    flops = benchmark("work").flops
    net = case._replace(sizes=(3, 5, 4, 2), batch_size=7)  # products of 15, 20 and 8
    assert flops(net, "jacobian") == flops(net, "value_and_jacobian") == 2 * 7 * (43 + 2 * 35)
    assert flops(net._replace(sizes=(2, 4, 5, 3)), "jacobian") == 2 * 7 * (43 + 2 * 35)
    # Forward 2 and a change of the input; back 1, its change 2; the weights 2. Of the first layer
    # the two products forward but for that change, and one for the weights.
    assert flops(net, "hvp") == 2 * 7 * (8 * (20 + 8) + 3 * 15)
    assert flops(net, "gradient_norms") == 2 * 7 * (2 * (20 + 8) + 15)


def test_parameters_and_steps(benchmark, case):
    work, verify = benchmark("work"), benchmark("verify")
    assert work.n_parameters(case) == verify.initial_parameters(case).size
    for any_case in benchmark("cases").CASES:
        assert 2 <= work.n_epoch_steps(any_case) <= 512


def test_sizes_are_rounded_up(benchmark):
    rounded_up = benchmark("cases").rounded_up
    assert [rounded_up(n) for n in (1, 2, 3, 5, 32, 33, 64, 257, 1000)] == [
        *(1, 2, 4, 8, 32, 64, 64, 288, 1024)
    ]
    for case in benchmark("cases").ODD_CASES:
        assert benchmark("cases").neighbour(case).sizes != case.sizes


# ---- timing --------------------------------------------------------------------------------------


def test_every_job_is_timed_for_all(benchmark, bench, case):
    jobs = benchmark("work").JOBS
    results = list(bench.compare(case))
    assert [result.job for result in results] == list(jobs)
    for result in results:
        assert {"mlpcore", "numpy"} <= set(result.timings)
        for timing in result.timings.values():
            assert 0 < timing.lower_quartile <= timing.median <= timing.upper_quartile
        flops = benchmark("work").flops(case, result.job)
        assert result.share == pytest.approx(flops / result.seconds / 1e9)


def test_several_threads_are_held_against_one(benchmark, monkeypatch, case):
    timing, measure = benchmark("timing"), benchmark("measure")
    monkeypatch.setattr(timing, "PAUSE_SECONDS", 0.0)
    monkeypatch.setattr(FakeMachine, "n_threads", 2)
    peers = {"mlpcore": benchmark("peers").load("mlpcore")}
    bench = measure.Bench(timing.Clock(FakeMachine()), peers, timing.Budget(2, 1e-6))
    (result,) = bench.compare(case._replace(size_class="large"), ["sgd_step"])
    (finding,) = (f for f in benchmark("bars").findings([result]) if f.table == "threads")
    speed_up = result.timings[measure.ONE_THREAD].median / result.seconds
    assert (finding.value, finding.bar) == (speed_up, 1.9)


def test_a_peer_without_a_job_or_an_activation_is_left_out(bench, benchmark, case):
    gelu = case._replace(hidden_activation="gelu")
    (result,) = bench.compare(gelu, ["forward"])
    assert result.ratios == {}


def test_disturbed_rounds_are_measured_again(benchmark):
    timing = benchmark("timing")
    # The peak of three rounds; in the second, it falls to half.
    peaks = iter([1.0] * 6 + [0.5] * 6 + [1.0] * 100)

    class Machine(FakeMachine):
        def flops(self):
            return next(peaks)

    clock = timing.Clock(Machine())
    entries = {"a": timing.Entry(lambda: sum(range(50)))}
    timed = clock.interleave(entries, timing.Budget(4, 1e-6), {})
    assert timed.n_disturbed >= 1
    assert timed.timings["a"].median > 0
    assert timed.limits["flops"] == 1.0


def test_absent_peers_are_named(benchmark, monkeypatch):
    monkeypatch.setitem(sys.modules, "jax", None)
    monkeypatch.delitem(sys.modules, "benchmarks.peers.jax_net", raising=False)
    classes, absent = benchmark("peers").load_all(("numpy", "jax"))
    assert list(classes) == ["mlpcore", "numpy"]
    assert "jax" in absent["jax"]


@needs_compiler
@pytest.mark.parametrize("n_threads", [1, 2])
def test_machine(benchmark, n_threads):
    machine = benchmark("machine").Machine(n_threads)
    assert machine.flops() > 0
    assert machine.read(1 << 16) > 0
    assert machine.update(1 << 16) > 0
    assert machine.level_of(1 << 10) in benchmark("machine").LEVELS
    assert machine.level_of(1 << 40) == "DRAM"


@needs_compiler
def test_machine_compiles_without_a_warning(tmp_path):
    source = ROOT / "benchmarks" / "machine.c"
    flags = ["-std=gnu11", "-O2", "-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror"]
    command = [COMPILER, *flags, "-c", "-o", tmp_path / "machine.o", source]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


# ---- reports -------------------------------------------------------------------------------------


def test_bars(benchmark, run):
    found = list(benchmark("bars").findings(run.results))
    tables = [finding.table for finding in found]
    assert set(tables) == {"large", "small", "tiny", "row", "derivatives", "activations", "odd"}
    forward = next(f for f in found if f.table == "large")
    assert forward.reached is (forward.value >= 0.9495)  # as printed, 95.0 %
    worse = forward._replace(value=0.5)
    better = forward._replace(value=0.97)
    assert (worse.reached, better.reached) == (False, True)
    assert worse._replace(at_least=False).reached


def test_bars_of_derivatives(benchmark, run):
    timing, bars = benchmark("timing").Timing, benchmark("bars")
    by_job = {result.job: result for result in run.results if result.question == "derivatives"}

    def found(job, **seconds):
        timings = {name.replace("_", ", "): timing(*[value] * 3) for name, value in seconds.items()}
        result = by_job[job]._replace(timings=timings)
        return {
            finding.what: (finding.value, finding.reached) for finding in bars.findings([result])
        }

    beside = "the time of the fastest peer, jax"
    assert found("jacobian", mlpcore=1e-6, jax=6e-6, torch=9e-6) == {beside: (6.0, True)}
    assert found("jacobian", mlpcore=1e-6, jax=4e-6) == {beside: (4.0, False)}
    value = found("value_and_jacobian", mlpcore=3.1e-6)
    assert value == {"value and Jacobian in one call": (3.1e-6, False)}
    cost = found("hvp", mlpcore=3e-6, mlpcore_gradient=1e-6)
    assert cost == {"the time of a gradient": (pytest.approx(3.0), True)}


def test_lost_rows_are_named(benchmark, run):
    tables = benchmark("tables")
    slower = {"mlpcore": 2.0, "numpy": 1.0}
    timing = benchmark("timing").Timing
    result = run.results[0]._replace(
        timings={name: timing(*[seconds] * 3) for name, seconds in slower.items()}
    )
    lines = list(tables.lost_lines([result]))
    assert "1," in lines[0]
    assert lines[-1].endswith("numpy 0.50")
    swapped = dict(zip(slower, reversed(result.timings.values()), strict=True))
    faster = result._replace(timings=swapped)
    assert list(tables.lost_lines([faster])) == [
        "No row is lost: in each of them mlpcore is faster than every peer that was measured."
    ]


def test_text(benchmark, run):
    results, run.results = run.results, []
    lines = list(benchmark("report").text(run, results))
    assert run.results == results
    assert any("not measured: jax" in line for line in lines)
    assert sum("of the FMA peak" in line for line in lines) == 2


def test_json_comes_back(benchmark, run, tmp_path):
    run.points = [benchmark("sweep").Point("width", 1, "forward", 1, 1e-6, 512, 1e9, True)]
    run.save(tmp_path / "run.json")
    json.loads((tmp_path / "run.json").read_text())
    assert benchmark("report").Run.load(tmp_path / "run.json") == run


def test_document(benchmark, run, tmp_path):
    pytest.importorskip("matplotlib")
    sweep = benchmark("sweep")
    seconds = {1: 1e-6, 2: 3e-6, 3: 4e-6}
    run.points = [
        sweep.Point("width", n, job, 1, seconds[n], 512 * n, 1e9, steady=True)
        for job in sweep.JOBS
        for n in seconds
    ]
    assert [(a.size, b.size) for a, b in sweep.steps(run.points)] == [(1, 2), (1, 2)]
    run.points.append(run.points[-1]._replace(size=4, seconds=1.0, steady=False))
    assert len(sweep.steps(run.points)) == 2
    document = benchmark("document").Document([run])
    page = (ROOT / "docs" / "benchmarks.md").read_text(encoding="utf-8")
    filled = document.fill(page)
    assert "| 2-20-5 | 32 |" in filled
    assert "width 1 to 2" in filled
    assert document.fill(filled) == filled
    document.draw(tmp_path)
    pictures = sorted(path.name for path in tmp_path.iterdir())
    assert pictures == ["benchmarks-1-thread.png", "benchmarks-sweeps.png"]
    assert all(f"]({name})" in filled for name in pictures)
    with pytest.raises(ValueError, match="measured: expected"):
        document.fill("<!-- measured: nothing -->\n<!-- end -->")


def test_sweeps_cover_what_they_say(benchmark):
    sweep = benchmark("sweep")
    for name, last in (("width", 4096), ("batch", 65536), ("depth", 64)):
        sizes = [size for size, _ in sweep.cases(name)]
        assert sizes == sorted(set(sizes))
        assert (sizes[0], sizes[-1]) == (1, last)


@needs_compiler
def test_the_command_runs(tmp_path):
    path = tmp_path / "run.json"
    command = [sys.executable, "-m", "benchmarks", "--peers", "numpy", "--only", "2-20-5"]
    result = subprocess.run(
        [*command, "--save", path], cwd=ROOT, capture_output=True, text=True, timeout=100
    )
    assert result.returncode == 0, result.stderr
    assert "FMA peak" in result.stdout
    assert len(json.loads(path.read_text())["results"]) == 5


# ---- whole fits ----------------------------------------------------------------------------------


@pytest.fixture
def fits(benchmark, monkeypatch):
    """The module, with a fit that takes no time."""
    module = benchmark("fits")
    short = module.FITS["digits"]._replace(n_rows=200, n_epochs=3)
    monkeypatch.setitem(module.FITS, "digits", short)
    monkeypatch.setattr(module, "N_TIMES", 1)
    monkeypatch.setattr(module, "N_SECONDS", 0.0)
    return module


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


@needs_proc
@pytest.mark.parametrize("name", ["sklearn", "torch", "torch_compile", "jax"])
def test_a_fit_by_a_peer_ends_where_mlpcores_does(fits, name):
    pytest.importorskip(name.partition("_")[0])
    ours, others = (fits.work(one, "digits", 1) for one in ("mlpcore", name))
    tolerance = fits.OWN_DRAWS_FACTOR if name == "sklearn" else 1.0 + fits.LOSS_TOLERANCE
    assert 1.0 / tolerance < others.loss / ours.loss < tolerance
    assert others.peak_bytes > 0


@needs_proc
def test_a_fit_learns_the_rows_in_the_orders_that_are_given(fits, benchmark):
    fit = fits.FITS["digits"]
    x, y = fits.make_rows(fit)
    assert x.ctypes.data % 64 == 0
    net = mlpcore.MLP(list(fit.case.sizes), fit.case.activations)
    net.parameters[:] = benchmark("verify").initial_parameters(fit.case)
    adam = mlpcore.Adam(fits.LEARNING_RATE)
    for order in fits.orders(fit):
        for start in range(0, len(order), fit.case.batch_size):
            rows = order[start : start + fit.case.batch_size]
            net.train_step(x[rows], y[rows], "cross_entropy", adam)
    expected, _ = net.value_and_grad(x, y, "cross_entropy")
    assert fits.work("mlpcore", "digits", 1).loss == pytest.approx(expected, rel=1e-6)


def test_another_loss_is_no_figure(fits, benchmark, run, monkeypatch, tmp_path):
    ours = fits.Fitted("mlpcore", "64-64-10", 32, 200, 3, 1, 0.001, 0.5, 10**7)
    answers = {
        "mlpcore": ours,
        "sklearn": ours._replace(name="sklearn", seconds=0.02, loss=0.9),
        "torch": ours._replace(name="torch", seconds=0.01, loss=0.505),
    }

    def answer(command, **options):
        line = json.dumps(answers[command[3]]._asdict())
        return subprocess.CompletedProcess(command, 0, f"a warning\n{line}\n", "")

    monkeypatch.setattr(fits.subprocess, "run", answer)
    run.facts["names"] |= {"sklearn": "scikit-learn", "torch": "PyTorch"}
    measured = fits.measure("digits", ("sklearn", "torch"), 1)
    lines = list(benchmark("report").fits_text(run, measured))
    assert run.fits == list(answers.values())
    assert any("scikit-learn" in line and "20.00" in line for line in lines)
    run.save(tmp_path / "run.json")
    assert benchmark("report").Run.load(tmp_path / "run.json") == run
    assert "| PyTorch | 10 | 10.00 |" in benchmark("document").Document([run]).block("fits")
    answers["torch"] = answers["torch"]._replace(loss=0.53)
    with pytest.raises(RuntimeError, match=r"digits: the loss after the fit is 0\.53 by torch"):
        list(fits.measure("digits", ("torch",), 1))
