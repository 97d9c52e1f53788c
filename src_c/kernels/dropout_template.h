/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * dropout_template.h - outputs of a layer that are left out of a step.
 *
 * Included once for each dtype, after simd.h. Unit j of row i is drawn from word j % 4 of Philox
 * under the counter (j / 4, i, step), so that no bit depends on how the rows are cut. Several
 * counters go through the rounds side by side: integers, the same on every instruction set.
 */
#define MLP_MASK_UNITS (4 * MLP_PHILOX_COUNTERS)

/* 0 or scale for units [64 group, 64 group + 64) of a row. */
MLP_INLINE void MLP_REAL(dropout_mask)(const mlp_drop *drop, size_t row, size_t group,
                                       mlp_real *mask) {
    uint32_t a[MLP_PHILOX_COUNTERS], b[MLP_PHILOX_COUNTERS];
    uint32_t c[MLP_PHILOX_COUNTERS], d[MLP_PHILOX_COUNTERS];
    for (size_t i = 0; i < MLP_PHILOX_COUNTERS; i++) {
        a[i] = (uint32_t)(group * MLP_PHILOX_COUNTERS + i);
        b[i] = (uint32_t)row;
        c[i] = (uint32_t)drop->step;
        d[i] = (uint32_t)(drop->step >> 32);
    }
    mlp_philox_block(a, b, c, d, drop->key);
    const mlp_real scale = (mlp_real)drop->scale;
    for (size_t i = 0; i < MLP_PHILOX_COUNTERS; i++) {
        mask[4 * i] = a[i] >= drop->threshold ? scale : MLP_C(0);
        mask[4 * i + 1] = b[i] >= drop->threshold ? scale : MLP_C(0);
        mask[4 * i + 2] = c[i] >= drop->threshold ? scale : MLP_C(0);
        mask[4 * i + 3] = d[i] >= drop->threshold ? scale : MLP_C(0);
    }
}

static void MLP_REAL(dropout)(const mlp_drop *drop, size_t first_row, size_t n_rows,
                              size_t n_columns, void *output, void *derivative, size_t stride) {
    mlp_real mask[MLP_MASK_UNITS];
    for (size_t row = 0; row < n_rows; row++) {
        mlp_real *a = (mlp_real *)output + row * stride;
        mlp_real *d = derivative == NULL ? NULL : (mlp_real *)derivative + row * stride;
        for (size_t j = 0; j < n_columns; j += MLP_MASK_UNITS) {
            const size_t n = n_columns - j < MLP_MASK_UNITS ? n_columns - j : MLP_MASK_UNITS;
            MLP_REAL(dropout_mask)(drop, first_row + row, j / MLP_MASK_UNITS, mask);
            MLP_REAL(multiply)(n, a + j, mask, a + j);
            if (d != NULL) MLP_REAL(multiply)(n, d + j, mask, d + j);
        }
    }
}
