# SPDX-License-Identifier: BSD-3-Clause
# Arrays as C takes them: which can be used just as they are, and a batch of them.

from cpython.mem cimport PyMem_Free, PyMem_Malloc
from libc.stdint cimport int64_t, uint64_t

cimport numpy as cnp

from mlpcore._mlpcore_h cimport *


cdef inline void *data(object array) noexcept:
    return NULL if array is None else cnp.PyArray_DATA(<cnp.ndarray> array)


cdef inline bint usable(object array, int typenum) noexcept:
    """Whether C can read this object as it is: an ndarray proper, contiguous, aligned, native."""
    return (
        cnp.PyArray_CheckExact(array)
        and cnp.PyArray_TYPE(<cnp.ndarray> array) == typenum
        and cnp.PyArray_CHKFLAGS(<cnp.ndarray> array, cnp.NPY_ARRAY_CARRAY_RO)
        and cnp.PyArray_ISNOTSWAPPED(<cnp.ndarray> array)
    )


cdef inline bint overlap(cnp.ndarray a, cnp.ndarray b) noexcept:
    cdef char *a_begin = <char *> cnp.PyArray_DATA(a)
    cdef char *b_begin = <char *> cnp.PyArray_DATA(b)
    return (a_begin < b_begin + cnp.PyArray_NBYTES(b)
            and b_begin < a_begin + cnp.PyArray_NBYTES(a))


cdef mlp_batch make_batch(object x, object target, object sample_weight, size_t n,
                          object jacobian=None):
    cdef mlp_batch batch
    batch.n_samples = n
    batch.x = data(x)
    batch.target = NULL
    batch.class_index = NULL
    if target is not None:
        if cnp.PyArray_TYPE(<cnp.ndarray> target) == cnp.NPY_INT64:
            batch.class_index = <const int64_t *> data(target)
        else:
            batch.target = data(target)
    batch.sample_weight = data(sample_weight)
    batch.dy_dx = NULL
    if jacobian is not None:
        dy_dx, weight = jacobian
        batch.dy_dx = data(dy_dx)
        batch.dy_dx_weight = weight
    return batch


cdef bint usable_batch(object x, object y, int typenum, cnp.npy_intp n_inputs,
                       cnp.npy_intp n_outputs, mlp_loss_kind loss, mlp_batch *batch) noexcept:
    """Whether C can read samples and targets as they are, and then where."""
    cdef int ndim, y_ndim
    cdef cnp.npy_intp n, i
    cdef const int64_t *classes
    if not usable(x, typenum):
        return False
    ndim = cnp.PyArray_NDIM(<cnp.ndarray> x)
    if ndim < 1 or ndim > 2 or cnp.PyArray_DIM(<cnp.ndarray> x, ndim - 1) != n_inputs:
        return False
    n = cnp.PyArray_DIM(<cnp.ndarray> x, 0) if ndim == 2 else 1
    if n == 0 or not cnp.PyArray_CheckExact(y):
        return False
    y_ndim = cnp.PyArray_NDIM(<cnp.ndarray> y)
    batch.n_samples = <size_t> n
    batch.x = data(x)
    batch.target = NULL
    batch.class_index = NULL
    batch.sample_weight = NULL
    batch.dy_dx = NULL
    if ndim == 2 and (y_ndim < 1 or cnp.PyArray_DIM(<cnp.ndarray> y, 0) != n):
        return False
    if usable(y, typenum):
        batch.target = data(y)
        if y_ndim == ndim:
            return cnp.PyArray_DIM(<cnp.ndarray> y, ndim - 1) == n_outputs
        return y_ndim == 1 and n_outputs == 1
    if (ndim == 1 or y_ndim != 1 or not usable(y, cnp.NPY_INT64)
            or (loss != MLP_CROSS_ENTROPY and loss != MLP_CROSS_ENTROPY_WITH_LOGITS)):
        return False
    classes = <const int64_t *> data(y)
    batch.class_index = classes
    for i in range(n):
        if classes[i] < 0 or classes[i] >= n_outputs:
            return False
    return True


cdef mlp_record *make_records(size_t n_layers, list pre_activations, list outputs,
                              list derivatives, list grad_outputs,
                              list grad_pre_activations) except NULL:
    cdef mlp_record *records = <mlp_record *> PyMem_Malloc(n_layers * sizeof(mlp_record))
    if records is NULL:
        raise MemoryError
    for l in range(n_layers):
        records[l].pre_activation = data(pre_activations[l])
        records[l].output = data(outputs[l])
        records[l].activation_derivative = data(derivatives[l])
        records[l].grad_output = data(grad_outputs[l]) if grad_outputs is not None else NULL
        records[l].grad_pre_activation = (
            data(grad_pre_activations[l]) if grad_pre_activations is not None else NULL)
    return records


def aligned_zeros(size_t n, str dtype):
    """Zeros ``(n,)`` whose first element lies on a 64-byte boundary."""
    cdef cnp.npy_intp item = 4 if dtype == "float32" else 8
    cdef cnp.npy_intp bytes_needed
    if n > <size_t> ((<size_t> -1) // 2 - 64) // <size_t> item:
        raise MemoryError(f"no memory for {n} parameters")
    bytes_needed = <cnp.npy_intp> n * item + 64
    cdef cnp.ndarray block = cnp.PyArray_ZEROS(1, &bytes_needed, cnp.NPY_UINT8, 0)
    cdef cnp.npy_intp skip = (-<cnp.npy_intp> cnp.PyArray_DATA(block)) & 63
    return block[skip:skip + <cnp.npy_intp> n * item].view(dtype)


def permutation(uint64_t seed, uint64_t epoch, size_t n):
    cdef cnp.npy_intp length = <cnp.npy_intp> n
    cdef cnp.ndarray order = cnp.PyArray_EMPTY(1, &length, cnp.NPY_INT64, 0)
    mlp_permutation(seed, epoch, n, <int64_t *> cnp.PyArray_DATA(order))
    return order


def solve_factored(cnp.ndarray lower not None, cnp.ndarray x not None):
    """Overwrite x (n,) by what `lower` (n, n) times its transpose takes to it, both float64."""
    assert usable(lower, cnp.NPY_FLOAT64) and usable(x, cnp.NPY_FLOAT64)
    assert lower.ndim == 2 and lower.shape[0] == lower.shape[1] == x.shape[0]
    with nogil:
        mlp_solve_factored(<size_t> x.shape[0], <const double *> cnp.PyArray_DATA(lower),
                           <double *> cnp.PyArray_DATA(x))


KEYS = {"blocks": MLP_KEY_BLOCKS, "rows": MLP_KEY_ROWS, "held_out": MLP_KEY_HELD_OUT}


def random_key(uint64_t seed, str purpose not None, uint64_t index):
    return mlp_random_key(seed, <mlp_key_purpose> <int> KEYS[purpose], index)
