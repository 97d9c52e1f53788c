# SPDX-License-Identifier: BSD-3-Clause
"""How fast mlpcore is beside NumPy, on this machine: ``python -m benchmarks``."""
