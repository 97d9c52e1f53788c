/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simd_neon.h - the words of simd.h in NEON of AArch64, which always has FMA.
 *
 * vmaxq and vminq hand on a NaN of either operand, and so are not v_max and v_min.
 */
#define MLP_VECTOR_BYTES 16

typedef float32x4_t vec_f32;
typedef float64x2_t vec_f64;
typedef uint32x4_t mask_f32;
typedef uint64x2_t mask_f64;
#define mlp_vec  V_(vec)
#define mlp_mask V_(mask)
#define mlp_tail size_t

#define X_(op) MLP_PASTE2(op, MLP_NEON_SUFFIX)

#define v_tail(n)                   ((size_t)(n))
#define v_load(p)                   X_(vld1q)(p)
#define v_store(p, x)               X_(vst1q)(p, x)
#define v_load_tail(p, t)           V_(load_tail)(p, t)
#define v_store_tail(p, t, x)       V_(store_tail)(p, t, x)
#define v_set1(s)                   X_(vdupq_n)(s)
#define v_zero()                    v_set1(MLP_C(0))
#define v_add(a, b)                 X_(vaddq)(a, b)
#define v_sub(a, b)                 X_(vsubq)(a, b)
#define v_mul(a, b)                 X_(vmulq)(a, b)
#define v_div(a, b)                 X_(vdivq)(a, b)
#define v_sqrt(a)                   X_(vsqrtq)(a)
#define v_fma(a, b, c)              X_(vfmaq)(c, a, b)
#define v_fnma(a, b, c)             X_(vfmsq)(c, a, b)
#define v_max(a, b)                 V_(max)(a, b)
#define v_min(a, b)                 V_(min)(a, b)
#define v_abs(a)                    X_(vabsq)(a)
#define v_neg(a)                    X_(vnegq)(a)
#define v_copysign(magnitude, sign) V_(copysign)(magnitude, sign)
#define v_round(a)                  X_(vrndnq)(a)
#define v_lt(a, b)                  X_(vcltq)(a, b)
#define v_le(a, b)                  X_(vcleq)(a, b)
#define v_eq(a, b)                  X_(vceqq)(a, b)
#define v_all(mask)                 V_(all)(mask)
#define v_select(mask, a, b)        X_(vbslq)(mask, a, b)
#define v_any(mask)                 V_(any)(mask)
#define v_pow2(n)                   V_(pow2)(n)
#define v_ldexp(a, n)               V_(ldexp)(a, n)
#define v_exponent(a)               V_(exponent)(a)
#define v_mantissa(a)               V_(mantissa)(a)

MLP_INLINE int all_f32(mask_f32 mask) { return vminvq_u32(mask) != 0; }
MLP_INLINE int all_f64(mask_f64 mask) {
    return (vgetq_lane_u64(mask, 0) & vgetq_lane_u64(mask, 1)) != 0;
}

/* NEON has no masked load: lane after lane, through a buffer. */
MLP_INLINE vec_f32 load_tail_f32(const float *p, size_t n) {
    float lanes[4] = {0};
    memcpy(lanes, p, n * sizeof *p);
    return vld1q_f32(lanes);
}

MLP_INLINE vec_f64 load_tail_f64(const double *p, size_t n) {
    double lanes[2] = {0};
    memcpy(lanes, p, n * sizeof *p);
    return vld1q_f64(lanes);
}

MLP_INLINE void store_tail_f32(float *p, size_t n, vec_f32 x) {
    float lanes[4];
    vst1q_f32(lanes, x);
    memcpy(p, lanes, n * sizeof *p);
}

MLP_INLINE void store_tail_f64(double *p, size_t n, vec_f64 x) {
    double lanes[2];
    vst1q_f64(lanes, x);
    memcpy(p, lanes, n * sizeof *p);
}

MLP_INLINE vec_f32 max_f32(vec_f32 a, vec_f32 b) { return vbslq_f32(vcgtq_f32(a, b), a, b); }
MLP_INLINE vec_f64 max_f64(vec_f64 a, vec_f64 b) { return vbslq_f64(vcgtq_f64(a, b), a, b); }
MLP_INLINE vec_f32 min_f32(vec_f32 a, vec_f32 b) { return vbslq_f32(vcltq_f32(a, b), a, b); }
MLP_INLINE vec_f64 min_f64(vec_f64 a, vec_f64 b) { return vbslq_f64(vcltq_f64(a, b), a, b); }

