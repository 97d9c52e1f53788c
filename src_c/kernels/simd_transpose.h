/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simd_transpose.h - a square block of a matrix, transposed in registers.
 *
 *   v_transpose(from, from_stride, to, to_stride)    to[j][i] = from[i][j], MLP_BLOCK x MLP_BLOCK
 *
 *   v_transpose_part(n_rows, n_columns, ...)          of the part of a block that there is; what
 *                                                     else of to's rows is written is undefined
 */
#define v_transpose(from, from_stride, to, to_stride) \
    V_(transpose)(from, from_stride, to, to_stride)
#define v_transpose_part(n_rows, n_columns, from, from_stride, to, to_stride) \
    V_(transpose_part)(n_rows, n_columns, from, from_stride, to, to_stride)
#define MLP_BLOCK V_(MLP_TRANSPOSE_BLOCK)

#if defined(MLP_SIMD_AVX512)

#define MLP_TRANSPOSE_BLOCK_f32 16
#define MLP_TRANSPOSE_BLOCK_f64 8

/* A block is read and written in whole lines, and each round of shuffles doubles the size of what
 * is transposed: elements, pairs, and then quarters of a register twice. */
MLP_INLINE void transpose_rows_f32(__m512 row[16], size_t n_columns, float *to, size_t to_stride) {
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
    MLP_UNROLL
    for (size_t j = 0; j < 16; j++) {
        if (j < n_columns) _mm512_storeu_ps(to + j * to_stride, row[j]);
    }
}

MLP_INLINE void transpose_f32(const float *from, size_t from_stride, float *to, size_t to_stride) {
    __m512 row[16];
    MLP_UNROLL
    for (size_t i = 0; i < 16; i++)
        row[i] = _mm512_loadu_ps(from + i * from_stride);
    transpose_rows_f32(row, 16, to, to_stride);
}

MLP_INLINE void transpose_part_f32(size_t n_rows, size_t n_columns, const float *from,
                                   size_t from_stride, float *to, size_t to_stride) {
    const __mmask16 columns = (__mmask16)((1u << n_columns) - 1u);
    __m512 row[16];
    MLP_UNROLL
    for (size_t i = 0; i < 16; i++)
        row[i] = _mm512_maskz_loadu_ps(i < n_rows ? columns : 0,
                                       from + (i < n_rows ? i : 0) * from_stride);
    transpose_rows_f32(row, n_columns, to, to_stride);
}

MLP_INLINE void transpose_rows_f64(__m512d row[8], size_t n_columns, double *to, size_t to_stride) {
    __m512d next[8];
    /* next[2 g + j], quarter q: column 2 q + j of rows 2 g, 2 g + 1 */
    MLP_UNROLL
    for (size_t i = 0; i < 8; i += 2) {
        next[i] = _mm512_unpacklo_pd(row[i], row[i + 1]);
        next[i + 1] = _mm512_unpackhi_pd(row[i], row[i + 1]);
    }
    MLP_UNROLL
    for (size_t j = 0; j < 2; j++) {
        row[j] = _mm512_shuffle_f64x2(next[j], next[2 + j], 0x88);
        row[2 + j] = _mm512_shuffle_f64x2(next[j], next[2 + j], 0xDD);
        row[4 + j] = _mm512_shuffle_f64x2(next[4 + j], next[6 + j], 0x88);
        row[6 + j] = _mm512_shuffle_f64x2(next[4 + j], next[6 + j], 0xDD);
    }
    MLP_UNROLL
    for (size_t j = 0; j < 2; j++) {
        next[j] = _mm512_shuffle_f64x2(row[j], row[4 + j], 0x88);
        next[j + 4] = _mm512_shuffle_f64x2(row[j], row[4 + j], 0xDD);
        next[j + 2] = _mm512_shuffle_f64x2(row[2 + j], row[6 + j], 0x88);
        next[j + 6] = _mm512_shuffle_f64x2(row[2 + j], row[6 + j], 0xDD);
    }
    MLP_UNROLL
    for (size_t j = 0; j < 8; j++) {
        if (j < n_columns) _mm512_storeu_pd(to + j * to_stride, next[j]);
    }
}

