/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * simd_transpose.h - a square block of a matrix, transposed in registers of 32 bytes.
 *
 *   v_transpose(from, from_stride, to, to_stride)    to[j][i] = from[i][j], MLP_BLOCK x MLP_BLOCK
 *
 * AVX-512 uses the same 256-bit shuffles: a 16 x 16 block would need 64 of them all the same, and
 * the stores are the limit.
 */
#define v_transpose(from, from_stride, to, to_stride) \
    V_(transpose)(from, from_stride, to, to_stride)
#define MLP_BLOCK V_(MLP_TRANSPOSE_BLOCK)

#define MLP_TRANSPOSE_BLOCK_f32 8
#define MLP_TRANSPOSE_BLOCK_f64 4

#if defined(MLP_SIMD_AVX2) || defined(MLP_SIMD_AVX512)

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
