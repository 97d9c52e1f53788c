# SPDX-License-Identifier: BSD-3-Clause
"""The fixed parts of the header that `export_c` writes, in its words: NAME, REAL, C(number)."""

HEAD = """\
/*
DESCRIPTION
 *
 * The bits are those of mlpcore where NAME_FMA rounds once: where the target has a fused multiply-
 * add, or where you define NAME_FMA(a, b, c) before this file, as fmaf or fma for example. Without,
 * each product is rounded before it is added: the bits of mlpcore's generic path, and about twice
 * the rounding error.
 */
#ifndef NAME_H
#define NAME_H

#include <float.h>
#include <stddef.h>
#include <stdint.h>

#if defined(__FAST_MATH__)
#error "this file rounds to integers by adding and subtracting: compile it without -ffast-math"
#endif
#if FLT_EVAL_METHOD == 1 || FLT_EVAL_METHOD == 2
#error "this file needs float and double as they are: on 32-bit x86, compile it with -mfpmath=sse"
#endif

#if !defined(NAME_FMA)
#if FMA_IS_FAST
#define NAME_FMA(a, b, c) FMA_BUILTIN(a, b, c)
#else
#define NAME_FMA(a, b, c) ((a) * (b) + (c))
#endif
#endif
#define NAME_FNMA(a, b, c) NAME_FMA(-(a), b, c)

/* Nothing else may be fused. */
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(__GNUC__)
#pragma GCC push_options
#pragma GCC optimize("fp-contract=off")
#endif
"""

FOOT = """
#if defined(__clang__)
#pragma STDC FP_CONTRACT DEFAULT
#elif defined(__GNUC__)
#pragma GCC pop_options
#endif

#endif
"""

_WORD = """
typedef union NAME_word {
    REAL value;
    BITS bits;
} NAME_word;
"""

# What simd.h has as instructions.
WORDS = {
    "word": _WORD,
    "max": """
static inline REAL NAME_max(REAL a, REAL b) { return a > b ? a : b; }
""",
    "min": """
static inline REAL NAME_min(REAL a, REAL b) { return a < b ? a : b; }
""",
    "abs": """
static inline REAL NAME_abs(REAL a) {
    NAME_word word;
    word.value = a;
    word.bits &= ~((BITS)1 << SIGN_BIT);
    return word.value;
}
""",
    "copysign": """
static inline REAL NAME_copysign(REAL magnitude, REAL sign) {
    NAME_word word, other;
    word.value = magnitude;
    other.value = sign;
    word.bits &= ~((BITS)1 << SIGN_BIT);
    word.bits |= other.bits & ((BITS)1 << SIGN_BIT);
    return word.value;
}
""",
    "round": """
/* To the nearest integer: there is no room for a fraction in the sum. */
static inline REAL NAME_round(REAL a) {
    const REAL shifted = a + ROUND_MAGIC;
    return shifted - ROUND_MAGIC;
}
""",
    "pow2": """
/* 2^n for an integer n that gives a normal number. */
static inline REAL NAME_pow2(REAL n) {
    NAME_word word;
    word.value = n + POW2_MAGIC;
    word.bits <<= EXPONENT_SHIFT;
    return word.value;
}
""",
    "exponent": """
/* k of a normal number 2^k (1 + f). */
static inline REAL NAME_exponent(REAL a) {
    NAME_word word;
    word.value = a;
    return (REAL)((int32_t)(word.bits >> EXPONENT_SHIFT) - EXPONENT_BIAS);
}
""",
    "mantissa": """
/* And its 1 + f. */
static inline REAL NAME_mantissa(REAL a) {
    NAME_word word;
    word.value = a;
    word.bits &= ((BITS)1 << EXPONENT_SHIFT) - 1;
    word.bits |= (BITS)EXPONENT_BIAS << EXPONENT_SHIFT;
    return word.value;
}
""",
    "infinity": """
static inline REAL NAME_infinity(void) {
    NAME_word word;
    word.bits = (BITS)(2 * EXPONENT_BIAS + 1) << EXPONENT_SHIFT;
    return word.value;
}
""",
    "ldexp": """
/* a 2^n for an integer n, rounded once. */
static inline REAL NAME_ldexp(REAL a, REAL n) {
    NAME_word sum, first, rest;
    sum.value = n + LDEXP_MAGIC;
    first.bits = sum.bits >> 1;
    rest.bits = (sum.bits - first.bits) << EXPONENT_SHIFT;
    first.bits <<= EXPONENT_SHIFT;
    return a * first.value * rest.value;
}
""",
}

