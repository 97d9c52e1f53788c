# SPDX-License-Identifier: BSD-3-Clause
"""Accuracy, edges and bits of the elementary functions and of the activations, on every set.

``tools/ulp.c`` measures the same errors over all float32 numbers.
"""

import math
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import mpmath as mp
import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[2]
FLAGS = [
    "-std=c11",
    "-O3",
    "-ffp-contract=off",
    "-fno-math-errno",
    "-fno-trapping-math",
    "-pthread",
]
FLAGS += ["-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror", f"-I{ROOT / 'src_c'}"]
COMPILER = os.environ.get("CC", "cc").split()
CROSS_COMPILER, EMULATOR = "aarch64-linux-gnu-gcc", "qemu-aarch64"
IS_X86 = platform.machine().lower() in ("x86_64", "amd64")
IS_ARM = platform.machine().lower() in ("arm64", "aarch64")
FUSED_ISAS = ["avx2", "avx512", "neon"]
ISAS = ["generic", *FUSED_ISAS]

FUNCTIONS = ["exp", "expm1", "log", "log1p"]
ACTIVATIONS = ["sigmoid", "tanh", "softplus", "elu", "silu", "gelu", "relu", "leaky_relu"]

# The ULP that the headers promise where there is FMA: for float32 (value, derivative), for float64
# (value, derivative).
PROMISED = {
    "exp": ((1.0, 1.0), (1.0, 1.0)),
    "expm1": ((1.5, 1.5), (1.5, 1.5)),
    "log": ((1.0, 1.0), (1.0, 1.0)),
    "log1p": ((1.0, 1.0), (1.0, 1.0)),
    "sigmoid": ((2.0, 3.0), (2.0, 3.0)),
    "tanh": ((2.0, 3.5), (2.5, 3.5)),
    "softplus": ((2.0, 2.0), (2.0, 2.0)),
    "elu": ((1.5, 1.0), (1.5, 1.0)),
    "silu": ((3.0, 4.0), (3.0, 4.0)),
    "gelu": ((5.5, 4.0), (6.0, 4.0)),
    "relu": ((0.0, 0.0), (0.0, 0.0)),
    "leaky_relu": ((1.0, 0.5), (1.0, 0.5)),
}
# Of what GELU is made of, which tools/ulp.c alone can call.
PROMISED_OF_PHI = 5.0
# Where the derivative crosses 0 its error is counted in last places of 1 / 8 instead.
ROOTS = {"silu": -1.2784645427610738, "gelu": -0.7517915246935645}
ROOT_ZONE = 0.5
ROOT_PROMISED = 5.0

pytestmark = pytest.mark.skipif(
    sys.platform == "win32", reason="the driver is compiled as for a POSIX system"
)


