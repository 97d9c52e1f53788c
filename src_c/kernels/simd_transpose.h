/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simd_transpose.h - a block of a matrix, turned in registers.
 *
 *   v_turn(n_rows, from, stride, column)
 *       column[k] = (from[0][k], from[1][k], ...) for MLP_LANES columns; lanes beyond n_rows are
 *       those of the last row, 1 <= n_rows <= MLP_LANES
 *   v_turn_half(n_rows, from, stride, column)
 *       the same for MLP_LANES / 2 columns
 *   v_turn_part(n_rows, n_columns, from, stride, column)
 *       the same for up to MLP_LANES of either, with zeros where the block has ended
 *
 * Half a block takes less than half the shuffles, since the load of a second row into the upper half
 * of a register does what would be one more round of them, and a tile has registers left to use two
 * such blocks side by side. But it touches each line of memory twice: where the rows lie so that
 * their lines share one set of L1, the first is gone when the second comes, and whole blocks win.
 */
#define v_turn(n_rows, from, stride, column)      V_(turn)(n_rows, from, stride, column)
#define v_turn_half(n_rows, from, stride, column) V_(turn_half)(n_rows, from, stride, column)
#define v_turn_part(n_rows, n_columns, from, stride, column) \
    V_(turn_part)(n_rows, n_columns, from, stride, column)

#define MLP_HALF_LANES ((MLP_LANES + 1) / 2)

/* Row i of a block, or the last one. */
#define MLP_TURN_ROW(i) (from + ((i) < n_rows ? (i) : n_rows - 1) * stride)

#if defined(MLP_SIMD_AVX512)

/* Each round of shuffles doubles the size of what is turned: elements and pairs within quarters of a
 * register here, for n registers; the quarters themselves come after. */
MLP_INLINE void turn_quarters_f32(const size_t n, __m512 *row) {
    __m512 next[16];
    MLP_UNROLL
    for (size_t i = 0; i < n; i += 2) {
        next[i] = _mm512_unpacklo_ps(row[i], row[i + 1]);
        next[i + 1] = _mm512_unpackhi_ps(row[i], row[i + 1]);
    }
    MLP_UNROLL
    for (size_t i = 0; i < n; i += 4) {
        row[i] = _mm512_shuffle_ps(next[i], next[i + 2], 0x44);
        row[i + 1] = _mm512_shuffle_ps(next[i], next[i + 2], 0xEE);
        row[i + 2] = _mm512_shuffle_ps(next[i + 1], next[i + 3], 0x44);
        row[i + 3] = _mm512_shuffle_ps(next[i + 1], next[i + 3], 0xEE);
    }
}

