# SPDX-License-Identifier: BSD-3-Clause
"""Calls that run out of memory: each allocation of the core fails in turn."""

from mlpcore import _core


def fail_each_allocation(make, call, check, once):
    """Call ``call(*make())`` until none of its allocations fails, and return how many there are.

    First its first allocation fails, then its second, and so on: that one alone (`once`), or all
    that come after it too. Whenever it has failed, ``check(*made)`` looks at what is left. In the
    end all memory is given back.
    """
    blocks_before = _core.live_allocations()
    n_allocations = 0
    while True:
        made = make()
        _core.fail_allocations_after(n_allocations, once)
        try:
            call(*made)
        except MemoryError:
            n_allocations += 1
        else:
            break
        finally:
            _core.fail_allocations_after(-1, False)
        check(*made)
    del made
    assert _core.live_allocations() == blocks_before
    return n_allocations
