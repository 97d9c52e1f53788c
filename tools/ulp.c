/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ulp.c - the largest error of every elementary function and activation, in units in the last place.
 *
 *   cc -std=c11 -O3 -ffp-contract=off -DMLP_SIMD_AVX2 tools/ulp.c -lm -o ulp
 *   ./ulp 32 [stride [first [function]]]       float32 bit patterns first, first + stride, ...
 *   ./ulp 64 [stride [first [function]]]       float64: the patterns of float32 as a sample
 *
 * Instruction sets: -DMLP_SIMD_AVX2, -DMLP_SIMD_AVX512, -DMLP_SIMD_NEON, none for generic. Stride 1
 * is every float32: some minutes a function; runs with stride n and first 0 ... n - 1 share it out.
 * The reference is libm one precision up: double for float32, long double (80 bits) for float64.
 *
 * Printed: the error and where it is, the same for z > -2, the largest error in the neighbourhood of
 * a root of the derivative (no relative accuracy there: units of the last place of 1/8), how many
 * results are NaN, infinite or not as they must be, and a checksum of the bits, which is the same on
 * every instruction set that has FMA.
 */
#include "../src_c/compiler.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(MLP_SIMD_AVX512)
#include <immintrin.h>
MLP_TARGET_BEGIN("avx512f,avx512dq,avx512bw,avx512vl,avx2,fma")
#define MLP_ISA avx512
#elif defined(MLP_SIMD_AVX2)
#include <immintrin.h>
MLP_TARGET_BEGIN("avx2,fma")
#define MLP_ISA avx2
#elif defined(MLP_SIMD_NEON)
#include <arm_neon.h>
#define MLP_ISA neon
#else
#define MLP_ISA generic
#endif

#include "../src_c/kernels/simd.h"

typedef struct {
    double worst, worst_right, worst_root; /* in ulp: everywhere, for z > -2, near a root */
    double at, at_right, at_root;
    uint64_t n, n_nan, n_infinite, n_wrong, checksum;
    double wrong_at;
} ulp_report;

static void print_report(const char *name, const char *part, const ulp_report *report) {
    printf("%-10s %-10s %8.4f at %-16.9g z>-2: %8.4f at %-16.9g root: %8.4f  "
           "n %llu nan %llu inf %llu wrong %llu (%.9g) bits %016llx\n",
           name, part, report->worst, report->at, report->worst_right, report->at_right,
           report->worst_root, (unsigned long long)report->n, (unsigned long long)report->n_nan,
           (unsigned long long)report->n_infinite, (unsigned long long)report->n_wrong,
           report->wrong_at, (unsigned long long)report->checksum);
    fflush(stdout);
}

#define MLP_DTYPE_BITS 32
#include "../src_c/kernels/real.h"
#include "../src_c/kernels/simd_math_template.h"
#include "../src_c/kernels/activation_math_template.h"
#define ULP_WIDE double
#define ULP_MANTISSA DBL_MANT_DIG
#define ULP_LIBM(name) name
#define ULP_BITS uint32_t
#include "ulp_template.h"
#undef MLP_DTYPE_BITS
#undef ULP_WIDE
#undef ULP_MANTISSA
#undef ULP_LIBM
#undef ULP_BITS

#define MLP_DTYPE_BITS 64
#include "../src_c/kernels/real.h"
#include "../src_c/kernels/simd_math_template.h"
#include "../src_c/kernels/activation_math_template.h"
#define ULP_WIDE long double
#define ULP_MANTISSA LDBL_MANT_DIG
#define ULP_LIBM(name) name##l
#define ULP_BITS uint64_t
#include "ulp_template.h"

#if defined(MLP_SIMD_AVX512) || defined(MLP_SIMD_AVX2)
MLP_TARGET_END
#endif

int main(int argc, char **argv) {
    int bits = argc > 1 ? atoi(argv[1]) : 32;
    uint64_t stride = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    uint64_t first = argc > 3 ? strtoull(argv[3], NULL, 0) : 0;
    const char *only = argc > 4 ? argv[4] : "";
    if ((bits != 32 && bits != 64) || stride == 0) {
        fprintf(stderr, "usage: ulp 32|64 [stride [first [function]]]\n");
        return 2;
    }
    return bits == 32 ? MLP_NAME(measure_all, f32, MLP_ISA)(stride, first, only)
                      : MLP_NAME(measure_all, f64, MLP_ISA)(stride, first, only);
}
