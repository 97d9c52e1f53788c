# SPDX-License-Identifier: BSD-3-Clause
"""For all tests here: one BLAS thread, and scikit-learn's warnings are no errors."""

from pathlib import Path

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def _one_blas_thread():
    # SciPy's L-BFGS makes tiny calls, for which threads of several test processes only wait.
    with threadpool_limits(1, "blas"):
        yield


def pytest_collection_modifyitems(items):
    """A fit of a few epochs, as most tests here make, warns that it has not converged."""
    for item in items:
        if item.path.parent == Path(__file__).parent:
            item.add_marker(
                pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning"),
                append=False,
            )