class Driver:
    """simd_math_driver.c for one instruction set, as a command."""

    def __init__(self, isa: str, directory: Path) -> None:
        compiler, extra, self.launcher = COMPILER, [], []
        if isa == "neon" and not IS_ARM:
            if not (shutil.which(CROSS_COMPILER) and shutil.which(EMULATOR)):
                pytest.skip(f"needs {CROSS_COMPILER} and {EMULATOR}")
            compiler, extra, self.launcher = [CROSS_COMPILER], ["-static"], [EMULATOR]
        elif isa in ("avx2", "avx512") and not IS_X86:
            pytest.skip(f"{isa} is another architecture's")
        if isa != "generic":
            extra.append(f"-DMLP_SIMD_{isa.upper()}")
        self.program = directory / f"driver_{isa}"
        sources = [Path(__file__).with_name("simd_math_driver.c"), ROOT / "src_c" / "cpu.c"]
        command = [*compiler, *FLAGS, *extra, *sources, "-o", self.program, "-lm"]
        result = subprocess.run(command, capture_output=True, text=True)
        assert result.returncode == 0, f"{' '.join(map(str, command))}\n{result.stderr}"
        if subprocess.run([*self.launcher, self.program, "available"]).returncode != 0:
            pytest.skip(f"this processor has no {isa}")

    def __call__(self, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Value, derivative, and the value where the derivative is not wanted."""
        command = [*self.launcher, self.program, name, str(8 * x.itemsize)]
        result = subprocess.run(command, input=x.tobytes(), capture_output=True, check=True)
        value, derivative, alone = np.frombuffer(result.stdout, x.dtype).reshape(-1, 3).T.copy()
        return value, derivative, alone


@pytest.fixture(scope="module")
def driver_of(tmp_path_factory):
    """isa -> Driver; compiles each once, and skips what this machine cannot run."""
    directory = tmp_path_factory.mktemp("simd_math")
    drivers: dict[str, Driver] = {}

    def driver(isa: str) -> Driver:
        if isa not in drivers:
            drivers[isa] = Driver(isa, directory)
        return drivers[isa]

    return driver


@pytest.fixture(params=ISAS)
def isa_name(request):
    """NEON too: an emulator runs it."""
    return request.param


@pytest.fixture
def driver(isa_name, driver_of):
    return driver_of(isa_name)


def same_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Equal to the sign of zero; all NaN are one (their bits are the processor's business)."""
    both_nan = np.isnan(a) & np.isnan(b)
    return bool(np.all(both_nan | ((a == b) & (np.signbit(a) == np.signbit(b)))))


def edges(dtype) -> np.ndarray:
    """Zeros, denormals, infinities, NaN and the places where a formula changes, with neighbours."""
    info = np.finfo(dtype)
    switches = [0.5, 0.625, 0.75, 1.0, 1.5, 2.0, math.log(2) / 2, math.log(2), 15.0, 39.0, 60.0]
    switches += [
        87.3365,
        88.7229,
        90.0,
        103.97,
        104.1,
        110.0,
        708.396,
        709.783,
        711.0,
        745.2,
        760.0,
    ]
    switches += [760.0, 2.0**24, 2.0**53, 2.0**64, 2.0**100, float(info.max)]
    switches += [float(info.tiny), float(info.smallest_subnormal), float(info.tiny) * 0.7]
    middle = np.array(switches, dtype)
    with np.errstate(over="ignore"):
        around = [np.nextafter(middle, dtype(0)), middle, np.nextafter(middle, dtype(np.inf))]
    special = np.array([0.0, np.inf], dtype)
    positive = np.concatenate([*around, special])
    return np.concatenate([positive, -positive, np.array([np.nan], dtype)])


def sample(dtype, n: int) -> np.ndarray:
    """The edges, the interval where activations bend, everything that exp takes, all magnitudes."""
    random = np.random.default_rng(20240611)
    exponent_range = 104.0 if dtype == np.float32 else 746.0
    magnitudes = 2.0 ** random.uniform(-130.0, 120.0, n // 4)
    parts = [
        random.uniform(-3.0, 3.0, n // 2),
        random.uniform(-exponent_range, exponent_range, n // 4),
        random.uniform(-40.0, 2.0, n // 4),
        magnitudes,
        -magnitudes,
        np.expm1(random.uniform(-5.0, 1.0, n // 4)),
    ]
    return np.concatenate([edges(dtype), *(part.astype(dtype) for part in parts)])


def exact(name: str, z: float):
    """Value and derivative at a finite z, by mpmath."""
    x = mp.mpf(z)
    if name in ("log", "log1p") and x < (0 if name == "log" else -1):
        return mp.nan, mp.nan
    if name in ("log", "log1p") and x == (0 if name == "log" else -1):
        return -mp.inf, -mp.inf
    if name in FUNCTIONS:
        value = {"exp": mp.exp, "expm1": mp.expm1, "log": mp.log, "log1p": mp.log1p}[name](x)
        return value, value
    if name in ("relu", "leaky_relu", "elu") and x > 0:
        return x, mp.mpf(1)
    if name == "relu":
        return mp.mpf(0), mp.mpf(0)
    if name == "leaky_relu":
        return x / 100, mp.mpf(1) / 100
    if name == "elu":
        return mp.expm1(x), mp.exp(x)
    if name == "gelu":
        # Beyond 1e3, erfc is 0 or 2 in any precision used here, and mpmath's own series overflows.
        cdf = mp.erfc(-x / mp.sqrt(2)) / 2 if abs(x) < 1000 else mp.mpf(int(x > 0))
        return x * cdf, cdf + x * mp.exp(-x * x / 2) / mp.sqrt(2 * mp.pi)
    e = mp.exp(-abs(x))
    sigmoid = (e if x < 0 else 1) / (1 + e)
    if name == "sigmoid":
        return sigmoid, e / (1 + e) ** 2
    if name == "tanh":
        e2 = e * e
        return mp.tanh(x), 4 * e2 / (1 + e2) ** 2
    if name == "softplus":
        return max(x, mp.mpf(0)) + mp.log1p(e), sigmoid
    assert name == "silu"
    return x * sigmoid, sigmoid + x * e / (1 + e) ** 2


def ulp_error(computed, reference, z: float, dtype, root: float | None = None) -> float:
    """|computed - reference| in units of the reference's last place; infinity if one is not finite
    and the other rounds elsewhere."""
    info = np.finfo(dtype)
    digits, lowest = info.nmant + 1, info.minexp - info.nmant
    overflow = mp.ldexp(2 - mp.ldexp(1, -digits), info.maxexp - 1)
    if mp.isnan(reference) or math.isnan(computed):
        return 0.0 if mp.isnan(reference) and math.isnan(computed) else math.inf
    if mp.isinf(reference) or abs(reference) >= overflow or math.isinf(computed):
        right = math.isinf(computed) and abs(reference) >= overflow
        return 0.0 if right and (computed > 0) == (reference > 0) else math.inf
    if root is not None and abs(z - root) < ROOT_ZONE:
        unit = -3 - info.nmant
    else:
        unit = max((mp.frexp(reference)[1] if reference else -100000) - digits, lowest)
    return float(mp.ldexp(abs(mp.mpf(float(computed)) - reference), -unit))


def allowed(isa: str, name: str, bound: float, z: float) -> float:
    """The promise; without FMA half as much again, and for GELU, where the rounding error of z^2
    stays in the exponent, z^2 / 2 more."""
    if isa != "generic":
        return bound
    return 1.5 * bound + (z * z / 2 if name in ("gelu", "phi") else 0.0)


@pytest.fixture(scope="module")
def references():
    """(name, dtype) -> the sample and its exact values, computed once for all sets."""
    known: dict[tuple[str, str], tuple[np.ndarray, list]] = {}

    def reference(name: str, dtype: str):
        if (name, dtype) not in known:
            x = sample(np.dtype(dtype).type, 1200)
            with mp.workdps(40):
                finite = x[np.isfinite(x)]
                known[name, dtype] = finite, [exact(name, float(z)) for z in finite]
        return known[name, dtype]

    return reference


@pytest.mark.parametrize("name", PROMISED)
def test_the_error_stays_within_the_promise(driver_of, references, isa_name, name, dtype):
    x, wanted = references(name, dtype)
    value, derivative, _ = driver_of(isa_name)(name, x)
    real = np.dtype(dtype).type
    bounds = PROMISED[name][dtype == "float64"]
    with mp.workdps(40):
        for i, z in enumerate(x.tolist()):
            error = ulp_error(value[i], wanted[i][0], z, real)
            assert error <= allowed(isa_name, name, bounds[0], z), f"{name}({z!r})"
            error = ulp_error(derivative[i], wanted[i][1], z, real, ROOTS.get(name))
            near_root = abs(z - ROOTS.get(name, math.inf)) < ROOT_ZONE
            bound = ROOT_PROMISED if near_root else bounds[1]
            assert error <= allowed(isa_name, name, bound, z), f"{name}'({z!r})"


# name: value at -inf, -0, +0, +inf, and the derivative there.
INFINITE = {
    "exp": ((0.0, 1.0, 1.0, np.inf), None),
    "expm1": ((-1.0, -0.0, 0.0, np.inf), None),
    "log": ((np.nan, -np.inf, -np.inf, np.inf), None),
    "log1p": ((np.nan, -0.0, 0.0, np.inf), None),
    "sigmoid": ((0.0, 0.5, 0.5, 1.0), (0.0, 0.25, 0.25, 0.0)),
    "tanh": ((-1.0, -0.0, 0.0, 1.0), (0.0, 1.0, 1.0, 0.0)),
    "elu": ((-1.0, -0.0, 0.0, np.inf), (0.0, 1.0, 1.0, 1.0)),
    "silu": ((-0.0, -0.0, 0.0, np.inf), (0.0, 0.5, 0.5, 1.0)),
    "gelu": ((-0.0, -0.0, 0.0, np.inf), (0.0, 0.5, 0.5, 1.0)),
    "relu": ((0.0, -0.0, 0.0, np.inf), (0.0, 0.0, 0.0, 1.0)),
    "leaky_relu": ((-np.inf, -0.0, 0.0, np.inf), (0.01, 0.01, 0.01, 1.0)),
}


@pytest.mark.parametrize("name", INFINITE)
def test_zeros_and_infinities_are_exact(driver, name, dtype):
    value, derivative, _ = driver(name, np.array([-np.inf, -0.0, 0.0, np.inf], dtype))
    wanted, wanted_derivative = INFINITE[name]
    assert same_bits(value, np.array(wanted, dtype))
    if wanted_derivative:
        assert np.array_equal(derivative, np.array(wanted_derivative, dtype))


def test_softplus_at_the_infinities_and_at_0(driver, dtype):
    value, derivative, _ = driver("softplus", np.array([-np.inf, np.inf], dtype))
    assert same_bits(value, np.array([0.0, np.inf], dtype))
    assert np.array_equal(derivative, np.array([0.0, 1.0], dtype))
    value, derivative, _ = driver("softplus", np.zeros(1, dtype))
    assert abs(value[0] - math.log(2)) <= np.finfo(dtype).eps
    assert derivative[0] == 0.5


@pytest.mark.parametrize("name", FUNCTIONS + ACTIVATIONS)
def test_a_nan_stays_in_its_lane(driver, name, dtype):
    x = np.linspace(0.1, 3.0, 50).astype(dtype)
    x[7] = x[48] = np.nan
    x[21] = -np.float64(np.nan)
    for result in driver(name, x):
        assert np.array_equal(np.isnan(result), np.isnan(x))


@pytest.mark.parametrize("name", FUNCTIONS + ACTIVATIONS)
def test_the_value_does_not_depend_on_whether_the_derivative_is_wanted(driver, name, dtype):
    value, _, alone = driver(name, sample(np.dtype(dtype).type, 4000))
    assert same_bits(value, alone)


def test_a_saturated_unit_keeps_its_derivative_until_it_underflows(driver, dtype):
    info = np.finfo(dtype)
    last = -math.log(float(info.smallest_subnormal)) - 0.5
    z = np.array([-last, -0.9 * last, 0.9 * last, last], dtype)
    assert np.all(driver("sigmoid", z)[1] > 0)
    assert np.all(driver("tanh", z / 2)[1] > 0)
    assert np.all(driver("silu", z[:2])[1] < 0)
    assert np.all(driver("gelu", -np.sqrt(-2 * z[:2]))[1] < 0)
    assert np.all(driver("elu", z[:2])[1] > 0)


@pytest.mark.parametrize("name", ["exp", "expm1", "sigmoid", "tanh", "softplus", "elu"])
def test_a_rising_function_never_falls_by_more_than_a_last_place(driver, name, dtype):
    for low, high in [(-20.0, 20.0), (-2.0, 2.0), (0.6249, 0.6251), (-0.35, -0.34)]:
        value, _, _ = driver(name, np.linspace(low, high, 20001).astype(dtype))
        assert np.all(np.diff(value) >= -np.spacing(np.abs(value[1:])))


@pytest.mark.parametrize("isa", ["generic", *FUSED_ISAS[:2]])
def test_one_float32_in_four_thousand_keeps_the_promise(driver_of, tmp_path, isa):
    """tools/ulp.c, which measures all of them."""
    driver_of(isa)  # skips
    define = [f"-DMLP_SIMD_{isa.upper()}"]
    command = [*COMPILER, *FLAGS, *define, ROOT / "tools" / "ulp.c", "-o", tmp_path / "ulp", "-lm"]
    subprocess.run(command, check=True)
    text = subprocess.run([tmp_path / "ulp", "32", "4099"], capture_output=True, text=True).stdout
    rows = [line.split() for line in text.splitlines()[1:]]
    assert {row[0] for row in rows} == {*PROMISED, "phi"}
    for name, part, worst, at, right, at_right, root, wrong, disputed, _ in rows:
        bound = PROMISED_OF_PHI if name == "phi" else PROMISED[name][0][part == "derivative"]
        assert float(worst) <= allowed(isa, name, bound, float(at)), f"{name} {part} at {at}"
        assert float(root) <= allowed(isa, name, ROOT_PROMISED, 1.0), f"{name} {part}"
        assert (wrong, disputed) == ("0", "0"), f"{name} {part}"
        if name == "gelu":
            assert float(right) <= allowed(isa, name, 4.0, float(at_right)), f"{part} at {at_right}"


@pytest.mark.parametrize("other", FUSED_ISAS[1:])
@pytest.mark.parametrize("name", FUNCTIONS + ACTIVATIONS)
def test_sets_with_a_fused_multiply_add_give_the_same_bits(driver_of, other, name, dtype):
    x = sample(np.dtype(dtype).type, 40000)
    first, second = driver_of("avx2")(name, x), driver_of(other)(name, x)
    for a, b in zip(first, second, strict=True):
        assert same_bits(a, b)


class TestWords:
    """The words of simd.h whose meaning instruction sets like to disagree about."""

    def test_max_and_min_give_the_second_operand_for_nan(self, driver, dtype):
        x = np.array([1.0, np.nan, 2.0, -0.0, 0.0, 3.0, 1.0, np.inf], dtype)
        y = x[::-1].copy()
        largest, smallest, signed = driver("order", x)
        assert same_bits(largest, np.where(x > y, x, y))
        assert same_bits(smallest, np.where(x < y, x, y))
        assert same_bits(signed, np.copysign(x, y))

    def test_comparisons_are_false_for_nan(self, driver, dtype):
        x = np.array([1.0, np.nan, 2.0, -0.0, 0.0, 2.0, 1.0, np.inf, -np.inf], dtype)
        y = x[::-1].copy()
        less, less_or_equal, equal = driver("compare", x)
        assert same_bits(less, np.where(x < y, x, y))
        assert same_bits(less_or_equal, np.where(x <= y, x, y))
        assert same_bits(equal, np.where(x == y, x, np.zeros_like(x)))

    def test_a_number_is_its_mantissa_times_its_power_of_two(self, driver, dtype):
        info = np.finfo(dtype)
        x = np.array([info.tiny, 0.3, 1.0, 1.999, 2.0, 1e10, info.max], dtype)
        exponent, mantissa, power = driver("split", x)
        fraction, n = np.frexp(x)
        assert np.array_equal(exponent, (n - 1).astype(dtype))
        assert np.array_equal(mantissa, 2 * fraction)
        assert np.array_equal(power, np.ldexp(np.ones_like(x), n - 1))

    def test_a_number_times_a_power_of_two_is_rounded_once(self, driver, dtype):
        info = np.finfo(dtype)
        n = np.arange(info.minexp - info.nmant - 3, info.maxexp + 3)
        factors = [1.0, 1.5, 1.9999999, 0.75, np.inf, np.nan]
        a = np.repeat(np.array(factors, dtype), n.size)
        n = np.tile(n, len(factors))
        with np.errstate(over="ignore", under="ignore"):
            expected = np.ldexp(a, n)
        # The driver's second operand is its first in reverse, 1003 at a time.
        for first in range(0, a.size, 501):
            part = slice(first, first + 501)
            x = np.concatenate([a[part], n[part][::-1].astype(dtype)])
            product = driver("scale", x)[0]
            assert same_bits(product[: expected[part].size], expected[part])

    def test_round_goes_to_even(self, driver, dtype):
        x = np.array([-1000.5, -2.5, -1.5, -0.4, 0.0, 0.5, 1.5, 2.5, 7.49, 1001.5], dtype)
        rounded, magnitude, negated = driver("unary", x)
        assert np.array_equal(rounded, np.rint(x))
        assert same_bits(magnitude, np.abs(x))
        assert same_bits(negated, -x)
