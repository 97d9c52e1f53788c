# SPDX-License-Identifier: BSD-3-Clause
"""Arrays that end where the readable memory ends: one element too far is a crash, not a wrong
number that happens to be ignored."""

import ctypes
import mmap

import numpy as np

_libc = ctypes.CDLL(None, use_errno=True)
_libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]


def guarded_empty(shape, dtype) -> np.ndarray:
    """An array whose last byte is the last byte before a page that may not be touched."""
    dtype = np.dtype(dtype)
    n_bytes = int(np.prod(shape)) * dtype.itemsize
    n_pages = -(-max(n_bytes, 1) // mmap.PAGESIZE)
    memory = mmap.mmap(-1, (n_pages + 1) * mmap.PAGESIZE)
    start = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    guard = start + n_pages * mmap.PAGESIZE
    if _libc.mprotect(guard, mmap.PAGESIZE, 0) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    offset = n_pages * mmap.PAGESIZE - n_bytes
    count = n_bytes // dtype.itemsize
    # The array keeps the mapping alive; the mapping is unmapped with it, guard page and all.
    return np.frombuffer(memory, dtype=dtype, count=count, offset=offset).reshape(shape)


def guarded(array) -> np.ndarray:
    """A copy of an array, placed before a guard page."""
    copy = guarded_empty(np.shape(array), np.asarray(array).dtype)
    copy[...] = array
    return copy
