/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simd_generic.h - the words of simd.h in plain C: a register is one real.
 *
 * The tile loops stay the same, so the compiler is free to use whatever vectors the baseline of
 * the target has. v_fma rounds twice here: a call of fma() without hardware support costs some
 * fifty times as much, and the machines on which this path runs have none.
 */
#define MLP_VECTOR_BYTES sizeof(mlp_real)

typedef float vec_f32;
typedef double vec_f64;
#define mlp_vec  V_(vec)
#define mlp_mask int
#define mlp_tail int

#define v_tail(n)                   ((int)(n))
#define v_load(p)                   (*(p))
#define v_store(p, x)               ((void)(*(p) = (x)))
#define v_load_tail(p, t)           ((void)(t), *(p))
#define v_store_tail(p, t, x)       ((void)(t), (void)(*(p) = (x)))
#define v_set1(s)                   ((mlp_real)(s))
#define v_zero()                    MLP_C(0)
#define v_add(a, b)                 ((a) + (b))
#define v_sub(a, b)                 ((a) - (b))
#define v_mul(a, b)                 ((a) * (b))
#define v_div(a, b)                 ((a) / (b))
#define v_sqrt(a)                   V_(scalar_sqrt)(a)
#define v_fma(a, b, c)              ((a) * (b) + (c))
#define v_fnma(a, b, c)             ((c) - (a) * (b))
#define v_max(a, b)                 V_(scalar_max)(a, b)
#define v_min(a, b)                 V_(scalar_min)(a, b)
#define v_abs(a)                    V_(scalar_abs)(a)
#define v_neg(a)                    (-(a))
#define v_copysign(magnitude, sign) V_(scalar_copysign)(magnitude, sign)
#define v_round(a)                  V_(scalar_round)(a)
#define v_lt(a, b)                  ((a) < (b))
#define v_le(a, b)                  ((a) <= (b))
#define v_eq(a, b)                  ((a) == (b))
#define v_all(mask)                 (mask)
#define v_select(mask, a, b)        ((mask) ? (a) : (b))
#define v_any(mask)                 (mask)
#define v_pow2(n)                   V_(scalar_pow2)(n)
#define v_ldexp(a, n)               V_(scalar_ldexp)(a, n)
#define v_exponent(a)               V_(scalar_exponent)(a)
#define v_mantissa(a)               V_(scalar_mantissa)(a)

MLP_INLINE float scalar_sqrt_f32(float a) { return sqrtf(a); }
MLP_INLINE double scalar_sqrt_f64(double a) { return sqrt(a); }
MLP_INLINE float scalar_max_f32(float a, float b) { return a > b ? a : b; }
MLP_INLINE double scalar_max_f64(double a, double b) { return a > b ? a : b; }
MLP_INLINE float scalar_min_f32(float a, float b) { return a < b ? a : b; }
MLP_INLINE double scalar_min_f64(double a, double b) { return a < b ? a : b; }
MLP_INLINE float scalar_abs_f32(float a) { return fabsf(a); }
MLP_INLINE double scalar_abs_f64(double a) { return fabs(a); }
MLP_INLINE float scalar_copysign_f32(float a, float b) { return copysignf(a, b); }
MLP_INLINE double scalar_copysign_f64(double a, double b) { return copysign(a, b); }

/* Adding and taking away 1.5 * 2^p rounds to an integer for |a| < 2^p; all arguments here are. */
MLP_INLINE float scalar_round_f32(float a) {
    volatile float shifted = a + 12582912.0f;
    return shifted - 12582912.0f;
}
MLP_INLINE double scalar_round_f64(double a) {
    volatile double shifted = a + 6755399441055744.0;
    return shifted - 6755399441055744.0;
}

MLP_INLINE float scalar_pow2_f32(float n) {
    float shifted = n + MLP_POW2_MAGIC_f32;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits <<= 23;
    memcpy(&shifted, &bits, sizeof bits);
    return shifted;
}
MLP_INLINE double scalar_pow2_f64(double n) {
    double shifted = n + MLP_POW2_MAGIC_f64;
    uint64_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits <<= 52;
    memcpy(&shifted, &bits, sizeof bits);
    return shifted;
}

/* Not ldexp of the C library, whose every call costs as much as a whole function here. */
MLP_INLINE float scalar_ldexp_f32(float a, float n) {
    const float sum = n + MLP_LDEXP_MAGIC_f32;
    uint32_t bits, first, rest;
    float factors[2];
    memcpy(&bits, &sum, sizeof bits);
    first = bits >> 1;
    rest = (bits - first) << 23;
    first <<= 23;
    memcpy(&factors[0], &first, sizeof first);
    memcpy(&factors[1], &rest, sizeof rest);
    return a * factors[0] * factors[1];
}
MLP_INLINE double scalar_ldexp_f64(double a, double n) {
    const double sum = n + MLP_LDEXP_MAGIC_f64;
    uint64_t bits, first, rest;
    double factors[2];
    memcpy(&bits, &sum, sizeof bits);
    first = bits >> 1;
    rest = (bits - first) << 52;
    first <<= 52;
    memcpy(&factors[0], &first, sizeof first);
    memcpy(&factors[1], &rest, sizeof rest);
    return a * factors[0] * factors[1];
}

MLP_INLINE float scalar_exponent_f32(float a) {
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    return (float)((int32_t)(bits >> 23) - 127);
}
MLP_INLINE double scalar_exponent_f64(double a) {
    uint64_t bits;
    memcpy(&bits, &a, sizeof bits);
    return (double)((int32_t)(bits >> 52) - 1023);
}
MLP_INLINE float scalar_mantissa_f32(float a) {
    uint32_t bits;
    memcpy(&bits, &a, sizeof bits);
    bits = (bits & 0x007FFFFFu) | 0x3F800000u;
    memcpy(&a, &bits, sizeof bits);
    return a;
}
MLP_INLINE double scalar_mantissa_f64(double a) {
    uint64_t bits;
    memcpy(&bits, &a, sizeof bits);
    bits = (bits & 0x000FFFFFFFFFFFFFULL) | 0x3FF0000000000000ULL;
    memcpy(&a, &bits, sizeof bits);
    return a;
}