MLP_INLINE vec_f32 copysign_f32(vec_f32 magnitude, vec_f32 sign) {
    return vbslq_f32(vdupq_n_u32(0x80000000u), sign, magnitude);
}

MLP_INLINE vec_f64 copysign_f64(vec_f64 magnitude, vec_f64 sign) {
    return vbslq_f64(vdupq_n_u64(0x8000000000000000u), sign, magnitude);
}

MLP_INLINE int any_f32(mask_f32 mask) { return vmaxvq_u32(mask) != 0; }
MLP_INLINE int any_f64(mask_f64 mask) { return vmaxvq_u32(vreinterpretq_u32_u64(mask)) != 0; }

MLP_INLINE vec_f32 pow2_f32(vec_f32 n) {
    uint32x4_t bits = vreinterpretq_u32_f32(vaddq_f32(n, vdupq_n_f32(MLP_POW2_MAGIC_f32)));
    return vreinterpretq_f32_u32(vshlq_n_u32(bits, 23));
}

MLP_INLINE vec_f64 pow2_f64(vec_f64 n) {
    uint64x2_t bits = vreinterpretq_u64_f64(vaddq_f64(n, vdupq_n_f64(MLP_POW2_MAGIC_f64)));
    return vreinterpretq_f64_u64(vshlq_n_u64(bits, 52));
}

MLP_INLINE vec_f32 ldexp_f32(vec_f32 a, vec_f32 n) {
    uint32x4_t sum = vreinterpretq_u32_f32(vaddq_f32(n, vdupq_n_f32(MLP_LDEXP_MAGIC_f32)));
    uint32x4_t half = vshrq_n_u32(sum, 1);
    float32x4_t first = vreinterpretq_f32_u32(vshlq_n_u32(half, 23));
    float32x4_t rest = vreinterpretq_f32_u32(vshlq_n_u32(vsubq_u32(sum, half), 23));
    return vmulq_f32(vmulq_f32(a, first), rest);
}

MLP_INLINE vec_f64 ldexp_f64(vec_f64 a, vec_f64 n) {
    uint64x2_t sum = vreinterpretq_u64_f64(vaddq_f64(n, vdupq_n_f64(MLP_LDEXP_MAGIC_f64)));
    uint64x2_t half = vshrq_n_u64(sum, 1);
    float64x2_t first = vreinterpretq_f64_u64(vshlq_n_u64(half, 52));
    float64x2_t rest = vreinterpretq_f64_u64(vshlq_n_u64(vsubq_u64(sum, half), 52));
    return vmulq_f64(vmulq_f64(a, first), rest);
}

MLP_INLINE vec_f32 exponent_f32(vec_f32 a) {
    uint32x4_t biased = vshrq_n_u32(vreinterpretq_u32_f32(a), 23);
    return vsubq_f32(vcvtq_f32_u32(biased), vdupq_n_f32(127.0f));
}

MLP_INLINE vec_f64 exponent_f64(vec_f64 a) {
    uint64x2_t biased = vshrq_n_u64(vreinterpretq_u64_f64(a), 52);
    return vsubq_f64(vcvtq_f64_u64(biased), vdupq_n_f64(1023.0));
}

MLP_INLINE vec_f32 mantissa_f32(vec_f32 a) {
    uint32x4_t fraction = vandq_u32(vreinterpretq_u32_f32(a), vdupq_n_u32(0x007FFFFFu));
    return vreinterpretq_f32_u32(vorrq_u32(fraction, vdupq_n_u32(0x3F800000u)));
}

MLP_INLINE vec_f64 mantissa_f64(vec_f64 a) {
    uint64x2_t fraction = vandq_u64(vreinterpretq_u64_f64(a), vdupq_n_u64(0x000FFFFFFFFFFFFFu));
    return vreinterpretq_f64_u64(vorrq_u64(fraction, vdupq_n_u64(0x3FF0000000000000u)));
}
