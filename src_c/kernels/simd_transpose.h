/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simd_transpose.h - a square block of a matrix, turned in registers.
 *
 *   v_turn(from, stride, column)    column[k] = (from[0][k], from[1][k], ...), MLP_LANES of them
 *
 *   v_turn_part(n_rows, n_columns, from, stride, column)    the same of the part of a block that
 *                                                           there is, and zeros where there is none
 */
#define v_turn(from, stride, column) V_(turn)(from, stride, column)
#define v_turn_part(n_rows, n_columns, from, stride, column) \
    V_(turn_part)(n_rows, n_columns, from, stride, column)

#if defined(MLP_SIMD_AVX512)

/* Each round of shuffles doubles the size of what is turned: elements, pairs, and then quarters of
 * a register twice. */
MLP_INLINE void turn_rows_f32(__m512 row[16]) {
    __m512 next[16];
    MLP_UNROLL
    for (size_t i = 0; i < 16; i += 2) {
        next[i] = _mm512_unpacklo_ps(row[i], row[i + 1]);
        next[i + 1] = _mm512_unpackhi_ps(row[i], row[i + 1]);
    }
    /* row[4 g + j], quarter q: column 4 q + j of rows 4 g .. 4 g + 3 */
    MLP_UNROLL
    for (size_t i = 0; i < 16; i += 4) {
        row[i] = _mm512_shuffle_ps(next[i], next[i + 2], 0x44);
        row[i + 1] = _mm512_shuffle_ps(next[i], next[i + 2], 0xEE);
        row[i + 2] = _mm512_shuffle_ps(next[i + 1], next[i + 3], 0x44);
        row[i + 3] = _mm512_shuffle_ps(next[i + 1], next[i + 3], 0xEE);
    }
    MLP_UNROLL
    for (size_t j = 0; j < 4; j++) {
        next[j] = _mm512_shuffle_f32x4(row[j], row[4 + j], 0x88);
        next[4 + j] = _mm512_shuffle_f32x4(row[j], row[4 + j], 0xDD);
        next[8 + j] = _mm512_shuffle_f32x4(row[8 + j], row[12 + j], 0x88);
        next[12 + j] = _mm512_shuffle_f32x4(row[8 + j], row[12 + j], 0xDD);
    }
    MLP_UNROLL
    for (size_t j = 0; j < 4; j++) {
        row[j] = _mm512_shuffle_f32x4(next[j], next[8 + j], 0x88);
        row[j + 8] = _mm512_shuffle_f32x4(next[j], next[8 + j], 0xDD);
        row[j + 4] = _mm512_shuffle_f32x4(next[4 + j], next[12 + j], 0x88);
        row[j + 12] = _mm512_shuffle_f32x4(next[4 + j], next[12 + j], 0xDD);
    }
}

MLP_INLINE void turn_f32(const float *from, size_t stride, __m512 column[16]) {
    MLP_UNROLL
    for (size_t i = 0; i < 16; i++)
        column[i] = _mm512_loadu_ps(from + i * stride);
    turn_rows_f32(column);
}

MLP_INLINE void turn_part_f32(size_t n_rows, size_t n_columns, const float *from, size_t stride,
                              __m512 column[16]) {
    const __mmask16 columns = (__mmask16)((1u << n_columns) - 1u);
    MLP_UNROLL
    for (size_t i = 0; i < 16; i++)
        column[i] =
            _mm512_maskz_loadu_ps(i < n_rows ? columns : 0, from + (i < n_rows ? i : 0) * stride);
    turn_rows_f32(column);
}

MLP_INLINE void turn_rows_f64(__m512d row[8]) {
    __m512d next[8];
    /* next[2 g + j], quarter q: column 2 q + j of rows 2 g, 2 g + 1 */
    MLP_UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        next[i] = _mm512_unpacklo_pd(row[i], row[i + 1]);
        next[i + 1] = _mm512_unpackhi_pd(row[i], row[i + 1]);
    }
    __m512d pair[8];
    MLP_UNROLL
    for (size_t j = 0; j < 2; j++) {
        pair[j] = _mm512_shuffle_f64x2(next[j], next[2 + j], 0x88);
        pair[2 + j] = _mm512_shuffle_f64x2(next[j], next[2 + j], 0xDD);
        pair[4 + j] = _mm512_shuffle_f64x2(next[4 + j], next[6 + j], 0x88);
        pair[6 + j] = _mm512_shuffle_f64x2(next[4 + j], next[6 + j], 0xDD);
    }
    MLP_UNROLL
    for (size_t j = 0; j < 2; j++) {
        row[j] = _mm512_shuffle_f64x2(pair[j], pair[4 + j], 0x88);
        row[j + 4] = _mm512_shuffle_f64x2(pair[j], pair[4 + j], 0xDD);
        row[j + 2] = _mm512_shuffle_f64x2(pair[2 + j], pair[6 + j], 0x88);
        row[j + 6] = _mm512_shuffle_f64x2(pair[2 + j], pair[6 + j], 0xDD);
    }
}

