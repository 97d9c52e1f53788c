/* SPDX-License-Identifier: BSD-3-Clause */
/* simd_avx2.h - the words of simd.h in AVX2 with FMA3. */
#define MLP_VECTOR_BYTES 32

typedef __m256 vec_f32;
typedef __m256d vec_f64;
#define mlp_vec  V_(vec)
#define mlp_mask V_(vec)
#define mlp_tail __m256i

#define X_(op) MLP_PASTE3(_mm256_, op, MLP_X86_SUFFIX)

/* A window that slides over this table holds n lanes of ones, then zeros. */
static const int32_t tail_window_f32[16] = {-1, -1, -1, -1, -1, -1, -1, -1};
static const int64_t tail_window_f64[8] = {-1, -1, -1, -1};

#define v_tail(n) \
    _mm256_loadu_si256((const __m256i *)(const void *)(V_(tail_window) + (MLP_LANES - (n))))
#define v_load(p)                   X_(loadu)(p)
#define v_store(p, x)               X_(storeu)(p, x)
#define v_load_tail(p, t)           X_(maskload)(p, t)
#define v_store_tail(p, t, x)       X_(maskstore)(p, t, x)
#define v_set1(s)                   X_(set1)(s)
#define v_zero()                    MLP_PASTE2(_mm256_setzero, MLP_X86_SUFFIX)()
#define v_add(a, b)                 X_(add)(a, b)
#define v_sub(a, b)                 X_(sub)(a, b)
#define v_mul(a, b)                 X_(mul)(a, b)
#define v_div(a, b)                 X_(div)(a, b)
#define v_sqrt(a)                   X_(sqrt)(a)
#define v_fma(a, b, c)              X_(fmadd)(a, b, c)
#define v_fnma(a, b, c)             X_(fnmadd)(a, b, c)
#define v_max(a, b)                 X_(max)(a, b)
#define v_min(a, b)                 X_(min)(a, b)
#define v_abs(a)                    X_(andnot)(v_set1(MLP_C(-0.0)), a)
#define v_neg(a)                    X_ (xor)(v_set1(MLP_C(-0.0)), a)
#define v_copysign(magnitude, sign) X_(or)(v_abs(magnitude), X_ (and)(v_set1(MLP_C(-0.0)), sign))
#define v_round(a)                  X_(round)(a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)
#define v_lt(a, b)                  X_(cmp)(a, b, _CMP_LT_OQ)
#define v_le(a, b)                  X_(cmp)(a, b, _CMP_LE_OQ)
#define v_eq(a, b)                  X_(cmp)(a, b, _CMP_EQ_OQ)
#define v_all(mask)                 (X_(movemask)(mask) == (1 << MLP_LANES) - 1)
#define v_select(mask, a, b)        X_(blendv)(b, a, mask)
#define v_any(mask)                 (X_(movemask)(mask) != 0)
#define v_pow2(n)                   V_(pow2)(n)
#define v_ldexp(a, n)               V_(ldexp)(a, n)
#define v_exponent(a)               V_(exponent)(a)
#define v_mantissa(a)               V_(mantissa)(a)

MLP_INLINE vec_f32 pow2_f32(vec_f32 n) {
    __m256i bits = _mm256_castps_si256(_mm256_add_ps(n, _mm256_set1_ps(MLP_POW2_MAGIC_f32)));
    return _mm256_castsi256_ps(_mm256_slli_epi32(bits, 23));
}

MLP_INLINE vec_f64 pow2_f64(vec_f64 n) {
    __m256i bits = _mm256_castpd_si256(_mm256_add_pd(n, _mm256_set1_pd(MLP_POW2_MAGIC_f64)));
    return _mm256_castsi256_pd(_mm256_slli_epi64(bits, 52));
}

MLP_INLINE vec_f32 ldexp_f32(vec_f32 a, vec_f32 n) {
    __m256i sum = _mm256_castps_si256(_mm256_add_ps(n, _mm256_set1_ps(MLP_LDEXP_MAGIC_f32)));
    __m256i half = _mm256_srli_epi32(sum, 1);
    __m256 first = _mm256_castsi256_ps(_mm256_slli_epi32(half, 23));
    __m256 rest = _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_sub_epi32(sum, half), 23));
    return _mm256_mul_ps(_mm256_mul_ps(a, first), rest);
}

MLP_INLINE vec_f64 ldexp_f64(vec_f64 a, vec_f64 n) {
    __m256i sum = _mm256_castpd_si256(_mm256_add_pd(n, _mm256_set1_pd(MLP_LDEXP_MAGIC_f64)));
    __m256i half = _mm256_srli_epi64(sum, 1);
    __m256d first = _mm256_castsi256_pd(_mm256_slli_epi64(half, 52));
    __m256d rest = _mm256_castsi256_pd(_mm256_slli_epi64(_mm256_sub_epi64(sum, half), 52));
    return _mm256_mul_pd(_mm256_mul_pd(a, first), rest);
}

MLP_INLINE vec_f32 exponent_f32(vec_f32 a) {
    __m256i biased = _mm256_srli_epi32(_mm256_castps_si256(a), 23);
    __m256i shifted = _mm256_or_si256(biased, _mm256_set1_epi32(MLP_INT_MAGIC_f32));
    return _mm256_sub_ps(_mm256_castsi256_ps(shifted), _mm256_set1_ps(8388608.0f + 127.0f));
}

MLP_INLINE vec_f64 exponent_f64(vec_f64 a) {
    __m256i biased = _mm256_srli_epi64(_mm256_castpd_si256(a), 52);
    __m256i shifted = _mm256_or_si256(biased, _mm256_set1_epi64x(MLP_INT_MAGIC_f64));
    return _mm256_sub_pd(_mm256_castsi256_pd(shifted), _mm256_set1_pd(4503599627370496.0 + 1023.0));
}

MLP_INLINE vec_f32 mantissa_f32(vec_f32 a) {
    __m256i fraction = _mm256_and_si256(_mm256_castps_si256(a), _mm256_set1_epi32(0x007FFFFF));
    return _mm256_castsi256_ps(_mm256_or_si256(fraction, _mm256_set1_epi32(0x3F800000)));
}

MLP_INLINE vec_f64 mantissa_f64(vec_f64 a) {
    __m256i fraction =
        _mm256_and_si256(_mm256_castpd_si256(a), _mm256_set1_epi64x(0x000FFFFFFFFFFFFFLL));
    return _mm256_castsi256_pd(_mm256_or_si256(fraction, _mm256_set1_epi64x(0x3FF0000000000000LL)));
}
