/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ulp.c - the largest error of every elementary function and activation, in ULP.
 *
 *   cc -std=c11 -O3 -ffp-contract=off tools/ulp.c -lm -o ulp
 *   ./ulp 32 [stride [function]]       float32: bit patterns 0, stride, ...; 1, the default, is all
 *   ./ulp 64 [stride [function]]       float64: the same numbers, with more digits behind
 *
 * Instruction sets: -DMLP_SIMD_AVX2, which is x86-64's default, -DMLP_SIMD_AVX512, -DMLP_SIMD_NEON,
 * AArch64's default, or -DMLP_SIMD_GENERIC, everybody else's.
 *
 * The references: for float64, libm in long double, which says something only where that is wider
 * (x87 and AArch64 Linux). For float32, our own float64 functions, which are a hundred times as
 * fast; wherever the error is a new largest, and once in every block of 1024, libm in double
 * measures it again, and it is libm's result that is printed.
 *
 * One line for each function's value and one for its derivative:
 *
 *   ulp, at              the largest error in last places of the exact result, and its argument
 *   right, at            the same for arguments above -2
 *   root                 within 1/2 of the derivative's root, where it has no relative accuracy:
 *                        the largest error in last places of 1/8; not counted in the columns before
 *   wrong                results that are finite and should not be, or the other way round
 *   disputed             results about whose error the two references differ by 1/1000 ULP
 *   bits                 a checksum of all results: equal wherever there is FMA
 */
#include "../src_c/compiler.h"

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if !defined(MLP_SIMD_AVX512) && !defined(MLP_SIMD_AVX2) && !defined(MLP_SIMD_NEON) && \
    !defined(MLP_SIMD_GENERIC)
#if MLP_ARCH_X86_64
#define MLP_SIMD_AVX2
#elif MLP_ARCH_AARCH64
#define MLP_SIMD_NEON
#endif
#endif

#if defined(MLP_SIMD_AVX512)
#include <immintrin.h>
MLP_TARGET_BEGIN(MLP_AVX512_SETS)
#define MLP_ISA avx512
#elif defined(MLP_SIMD_AVX2)
#include <immintrin.h>
MLP_TARGET_BEGIN(MLP_AVX2_SETS)
#define MLP_ISA avx2
#elif defined(MLP_SIMD_NEON)
#include <arm_neon.h>
#define MLP_ISA neon
#else
#define MLP_ISA generic
#endif

#include "../src_c/kernels/simd.h"

#define ULP_BLOCK 1024

/* Where an argument lies; right is a part of all. */
enum { ULP_ALL, ULP_RIGHT, ULP_ROOT, ULP_N_CLASSES };

typedef struct {
    double worst[ULP_N_CLASSES], at[ULP_N_CLASSES];
    uint64_t n_wrong, n_disputed, checksum;
} ulp_report;

static void ulp_note(ulp_report *report, size_t class, double error, double at) {
    if (!(error > report->worst[class])) return;
    report->worst[class] = error;
    report->at[class] = at;
}

static double ulp_double(int64_t bits) {
    double number;
    memcpy(&number, &bits, sizeof number);
    return number;
}

/* False where there is no root. */
MLP_INLINE int ulp_is_near(double z, double root) { return (z - root > -0.5) & (z - root < 0.5); }

static void print_report(const char *name, const char *part, const ulp_report *report) {
    printf("%-10s %-10s %9.4f %16.9g %9.4f %16.9g %9.4f %6llu %8llu  %016llx\n", name, part,
           report->worst[ULP_ALL], report->at[ULP_ALL], report->worst[ULP_RIGHT],
           report->at[ULP_RIGHT], report->worst[ULP_ROOT], (unsigned long long)report->n_wrong,
           (unsigned long long)report->n_disputed, (unsigned long long)report->checksum);
    fflush(stdout);
}

#define MLP_DTYPE_BITS 64
#include "../src_c/kernels/real.h"
#include "../src_c/kernels/simd_math_template.h"
#include "../src_c/kernels/activation_math_template.h"
#define ULP_WIDE       long double
#define ULP_MANTISSA   LDBL_MANT_DIG
#define ULP_LIBM(name) name##l
#define ULP_BITS       uint64_t
#include "ulp_template.h"
#undef MLP_DTYPE_BITS
#undef ULP_WIDE
#undef ULP_MANTISSA
#undef ULP_LIBM
#undef ULP_BITS

#define MLP_DTYPE_BITS 32
#include "../src_c/kernels/real.h"
#include "../src_c/kernels/simd_math_template.h"
#include "../src_c/kernels/activation_math_template.h"
#define ULP_WIDE       double
#define ULP_MANTISSA   DBL_MANT_DIG
#define ULP_LIBM(name) name
#define ULP_BITS       uint32_t
#include "ulp_template.h"

#if defined(MLP_SIMD_AVX512) || defined(MLP_SIMD_AVX2)
MLP_TARGET_END
#endif

int main(int argc, char **argv) {
    int bits = argc > 1 ? atoi(argv[1]) : 32;
    uint64_t stride = argc > 2 ? strtoull(argv[2], NULL, 0) : 1;
    const char *only = argc > 3 ? argv[3] : "";
    if ((bits != 32 && bits != 64) || stride == 0) {
        fprintf(stderr, "usage: ulp 32|64 [stride [function]]\n");
        return 2;
    }
    printf("%-10s %-10s %9s %16s %9s %16s %9s %6s %8s  %s\n", "function", "part", "ulp", "at",
           "right", "at", "root", "wrong", "disputed", "bits");
    return bits == 32 ? MLP_NAME(measure_all, f32, MLP_ISA)(stride, only)
                      : MLP_NAME(measure_all, f64, MLP_ISA)(stride, only);
}