MLP_INLINE void turn_f64(const double *from, size_t stride, __m512d column[8]) {
    MLP_UNROLL
    for (size_t i = 0; i < 8; i++)
        column[i] = _mm512_loadu_pd(from + i * stride);
    turn_rows_f64(column);
}

MLP_INLINE void turn_part_f64(size_t n_rows, size_t n_columns, const double *from, size_t stride,
                              __m512d column[8]) {
    const __mmask8 columns = (__mmask8)((1u << n_columns) - 1u);
    MLP_UNROLL
    for (size_t i = 0; i < 8; i++)
        column[i] =
            _mm512_maskz_loadu_pd(i < n_rows ? columns : 0, from + (i < n_rows ? i : 0) * stride);
    turn_rows_f64(column);
}

#elif defined(MLP_SIMD_AVX2)

MLP_INLINE void turn_f32(const float *from, size_t stride, __m256 column[8]) {
    __m256 row[8], pair[8], quad[8];
    MLP_UNROLL
    for (size_t i = 0; i < 8; i++)
        row[i] = _mm256_loadu_ps(from + i * stride);
    MLP_UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        pair[i] = _mm256_unpacklo_ps(row[i], row[i + 1]);
        pair[i + 1] = _mm256_unpackhi_ps(row[i], row[i + 1]);
    }
    MLP_UNROLL
    for (size_t i = 0; i < 8; i += 4) {
        quad[i] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0x44);
        quad[i + 1] = _mm256_shuffle_ps(pair[i], pair[i + 2], 0xEE);
        quad[i + 2] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0x44);
        quad[i + 3] = _mm256_shuffle_ps(pair[i + 1], pair[i + 3], 0xEE);
    }
    MLP_UNROLL
    for (size_t i = 0; i < 4; i++) {
        column[i] = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20);
        column[i + 4] = _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31);
    }
}

MLP_INLINE void turn_f64(const double *from, size_t stride, __m256d column[4]) {
    __m256d row[4], pair[4];
    MLP_UNROLL
    for (size_t i = 0; i < 4; i++)
        row[i] = _mm256_loadu_pd(from + i * stride);
    MLP_UNROLL
    for (size_t i = 0; i < 4; i += 2) {
        pair[i] = _mm256_unpacklo_pd(row[i], row[i + 1]);
        pair[i + 1] = _mm256_unpackhi_pd(row[i], row[i + 1]);
    }
    MLP_UNROLL
    for (size_t i = 0; i < 2; i++) {
        column[i] = _mm256_permute2f128_pd(pair[i], pair[i + 2], 0x20);
        column[i + 2] = _mm256_permute2f128_pd(pair[i], pair[i + 2], 0x31);
    }
}

#endif

/* What an instruction set has no shuffles for goes through memory. */
#if !defined(MLP_SIMD_AVX512)
#define MLP_TURN_PART(tag, real, vec)                                                  \
    MLP_INLINE void turn_part_##tag(size_t n_rows, size_t n_columns, const real *from, \
                                    size_t stride, vec *column) {                      \
        enum { lanes = sizeof(vec) / sizeof(real) };                                   \
        real block[lanes * lanes] = {0};                                               \
        for (size_t i = 0; i < n_rows; i++) {                                          \
            for (size_t k = 0; k < n_columns; k++)                                     \
                block[k * lanes + i] = from[i * stride + k];                           \
        }                                                                              \
        memcpy(column, block, sizeof block);                                           \
    }
MLP_TURN_PART(f32, float, vec_f32)
MLP_TURN_PART(f64, double, vec_f64)
#undef MLP_TURN_PART
#endif

#if !defined(MLP_SIMD_AVX512) && !defined(MLP_SIMD_AVX2)
#define turn_f32(from, stride, column) turn_part_f32(MLP_LANES, MLP_LANES, from, stride, column)
#define turn_f64(from, stride, column) turn_part_f64(MLP_LANES, MLP_LANES, from, stride, column)
#endif