MLP_INLINE void transpose_f64(const double *from, size_t from_stride, double *to,
                              size_t to_stride) {
    __m512d row[8];
    MLP_UNROLL
    for (size_t i = 0; i < 8; i++)
        row[i] = _mm512_loadu_pd(from + i * from_stride);
    transpose_rows_f64(row, 8, to, to_stride);
}

MLP_INLINE void transpose_part_f64(size_t n_rows, size_t n_columns, const double *from,
                                   size_t from_stride, double *to, size_t to_stride) {
    const __mmask8 columns = (__mmask8)((1u << n_columns) - 1u);
    __m512d row[8];
    MLP_UNROLL
    for (size_t i = 0; i < 8; i++)
        row[i] = _mm512_maskz_loadu_pd(i < n_rows ? columns : 0,
                                       from + (i < n_rows ? i : 0) * from_stride);
    transpose_rows_f64(row, n_columns, to, to_stride);
}

#elif defined(MLP_SIMD_AVX2)

#define MLP_TRANSPOSE_BLOCK_f32 8
#define MLP_TRANSPOSE_BLOCK_f64 4

MLP_INLINE void transpose_f32(const float *from, size_t from_stride, float *to, size_t to_stride) {
    __m256 row[8], pair[8], quad[8];
    MLP_UNROLL
    for (size_t i = 0; i < 8; i++)
        row[i] = _mm256_loadu_ps(from + i * from_stride);
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
        _mm256_storeu_ps(to + i * to_stride, _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x20));
        _mm256_storeu_ps(to + (i + 4) * to_stride,
                         _mm256_permute2f128_ps(quad[i], quad[i + 4], 0x31));
    }
}

MLP_INLINE void transpose_f64(const double *from, size_t from_stride, double *to,
                              size_t to_stride) {
    __m256d row[4], pair[4];
    MLP_UNROLL
    for (size_t i = 0; i < 4; i++)
        row[i] = _mm256_loadu_pd(from + i * from_stride);
    MLP_UNROLL
    for (size_t i = 0; i < 4; i += 2) {
        pair[i] = _mm256_unpacklo_pd(row[i], row[i + 1]);
        pair[i + 1] = _mm256_unpackhi_pd(row[i], row[i + 1]);
    }
    MLP_UNROLL
    for (size_t i = 0; i < 2; i++) {
        _mm256_storeu_pd(to + i * to_stride, _mm256_permute2f128_pd(pair[i], pair[i + 2], 0x20));
        _mm256_storeu_pd(to + (i + 2) * to_stride,
                         _mm256_permute2f128_pd(pair[i], pair[i + 2], 0x31));
    }
}

#else

#define MLP_TRANSPOSE_BLOCK_f32 8
#define MLP_TRANSPOSE_BLOCK_f64 4
#define MLP_TRANSPOSE_DEFINE(tag, real)                                             \
    MLP_INLINE void transpose_##tag(const real *from, size_t from_stride, real *to, \
                                    size_t to_stride) {                             \
        for (size_t j = 0; j < MLP_TRANSPOSE_BLOCK_##tag; j++) {                    \
            for (size_t i = 0; i < MLP_TRANSPOSE_BLOCK_##tag; i++)                  \
                to[j * to_stride + i] = from[i * from_stride + j];                  \
        }                                                                           \
    }
MLP_TRANSPOSE_DEFINE(f32, float)
MLP_TRANSPOSE_DEFINE(f64, double)
#undef MLP_TRANSPOSE_DEFINE

#endif

#if !defined(MLP_SIMD_AVX512)

#define MLP_TRANSPOSE_DEFINE(tag, real)                                                     \
    MLP_INLINE void transpose_part_##tag(size_t n_rows, size_t n_columns, const real *from, \
                                         size_t from_stride, real *to, size_t to_stride) {  \
        for (size_t j = 0; j < n_columns; j++) {                                            \
            for (size_t i = 0; i < n_rows; i++)                                             \
                to[j * to_stride + i] = from[i * from_stride + j];                          \
        }                                                                                   \
    }
MLP_TRANSPOSE_DEFINE(f32, float)
MLP_TRANSPOSE_DEFINE(f64, double)
#undef MLP_TRANSPOSE_DEFINE

#endif
