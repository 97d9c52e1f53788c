/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * long_row_template.h - C (+)= A B with one row of A and long rows of B.
 *
 * After tile_template.h. A tile would read runs of its own width, each in a page of its own. Memory
 * gives rows that are read end to end faster, some at a time, so that a sum is visited once for
 * all of them. An output is the same chain of fused multiply-adds in index order as in a tile.
 */
#ifndef MLP_LONG_ROW_BYTES
#define MLP_LONG_ROW_BYTES 2048 /* rows that are longer than this are long */
#define MLP_LONG_ROWS      8    /* rows at a time */
#define MLP_LONG_COLUMNS   2048 /* of which the sums wait in L1 */
#endif

/* sums (n_columns) += n_rows elements of A times rows of B, or = where there are none before. */
MLP_INLINE void MLP_REAL(long_rows_step)(const mlp_real *a, const mlp_real *b, size_t b_stride,
                                         size_t n_columns, const size_t n_rows, int is_first,
                                         mlp_real *sums) {
    mlp_vec ai[MLP_LONG_ROWS];
    MLP_UNROLL
    for (size_t i = 0; i < n_rows; i++)
        ai[i] = v_set1(a[i]);
    size_t j = 0;
    for (; j + MLP_LANES <= n_columns; j += MLP_LANES) {
        mlp_vec sum = is_first ? v_zero() : v_load(sums + j);
        MLP_UNROLL
        for (size_t i = 0; i < n_rows; i++)
            sum = v_fma(ai[i], v_load(b + i * b_stride + j), sum);
        v_store(sums + j, sum);
    }
    if (j == n_columns) return;
    const mlp_tail tail = v_tail(n_columns - j);
    mlp_vec sum = is_first ? v_zero() : v_load(sums + j);
    MLP_UNROLL
    for (size_t i = 0; i < n_rows; i++)
        sum = v_fma(ai[i], v_load_tail(b + i * b_stride + j, tail), sum);
    v_store(sums + j, sum);
}

/* One row of A, MLP_LONG_COLUMNS columns at most: the sums of a chunk wait in L1. */
static void MLP_REAL(long_row_run)(const mlp_tiles *t, size_t n_columns) {
    mlp_real sums[MLP_LONG_COLUMNS];
    mlp_tiles part = *t;
    int accumulate = t->accumulate;
    for (size_t k0 = 0; k0 < t->n_inner; k0 += MLP_CHUNK) {
        const size_t end = t->n_inner - k0 < MLP_CHUNK ? t->n_inner : k0 + MLP_CHUNK;
        size_t k = k0;
        for (; k + MLP_LONG_ROWS <= end; k += MLP_LONG_ROWS)
            MLP_REAL(long_rows_step)(t->a + k, t->b + k * t->b_stride, t->b_stride, n_columns,
                                     MLP_LONG_ROWS, k == k0, sums);
        for (; k < end; k++)
            MLP_REAL(long_rows_step)(t->a + k, t->b + k * t->b_stride, t->b_stride, n_columns, 1,
                                     k == k0, sums);
        for (size_t j = 0; j < n_columns; j += MLP_LANES) {
            const mlp_tail tail = v_tail(n_columns - j < MLP_LANES ? n_columns - j : MLP_LANES);
            mlp_vec sum = v_load(sums + j);
            if (accumulate) sum = v_add(v_load_tail(t->c + j, tail), sum);
            v_store_tail(t->c + j, tail, sum);
        }
        accumulate = 1;
    }
    for (size_t j = 0; j < n_columns; j += MLP_LANES, MLP_REAL(move_columns)(&part, MLP_LANES)) {
        const mlp_tail tail = v_tail(n_columns - j < MLP_LANES ? n_columns - j : MLP_LANES);
        mlp_vec acc[MLP_ACCUMULATORS] = {v_load_tail(part.c, tail)};
        MLP_REAL(tile_finish)(&part, part.factor, 1, 1, tail, acc);
        v_store_tail(part.c, tail, acc[0]);
    }
    if (t->output != NULL)
        MLP_REAL(activate)(t->activation, 1, n_columns, n_columns, t->c, t->output, t->derivative);
}
