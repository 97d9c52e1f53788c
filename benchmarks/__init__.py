# SPDX-License-Identifier: BSD-3-Clause
"""How fast mlpcore is beside its peers, on this machine: ``python -m benchmarks``."""
