/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * fast_call.h - arguments from an array, with the stable ABI of Python 3.11 too.
 *
 * METH_FASTCALL is part of the stable ABI since Python 3.10, but Cython 3.3 uses it with that ABI
 * only from 3.12, when the functions that call in the same way joined it. Without it each call
 * makes a tuple, and a dict for keywords: forward(x, out=y) of a small net then takes 1.7 times as
 * long. So it is switched on here, behind Cython's own setup; the functions that 3.11 lacks are
 * written with those that it has, and are used only where the binding calls Python.
 *
 * It depends on Cython's names: pyproject.toml admits no Cython but 3.3, and a test times keywords.
 */
#ifndef MLP_FAST_CALL_H
#define MLP_FAST_CALL_H

#if CYTHON_COMPILING_IN_LIMITED_API && !CYTHON_VECTORCALL

#undef CYTHON_VECTORCALL
#undef __Pyx_METH_FASTCALL
#undef __Pyx_PyCFunction_FastCall
#undef __Pyx_PyCFunction_FastCallWithKeywords
#undef __pyx_vectorcallfunc
#undef __Pyx_PY_VECTORCALL_ARGUMENTS_OFFSET
#undef __Pyx_PyVectorcall_NARGS
#define CYTHON_VECTORCALL                      1
#define __Pyx_METH_FASTCALL                    METH_FASTCALL
#define __Pyx_PyCFunction_FastCall             __Pyx_PyCFunctionFast
#define __Pyx_PyCFunction_FastCallWithKeywords __Pyx_PyCFunctionFastWithKeywords
#define __pyx_vectorcallfunc                   vectorcallfunc
#define __Pyx_PY_VECTORCALL_ARGUMENTS_OFFSET   PY_VECTORCALL_ARGUMENTS_OFFSET
#define __Pyx_PyVectorcall_NARGS(n)            PyVectorcall_NARGS(n)

typedef PyObject *(*vectorcallfunc)(PyObject *, PyObject *const *, size_t, PyObject *);

/* The caller lends the place before the first argument. */
#define PY_VECTORCALL_ARGUMENTS_OFFSET ((size_t)1 << (8 * sizeof(size_t) - 1))
#define PyVectorcall_NARGS(n)          ((Py_ssize_t)((size_t)(n) & ~PY_VECTORCALL_ARGUMENTS_OFFSET))
#define PyObject_Vectorcall            mlp_object_vectorcall
#define PyObject_VectorcallMethod      mlp_object_vectorcall_method

/* The arguments by name stand behind the others, their names in a tuple, or NULL. */
static inline PyObject *mlp_object_vectorcall(PyObject *callable, PyObject *const *arguments,
                                              size_t n_and_flag, PyObject *names) {
    const Py_ssize_t n = PyVectorcall_NARGS(n_and_flag);
    const Py_ssize_t n_names = names == NULL ? 0 : PyTuple_Size(names);
    PyObject *positional = PyTuple_New(n);
    PyObject *by_name = n_names > 0 ? PyDict_New() : NULL;
    PyObject *result = NULL;
    if (positional == NULL || (n_names > 0 && by_name == NULL)) goto done;
    for (Py_ssize_t i = 0; i < n; i++) {
        Py_INCREF(arguments[i]);
        if (PyTuple_SetItem(positional, i, arguments[i]) < 0) goto done;
    }
    for (Py_ssize_t i = 0; i < n_names; i++) {
        if (PyDict_SetItem(by_name, PyTuple_GetItem(names, i), arguments[n + i]) < 0) goto done;
    }
    result = PyObject_Call(callable, positional, by_name);
done:
    Py_XDECREF(positional);
    Py_XDECREF(by_name);
    return result;
}

/* The first argument is the object whose method is called. */
static inline PyObject *mlp_object_vectorcall_method(PyObject *name, PyObject *const *arguments,
                                                     size_t n_and_flag, PyObject *names) {
    PyObject *method = PyObject_GetAttr(arguments[0], name);
    if (method == NULL) return NULL;
    PyObject *result = mlp_object_vectorcall(method, arguments + 1,
                                             (size_t)(PyVectorcall_NARGS(n_and_flag) - 1), names);
    Py_DECREF(method);
    return result;
}

#endif

#endif
