/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * narrow_template.h - columns of a product that would leave most lanes of a register idle.
 *
 * A layer of few outputs is such a product, and so are the last columns of one whose width is a few
 * more than a multiple of MLP_LANES. Their transpose is computed instead, a product of few rows: of
 * samples in the lanes where A lies as rows (forward, backward to the input), of inputs where it
 * lies as columns (a weight gradient). The sums are the same, term by term. What is done to them
 * comes after they are turned.
 */

#ifndef MLP_NARROW
/* So many columns and no others leave a third of a register idle or more. */
#define MLP_NARROW (2 * MLP_LANES / 3)
/* Samples whose sums wait to be turned. */
#define MLP_NARROW_ROWS 128
/* What the last columns cost besides their multiply-adds, in those of a register: the shuffles by
 * which A is turned, a round for each power of 2; or a gradient's way to its place. */
#define MLP_TURN_ROUNDS \
    (MLP_LANES >= 16 ? 4 : MLP_LANES >= 8 ? 3 : MLP_LANES >= 4 ? 2 : MLP_LANES >= 2 ? 1 : 0)
#define MLP_PLACE_ROUNDS 2
/* Multiply-adds of a column from which it pays to turn A for it. */
#define MLP_TURN_WORK ((size_t)4096)
#endif

/* The last columns of so many that are computed so; 0: none. They would cost as much as MLP_LANES in
 * a tile of their own, and less in one that reads A for another register anyway. Where the two ways
 * meet was measured with AVX-512 and AVX2. */
MLP_INLINE size_t MLP_REAL(narrow_columns)(size_t n_columns, size_t rounds) {
    const size_t rest = n_columns % MLP_LANES;
    if (n_columns < MLP_LANES) return rest > 1 && rest <= MLP_NARROW ? rest : 0;
    const size_t sixteenths = n_columns / MLP_LANES % MLP_TILE_VECS == 0 ? 12 : 7;
    return rest > 0 && 16 * (rest + rounds) <= sixteenths * MLP_LANES ? rest : 0;
}

/* to (n_columns, n_rows) = the transpose of from (n_rows, n_columns). */
static void MLP_REAL(transpose)(size_t n_rows, size_t n_columns, const mlp_real *from,
                                size_t from_stride, mlp_real *to, size_t to_stride) {
    for (size_t i = 0; i < n_rows; i += MLP_LANES) {
        const size_t height = n_rows - i < MLP_LANES ? n_rows - i : MLP_LANES;
        const mlp_tail tail = v_tail(height);
        for (size_t j = 0; j < n_columns; j += MLP_LANES) {
            const size_t width = n_columns - j < MLP_LANES ? n_columns - j : MLP_LANES;
            mlp_vec column[MLP_LANES];
            MLP_REAL(turn_rest)(height, width, from + i * from_stride + j, from_stride, column);
            MLP_UNROLL
            for (size_t k = 0; k < MLP_LANES; k++)
                if (k < width) v_store_tail(to + (j + k) * to_stride + i, tail, column[k]);
        }
    }
}

/* The last n columns of a product, as a product of its own. */
MLP_INLINE mlp_product MLP_REAL(last_columns)(const mlp_product *p, size_t n) {
    mlp_product last = *p;
    const size_t n_before = p->n_columns - n;
    last.n_columns = n;
    last.tiles.b += p->b_is_transposed ? n_before * p->tiles.b_stride : n_before;
    MLP_REAL(move_columns)(&last.tiles, n_before);
    return last;
}

/* A as rows: C^T = B^T A^T, so that samples take the lanes. B^T waits in scratch unless it is there
 * already. */
static void MLP_REAL(narrow_rows)(const mlp_product *p) {
    const mlp_tiles *t = &p->tiles;
    const size_t n_columns = p->n_columns;
    const mlp_tail tail = v_tail(n_columns);
    mlp_real sums[MLP_NARROW * MLP_NARROW_ROWS + 1]; /* 1: no lanes, and so never run */
    _Static_assert(MLP_NARROW <= MLP_TURNING_ROWS, "a product in one tile, without scratch");
    if (!p->b_is_transposed)
        MLP_REAL(transpose)(t->n_inner, n_columns, t->b, t->b_stride, p->scratch, t->n_inner);
    for (size_t first = 0; first < p->n_rows; first += MLP_NARROW_ROWS) {
        const size_t left = p->n_rows - first;
        const size_t n_rows = left < MLP_NARROW_ROWS ? left : MLP_NARROW_ROWS;
        mlp_real *c = t->c + first * t->c_stride;
        const mlp_real *factor = t->factor ? t->factor + first * t->factor_stride : NULL;
        mlp_product turned = {
            .n_rows = n_columns,
            .n_columns = n_rows,
            .b_is_transposed = 1,
            .tiles = {.n_inner = t->n_inner,
                      .a = p->b_is_transposed ? t->b : p->scratch,
                      .a_stride = p->b_is_transposed ? t->b_stride : t->n_inner,
                      .b = t->a + first * t->a_stride,
                      .b_stride = t->a_stride,
                      .c = sums,
                      .c_stride = MLP_NARROW_ROWS},
        };
        MLP_REAL(product_run)(&turned);
        for (size_t row = 0; row < n_rows; row += MLP_LANES) {
            mlp_vec column[MLP_LANES];
            MLP_REAL(turn_rest)(n_columns, n_rows - row, sums + row, MLP_NARROW_ROWS, column);
            MLP_UNROLL
            for (size_t i = 0; i < MLP_LANES; i++) {
                if (row + i >= n_rows) break;
                mlp_vec sum[MLP_ACCUMULATORS];
                sum[0] = column[i];
                MLP_REAL(tile_finish)(t, factor, 1, 1, tail, sum);
                v_store_tail(c + (row + i) * t->c_stride, tail, sum[0]);
                if (factor) factor += t->factor_stride;
            }
        }
        if (t->output)
            MLP_REAL(activate)(t->activation, n_rows, n_columns, t->c_stride, c,
                               t->output + first * t->c_stride,
                               t->derivative ? t->derivative + first * t->c_stride : NULL);
    }
}

