/* SPDX-License-Identifier: BSD-3-Clause */
/* test_compiler.c - the macros of compiler.h do what they say in this compiler. */
#include "compiler.h"

#include <stdint.h>
#include <stddef.h>
#if MLP_ARCH_X86_64
#include <immintrin.h>
#endif

#include "check.h"
#include "cpu.h"

#define NAME   sum
#define SUFFIX f32
static int MLP_PASTE3(NAME, _, SUFFIX)(int a, int b) { return a + b; }
static int MLP_PASTE2(NAME, 2)(int a) { return sum_f32(a, 2); }

MLP_INLINE size_t twice(size_t n) { return 2 * n; }

static void test_tokens(void) {
    CHECK(sum_f32(1, 2) == 3);
    CHECK(sum2(1) == 3);
}

static void test_alignment(void) {
    MLP_ALIGNED(MLP_ALIGNMENT) char scratch[3] = {1, 2, 3};
    CHECK((uintptr_t)scratch % MLP_ALIGNMENT == 0);
    CHECK(scratch[2] == 3);
}

static void test_unroll(void) {
    int total = 0;
    MLP_UNROLL
    for (int i = 0; i < 16; i++) {
        total += i;
    }
    CHECK(total == 120);
}

static void test_assert(void) {
    int evaluated = 0;
    MLP_ASSERT(++evaluated == 1);
#if defined(NDEBUG)
    CHECK(evaluated == 0);
#else
    CHECK(evaluated == 1);
#endif
}

#if MLP_ARCH_X86_64
/* Helpers from outside must inline into a target region, and intrinsics must work in it. */
MLP_TARGET_BEGIN(MLP_AVX2_SETS)
static float fused_avx2(float a, float b, float c) {
    MLP_ALIGNED(32) float lanes[8];
    _mm256_store_ps(lanes,
                    _mm256_fmadd_ps(_mm256_set1_ps(a), _mm256_set1_ps(b), _mm256_set1_ps(c)));
    return lanes[twice(3)];
}
MLP_TARGET_END

MLP_TARGET_BEGIN(MLP_AVX512_SETS)
static float fused_avx512(float a, float b, float c) {
    MLP_ALIGNED(64) float lanes[16];
    _mm512_store_ps(lanes,
                    _mm512_fmadd_ps(_mm512_set1_ps(a), _mm512_set1_ps(b), _mm512_set1_ps(c)));
    return lanes[twice(7)];
}
MLP_TARGET_END

#if defined(__AVX2__)
#error "the target of a region leaked out of it, or the test was built with -mavx2"
#endif

static void test_target(void) {
    if (mlp_isa_available(MLP_ISA_AVX2)) CHECK(fused_avx2(2, 3, 4) == 10);
    if (mlp_isa_available(MLP_ISA_AVX512)) CHECK(fused_avx512(2, 3, 4) == 10);
}
#else
static void test_target(void) { CHECK(twice(3) == 6); }
#endif

int main(void) {
    test_tokens();
    test_alignment();
    test_unroll();
    test_assert();
    test_target();
    return 0;
}