MLP_INLINE void turn_rows_f32(__m512 row[16]) {
    __m512 next[16];
    turn_quarters_f32(16, row);
    /* row[4 g + j], quarter q: column 4 q + j of rows 4 g .. 4 g + 3 */
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

MLP_INLINE void turn_f32(size_t n_rows, const float *from, size_t stride, __m512 column[16]) {
    MLP_UNROLL
    for (size_t i = 0; i < 16; i++)
        column[i] = _mm512_loadu_ps(MLP_TURN_ROW(i));
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

/* Rows i and i + 4 of each eight share a register: what is left to do are two rounds within quarters
 * and one that brings the quarters together. */
MLP_INLINE void turn_half_f32(size_t n_rows, const float *from, size_t stride, __m512 column[8]) {
    __m512 pair[8];
    MLP_UNROLL
    for (size_t i = 0; i < 8; i++) {
        const size_t row = i % 4 + i / 4 * 8;
        pair[i] = _mm512_insertf32x8(_mm512_castps256_ps512(_mm256_loadu_ps(MLP_TURN_ROW(row))),
                                     _mm256_loadu_ps(MLP_TURN_ROW(row + 4)), 1);
    }
    turn_quarters_f32(8, pair);
    MLP_UNROLL
    for (size_t j = 0; j < 4; j++) {
        column[j] = _mm512_shuffle_f32x4(pair[j], pair[4 + j], 0x88);
        column[4 + j] = _mm512_shuffle_f32x4(pair[j], pair[4 + j], 0xDD);
    }
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

MLP_INLINE void turn_f64(size_t n_rows, const double *from, size_t stride, __m512d column[8]) {
    MLP_UNROLL
    for (size_t i = 0; i < 8; i++)
        column[i] = _mm512_loadu_pd(MLP_TURN_ROW(i));
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

MLP_INLINE void turn_half_f64(size_t n_rows, const double *from, size_t stride, __m512d column[4]) {
    __m512d pair[4], next[4];
    MLP_UNROLL
    for (size_t i = 0; i < 4; i++) {
        const size_t row = i % 2 + i / 2 * 4;
        pair[i] = _mm512_insertf64x4(_mm512_castpd256_pd512(_mm256_loadu_pd(MLP_TURN_ROW(row))),
                                     _mm256_loadu_pd(MLP_TURN_ROW(row + 2)), 1);
    }
    MLP_UNROLL
    for (size_t i = 0; i < 4; i += 2) {
        next[i] = _mm512_unpacklo_pd(pair[i], pair[i + 1]);
        next[i + 1] = _mm512_unpackhi_pd(pair[i], pair[i + 1]);
    }
    MLP_UNROLL
    for (size_t j = 0; j < 2; j++) {
        column[j] = _mm512_shuffle_f64x2(next[j], next[2 + j], 0x88);
        column[2 + j] = _mm512_shuffle_f64x2(next[j], next[2 + j], 0xDD);
    }
}

#elif defined(MLP_SIMD_AVX2)

MLP_INLINE void turn_half_f32(size_t n_rows, const float *from, size_t stride, __m256 column[4]) {
    __m256 pair[4], next[4];
    MLP_UNROLL
    for (size_t i = 0; i < 4; i++)
        pair[i] = _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(MLP_TURN_ROW(i))),
                                       _mm_loadu_ps(MLP_TURN_ROW(i + 4)), 1);
    MLP_UNROLL
    for (size_t i = 0; i < 4; i += 2) {
        next[i] = _mm256_unpacklo_ps(pair[i], pair[i + 1]);
        next[i + 1] = _mm256_unpackhi_ps(pair[i], pair[i + 1]);
    }
    column[0] = _mm256_shuffle_ps(next[0], next[2], 0x44);
    column[1] = _mm256_shuffle_ps(next[0], next[2], 0xEE);
    column[2] = _mm256_shuffle_ps(next[1], next[3], 0x44);
    column[3] = _mm256_shuffle_ps(next[1], next[3], 0xEE);
}

MLP_INLINE void turn_half_f64(size_t n_rows, const double *from, size_t stride, __m256d column[2]) {
    __m256d pair[2];
    MLP_UNROLL
    for (size_t i = 0; i < 2; i++)
        pair[i] = _mm256_insertf128_pd(_mm256_castpd128_pd256(_mm_loadu_pd(MLP_TURN_ROW(i))),
                                       _mm_loadu_pd(MLP_TURN_ROW(i + 2)), 1);
    column[0] = _mm256_unpacklo_pd(pair[0], pair[1]);
    column[1] = _mm256_unpackhi_pd(pair[0], pair[1]);
}

#else

/* What an instruction set has no shuffles for goes through memory. */
#define MLP_TURN_HALF(tag, real, vec)                                                              \
    MLP_INLINE void turn_half_##tag(size_t n_rows, const real *from, size_t stride, vec *column) { \
        enum { lanes = sizeof(vec) / sizeof(real), half = (lanes + 1) / 2 };                       \
        real block[half * lanes];                                                                  \
        for (size_t i = 0; i < lanes; i++) {                                                       \
            for (size_t k = 0; k < half; k++)                                                      \
                block[k * lanes + i] = MLP_TURN_ROW(i)[k];                                         \
        }                                                                                          \
        memcpy(column, block, sizeof block);                                                       \
    }
MLP_TURN_HALF(f32, float, vec_f32)
MLP_TURN_HALF(f64, double, vec_f64)
#undef MLP_TURN_HALF
#endif

#if !defined(MLP_SIMD_AVX512)
/* The second half of one lane is none. */
#define MLP_TURN(tag, real, vec)                                                              \
    MLP_INLINE void turn_##tag(size_t n_rows, const real *from, size_t stride, vec *column) { \
        enum { lanes = sizeof(vec) / sizeof(real) };                                          \
        turn_half_##tag(n_rows, from, stride, column);                                        \
        if (lanes > 1) turn_half_##tag(n_rows, from + lanes / 2, stride, column + lanes / 2); \
    }
MLP_TURN(f32, float, vec_f32)
MLP_TURN(f64, double, vec_f64)
#undef MLP_TURN

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
#undef MLP_TURN_ROW