/* sgd_exchange of n_rows rows of a few columns. */
MLP_INLINE int MLP_REAL(narrow_exchange)(const mlp_optimizer *optimizer, size_t n_rows,
                                         size_t n_columns, size_t stride, mlp_real *parameters,
                                         mlp_real *gradients) {
    if (n_columns == stride) { /* whole rows are one long row */
        n_columns *= n_rows;
        n_rows = 1;
    }
    int finite = 1;
    for (size_t row = 0; row < n_rows; row++, parameters += stride, gradients += stride)
        finite &= MLP_REAL(sgd_exchange)(optimizer, n_columns, parameters, gradients);
    return finite;
}

/* A as columns: C^T = B^T A in scratch, so that inputs take the lanes, then its transpose. Whether
 * all is finite that an exchange has updated. */
static int MLP_REAL(narrow_gradient)(const mlp_product *p) {
    const size_t n_inputs = p->n_rows, n_outputs = p->n_columns;
    const mlp_tiles *t = &p->tiles;
    mlp_product swapped = {
        .n_rows = n_outputs,
        .n_columns = n_inputs,
        .tiles = {.n_inner = t->n_inner,
                  .a_is_columns = 1,
                  .a = t->b,
                  .a_stride = t->b_stride,
                  .b = t->a,
                  .b_stride = t->a_stride,
                  .c = p->scratch,
                  .c_stride = n_inputs},
    };
    MLP_REAL(product_run)(&swapped);
    MLP_REAL(transpose)(n_outputs, n_inputs, p->scratch, n_inputs, t->c, t->c_stride);
    return t->update == NULL || MLP_REAL(narrow_exchange)(t->update, n_inputs, n_outputs,
                                                          t->c_stride, t->parameters, t->c);
}

/* Computes the narrow columns of a product with A as rows, and takes them off it. */
MLP_NOINLINE void MLP_REAL(take_narrow_rows)(mlp_product *p) {
    const size_t n = MLP_REAL(narrow_columns)(p->n_columns, MLP_TURN_ROUNDS);
    const size_t n_inner = p->tiles.n_inner;
    const int pays = n == p->n_columns || p->n_rows * n_inner >= MLP_TURN_WORK;
    if (n == 0 || !pays || n_inner * n > MLP_SWEEP * MLP_PANEL) return;
    const mlp_product last = MLP_REAL(last_columns)(p, n);
    MLP_REAL(narrow_rows)(&last);
    p->n_columns -= n;
}

/* The same with A as columns. Whether all is finite that an exchange has updated. */
MLP_NOINLINE int MLP_REAL(take_narrow_gradient)(mlp_product *p) {
    const size_t n = MLP_REAL(narrow_columns)(p->n_columns, MLP_PLACE_ROUNDS);
    if (n == 0) return 1;
    const mlp_product last = MLP_REAL(last_columns)(p, n);
    p->n_columns -= n;
    return MLP_REAL(narrow_gradient)(&last);
}

/* A product with A as rows, its narrow columns apart. Both may use scratch. */
MLP_INLINE void MLP_REAL(product_by_rows)(mlp_product *p) {
    if (p->n_rows >= MLP_PANEL && p->tiles.n_inner >= MLP_PANEL) MLP_REAL(take_narrow_rows)(p);
    MLP_REAL(product_run)(p);
}

/* A product with A as columns, likewise. */
MLP_INLINE int MLP_REAL(product_by_columns)(mlp_product *p) {
    int finite = 1;
    if (p->n_rows >= MLP_PANEL && p->n_rows <= MLP_SWEEP && p->tiles.n_inner > MLP_WIDE_SAMPLES &&
        !p->tiles.accumulate)
        finite = MLP_REAL(take_narrow_gradient)(p);
    return MLP_REAL(product_run)(p) && finite;
}