ROW_SUM = """
/* The sum of a row in double, number j in lane j % 16, and the lanes in pairs. */
static inline double NAME_row_sum(size_t n, const REAL *terms) {
    double lanes[16] = {0.0};
    size_t j, width;
    for (j = 0; j < n; j++) lanes[j % 16] += (double)terms[j];
    for (width = 8; width > 0; width /= 2)
        for (j = 0; j < width; j++) lanes[j] += lanes[j + width];
    return lanes[0];
}
"""

SOFTMAX = """
/* In place. */
static inline void NAME_softmax(size_t n, REAL *z) {
    REAL largest = z[0], total;
    size_t j;
    for (j = 1; j < n; j++) largest = largest > z[j] ? largest : z[j];
    for (j = 0; j < n; j++) z[j] = NAME_exp(z[j] - largest);
    total = (REAL)NAME_row_sum(n, z);
    for (j = 0; j < n; j++) z[j] = z[j] / total;
}
"""

SOFTMAX_BACKWARD = """
/* dz = p (dz - <dz, p>), in place. It takes a constant to 0, so that dz may be looked at from that
 * of the likeliest output: where p of that rounds to 1, dz would cancel against its own mean. */
static inline void NAME_softmax_backward(const REAL *p, REAL *dz) {
    REAL products[N_OUTPUTS], origin, mean;
    size_t likeliest = 0, j;
    for (j = 1; j < N_OUTPUTS; j++)
        if (p[j] > p[likeliest]) likeliest = j;
    origin = dz[likeliest];
    for (j = 0; j < N_OUTPUTS; j++) products[j] = p[j] * (dz[j] - origin);
    mean = (REAL)NAME_row_sum(N_OUTPUTS, products);
    for (j = 0; j < N_OUTPUTS; j++) dz[j] = p[j] * (dz[j] - origin - mean);
}
"""

DENSE = """
/* z = x weight + bias: each number a chain of multiply-adds over the inputs in order. */
static inline void NAME_dense(size_t n_inputs, size_t n_outputs, const REAL *restrict weight,
                              const REAL *restrict bias, const REAL *restrict x,
                              REAL *restrict z) {
    size_t i, j;
    for (j = 0; j < n_outputs; j++) z[j] = C(0);
    for (i = 0; i < n_inputs; i++, weight += n_outputs) {
        const REAL xi = x[i];
        for (j = 0; j < n_outputs; j++) z[j] = NAME_FMA(xi, weight[j], z[j]);
    }
    if (bias)
        for (j = 0; j < n_outputs; j++) z[j] += bias[j];
}
"""

LONG_DENSE = """
/* z = x weight + bias: each number a chain of multiply-adds over 512 inputs in order; chains are
 * added in order. */
static inline void NAME_dense(size_t n_inputs, size_t n_outputs, const REAL *restrict weight,
                              const REAL *restrict bias, const REAL *restrict x,
                              REAL *restrict z, REAL *restrict chunk) {
    size_t begin, i, j;
    for (begin = 0; begin < n_inputs; begin += 512) {
        const size_t end = n_inputs - begin < 512 ? n_inputs : begin + 512;
        for (j = 0; j < n_outputs; j++) chunk[j] = C(0);
        for (i = begin; i < end; i++, weight += n_outputs) {
            const REAL xi = x[i];
            for (j = 0; j < n_outputs; j++) chunk[j] = NAME_FMA(xi, weight[j], chunk[j]);
        }
        for (j = 0; j < n_outputs; j++) z[j] = begin ? z[j] + chunk[j] : chunk[j];
    }
    if (bias)
        for (j = 0; j < n_outputs; j++) z[j] += bias[j];
}
"""

BACKWARD = """
/* dx = (weight dz) d; no d: ones. */
static inline void NAME_backward(size_t n_inputs, size_t n_outputs, const REAL *restrict weight,
                                 const REAL *restrict dz, const REAL *restrict d,
                                 REAL *restrict dx) {
    size_t begin, i, j;
    for (i = 0; i < n_inputs; i++, weight += n_outputs) {
        REAL sum = C(0);
        for (begin = 0; begin < n_outputs; begin += 512) {
            const size_t end = n_outputs - begin < 512 ? n_outputs : begin + 512;
            REAL chunk = C(0);
            for (j = begin; j < end; j++) chunk = NAME_FMA(dz[j], weight[j], chunk);
            sum = begin ? sum + chunk : chunk;
        }
        dx[i] = d ? sum * d[i] : sum;
    }
}
"""

BACKWARD_ONE = """
/* The same for a dz of zeros and one slope, whose column weight points at. */
static inline void NAME_backward_one(size_t n_inputs, size_t n_outputs,
                                     const REAL *restrict weight, REAL slope,
                                     const REAL *restrict d, REAL *restrict dx) {
    size_t i;
    for (i = 0; i < n_inputs; i++, weight += n_outputs) {
        const REAL sum = NAME_FMA(slope, *weight, C(0));
        dx[i] = d ? sum * d[i] : sum;
    }
}
"""
