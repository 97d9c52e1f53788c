# SPDX-License-Identifier: BSD-3-Clause
# cython: language_level=3, boundscheck=False, wraparound=False, cdivision=True
# cython: embedsignature=True, embedsignature.format=clinic, binding=False
"""The binding: pointers in, status out, the GIL released. `_validation` has checked all arguments;
what stands here only finds out whether an array can be used just as it is.

One module of several files, since they call each other in C; each is the room of one thing.
"""

cimport numpy as cnp

cdef extern from "binding/fast_call.h":
    pass

from mlpcore._mlpcore_h cimport *

cnp.import_array()

OK = MLP_OK
NOT_FINITE = MLP_NOT_FINITE


include "binding/arrays.pxi"
include "binding/machine.pxi"
include "binding/losses.pxi"
include "binding/optimizers.pxi"
include "binding/network.pxi"
include "binding/derivatives.pxi"
include "binding/calls.pxi"


def register(dict losses not None, type gradients not None):
    """Name what is written in Python and needed here: the losses that a name stands for, and the
    class, derived from GradientArrays, of what `value_and_grad` gives back."""
    global losses_by_name, gradients_type
    if not issubclass(gradients, GradientArrays):
        raise TypeError(f"gradients: expected a class of GradientArrays, got {gradients!r}")
    losses_by_name, gradients_type = losses, gradients
