/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tile_product_template.h - a tile of C (+)= A B, summed in registers.
 *
 * Parameters (set by kernels_<isa>.c and real.h)
 *   MLP_TILE_ROWS   rows of a full tile
 *   MLP_TILE_VECS   registers across a tile; a panel is MLP_PANEL = VECS * LANES columns wide
 *   mlp_real, MLP_REAL(name), the words of simd.h
 *
 * One tile holds ROWS x VECS accumulators in registers. For each index of the inner dimension it
 * loads VECS registers of B and multiplies each by ROWS broadcast elements of A. An output is thus
 * a chain of fused multiply-adds in index order, whatever the tile's size: that is what makes all
 * splits and all instruction sets agree to the bit.
 *
 * A is read from where it lies, as rows (inner index contiguous: a forward product) or as columns
 * (row index contiguous: the transposed x of a weight gradient). B lies as rows; or as columns (the
 * weight of a backward product), which the first tile on a panel turns in passing, and leaves turned
 * for those below it.
 */
#define MLP_PANEL        (MLP_TILE_VECS * MLP_LANES)
#define MLP_ACCUMULATORS (MLP_TILE_ROWS * MLP_TILE_VECS)
#define MLP_WIDEST       16 /* registers of the widest tile, on any instruction set */

#ifndef MLP_FETCH_AHEAD
/* Inner indices by which the prefetch of a panel that is copied runs ahead: some 450 cycles. */
#define MLP_FETCH_AHEAD 32
/* A tile over so many inner indices takes long enough for what follows it to be asked for. */
#define MLP_DEEP 128

/* How a tile reads A and B: both as rows, or one of them as columns. */
typedef enum mlp_tile_kind { MLP_ROWS, MLP_A_COLUMNS, MLP_B_COLUMNS } mlp_tile_kind;
#endif

/* n_tiles tiles of equal height below each other, on one panel of B. */
#define mlp_tiles MLP_REAL(tiles)
typedef struct mlp_tiles {
    size_t n_tiles;
    size_t n_inner;
    const mlp_real *a;
    size_t a_stride; /* rows: from row to row; columns: from inner index to inner index */
    int a_is_columns;
    const mlp_real *b;
    size_t b_stride;  /* from inner index to inner index; B as columns: from column to column */
    mlp_real *b_copy; /* where the panel is copied to as rows of MLP_PANEL columns; or NULL */
    size_t n_last;    /* columns in the last register, 1 .. LANES */
    mlp_real *c;
    size_t c_stride;
    int accumulate;         /* C + AB instead of AB */
    int relu;               /* C becomes max(0, .) */
    mlp_real *squares;      /* (LANES) the squares of C before ReLU are added to them; or NULL */
    const mlp_real *bias;   /* (columns) or NULL */
    int bias_is_scalar;     /* bias is one number, for all columns */
    const mlp_real *factor; /* (rows, columns) at factor_stride, or NULL */
    size_t factor_stride;
    int factor_is_relu;        /* factor holds outputs of ReLU: what counts is its derivative */
    mlp_activation activation; /* of output and derivative, unless relu */
    mlp_real *output;     /* f(c) at c_stride, may be c itself; NULL: c is all that is wanted */
    mlp_real *derivative; /* f'(c) at c_stride, or NULL */
    /* Plain SGD: AB is a gradient, by which the parameters (at c_stride) are updated. C becomes what
     * they were, and the result tells whether all are finite; if that is sure, nothing is kept and
     * nothing told. update NULL: C is what is wanted. */
    const mlp_optimizer *update;
    mlp_real *parameters;
    int sure;
} mlp_tiles;

/* Rows are addressed from every third row's pointer, so that 14 of them need five registers. */
#define MLP_ROW_POINTERS ((MLP_TILE_ROWS + 2) / 3)

/* One index of the inner dimension: the elements of A, `at` from where the rows' pointers are, times
 * a row of B that lies in registers. */
MLP_INLINE void MLP_REAL(add_products)(const mlp_real *const *group, size_t row_step,
                                       const size_t at, const mlp_vec *bv, const size_t rows,
                                       const size_t vecs, mlp_vec acc[MLP_ACCUMULATORS]) {
    MLP_UNROLL
    for (size_t i = 0; i < rows; i++) {
        const mlp_vec ai = v_set1(group[i / 3][(i % 3) * row_step + at]);
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++)
            acc[i * vecs + v] = v_fma(ai, bv[v], acc[i * vecs + v]);
    }
}

MLP_INLINE void MLP_REAL(advance)(const mlp_real **group, size_t step, const size_t rows) {
    MLP_UNROLL
    for (size_t g = 0; g < (rows + 2) / 3; g++)
        group[g] += step;
}

/* The same with B as it lies; copies its row to `copy` unless that is NULL. */
MLP_INLINE void MLP_REAL(tile_step)(const mlp_real *const *group, size_t row_step,
                                    const mlp_real *b, size_t b_stride, mlp_real *copy,
                                    const size_t rows, const size_t vecs, mlp_tail tail,
                                    mlp_vec acc[MLP_ACCUMULATORS]) {
    mlp_vec bv[MLP_ACCUMULATORS];
    MLP_UNROLL
    for (size_t v = 0; v + 1 < vecs; v++)
        bv[v] = v_load(b + v * MLP_LANES);
    bv[vecs - 1] = v_load_tail(b + (vecs - 1) * MLP_LANES, tail);
    if (copy != NULL) {
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++) {
            v_store(copy + v * MLP_LANES, bv[v]);
            MLP_PREFETCH(b + MLP_FETCH_AHEAD * b_stride + v * MLP_LANES + MLP_LANES - 1);
        }
    }
    MLP_REAL(add_products)(group, row_step, 0, bv, rows, vecs, acc);
}

/* The same with a row of B that has been turned; A lies as rows. */
MLP_INLINE void MLP_REAL(turned_step)(const mlp_real *const *group, size_t row_step,
                                      const size_t at, const mlp_vec *bv, mlp_real *copy,
                                      const size_t rows, const size_t vecs,
                                      mlp_vec acc[MLP_ACCUMULATORS]) {
    if (copy != NULL) {
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++)
            v_store(copy + at * MLP_PANEL + v * MLP_LANES, bv[v]);
    }
    MLP_REAL(add_products)(group, row_step, at, bv, rows, vecs, acc);
}

/* Inner indices that a tile turns at once: registers of columns side by side take half a block each,
 * one by itself a whole one. */
#define MLP_TURNED(vecs) ((vecs) == 1 ? MLP_LANES : MLP_HALF_LANES)

/* So many of columns of B, n_last of them in the last register: they are turned and used at once,
 * which spares the memory between. */
MLP_INLINE void MLP_REAL(turning_step)(const mlp_real *const *group, size_t row_step,
                                       const mlp_real *b, size_t b_stride, size_t n_last,
                                       mlp_real *copy, const size_t rows, const size_t vecs,
                                       const size_t turned, mlp_vec acc[MLP_ACCUMULATORS]) {
    mlp_vec column[MLP_LANES], row[MLP_LANES][MLP_TILE_VECS];
    MLP_UNROLL
    for (size_t v = 0; v < vecs; v++) {
        const mlp_real *from = b + v * MLP_LANES * b_stride;
        if (vecs == 1)
            v_turn(n_last, from, b_stride, column);
        else
            v_turn_half(v + 1 < vecs ? MLP_LANES : n_last, from, b_stride, column);
        MLP_UNROLL
        for (size_t i = 0; i < turned; i++)
            row[i][v] = column[i];
    }
    MLP_UNROLL
    for (size_t i = 0; i < turned; i++)
        MLP_REAL(turned_step)(group, row_step, i, row[i], copy, rows, vecs, acc);
}

/* turned (depth, LANES) = the transpose of b (n_columns, depth), at most LANES each. */
MLP_NOINLINE void MLP_REAL(turn_to)(size_t n_columns, size_t depth, const mlp_real *b,
                                    size_t b_stride, mlp_real *turned) {
    mlp_vec column[MLP_LANES];
    MLP_REAL(turn_rest)(n_columns, depth, b, b_stride, column);
    MLP_UNROLL
    for (size_t i = 0; i < MLP_LANES; i++)
        v_store(turned + i * MLP_LANES, column[i]);
}

/* A turning_step with fewer inner indices than that. */
MLP_INLINE void MLP_REAL(turning_rest)(size_t depth, const mlp_real **group, size_t row_step,
                                       const mlp_real *b, size_t b_stride, size_t n_last,
                                       mlp_real *copy, const size_t rows, const size_t vecs,
                                       mlp_vec acc[MLP_ACCUMULATORS]) {
    mlp_real block[MLP_TILE_VECS][MLP_LANES * MLP_LANES];
    MLP_UNROLL
    for (size_t v = 0; v < vecs; v++)
        MLP_REAL(turn_to)(v + 1 < vecs ? MLP_LANES : n_last, depth, b + v * MLP_LANES * b_stride,
                          b_stride, block[v]);
    for (size_t i = 0; i < depth; i++) {
        mlp_vec row[MLP_TILE_VECS];
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++)
            row[v] = v_load(block[v] + i * MLP_LANES);
        MLP_REAL(turned_step)(group, row_step, 0, row, copy, rows, vecs, acc);
        MLP_REAL(advance)(group, 1, rows);
        if (copy != NULL) copy += MLP_PANEL;
    }
}

/* Chunks of the inner dimension, each from zero, added up in order. */
MLP_INLINE void MLP_REAL(tile_multiply)(const mlp_tiles *t, const mlp_real *a, const mlp_real *c,
                                        const size_t rows, const size_t vecs,
                                        const mlp_tile_kind kind, mlp_tail tail,
                                        mlp_vec acc[MLP_ACCUMULATORS]) {
    const int a_is_columns = kind == MLP_A_COLUMNS;
    const size_t b_stride = t->b_stride, a_stride = t->a_stride;
    const size_t row_step = a_is_columns ? 1 : a_stride, inner_step = a_is_columns ? a_stride : 1;
    const mlp_real *b = t->b;
    mlp_real *copy = t->b_copy;
    const mlp_real *group[MLP_ROW_POINTERS];
    MLP_UNROLL
    for (size_t g = 0; g < (rows + 2) / 3; g++)
        group[g] = a + 3 * g * row_step;

    mlp_real chunks[MLP_ACCUMULATORS * MLP_LANES];
    const mlp_real *sum = t->accumulate ? c : NULL; /* of the chunks so far */
    size_t sum_stride = t->c_stride;
    for (size_t left = t->n_inner;;) {
        const size_t depth = left < MLP_CHUNK ? left : MLP_CHUNK;
        MLP_UNROLL
        for (size_t i = 0; i < rows; i++) {
            MLP_UNROLL
            for (size_t v = 0; v < vecs; v++)
                acc[i * vecs + v] = v_zero();
        }
        if (kind == MLP_B_COLUMNS) {
            const size_t turned = MLP_TURNED(vecs);
            size_t k = 0;
            for (; k + turned <= depth; k += turned) {
                MLP_REAL(turning_step)(group, row_step, b + k, b_stride, t->n_last, copy, rows,
                                       vecs, turned, acc);
                MLP_REAL(advance)(group, turned, rows);
                if (copy != NULL) copy += turned * MLP_PANEL;
            }
            if (k < depth) {
                MLP_REAL(turning_rest)(depth - k, group, row_step, b + k, b_stride, t->n_last, copy,
                                       rows, vecs, acc);
            }
            b += depth;
            /* Products of few rows do not copy, and those of many have no short tiles. */
        } else if (copy == NULL || rows <= MLP_TILE_ROWS / 2) {
            for (size_t k = 0; k < depth; k++, b += b_stride) {
                MLP_REAL(tile_step)(group, row_step, b, b_stride, NULL, rows, vecs, tail, acc);
                MLP_REAL(advance)(group, inner_step, rows);
            }
        } else {
            for (size_t k = 0; k < depth; k++, b += b_stride, copy += MLP_PANEL) {
                MLP_REAL(tile_step)(group, row_step, b, b_stride, copy, rows, vecs, tail, acc);
                MLP_REAL(advance)(group, inner_step, rows);
            }
        }
        left -= depth;
        if (sum != NULL) {
            MLP_UNROLL
            for (size_t i = 0; i < rows; i++) {
                const mlp_real *from = sum + i * sum_stride;
                MLP_UNROLL
                for (size_t v = 0; v + 1 < vecs; v++)
                    acc[i * vecs + v] = v_add(v_load(from + v * MLP_LANES), acc[i * vecs + v]);
                acc[i * vecs + vecs - 1] = v_add(v_load_tail(from + (vecs - 1) * MLP_LANES, tail),
                                                 acc[i * vecs + vecs - 1]);
            }
        }
        if (left == 0) return;
        MLP_UNROLL
        for (size_t i = 0; i < rows; i++) {
            MLP_UNROLL
            for (size_t v = 0; v < vecs; v++)
                v_store(chunks + (i * vecs + v) * MLP_LANES, acc[i * vecs + v]);
        }
        sum = chunks;
        sum_stride = vecs * MLP_LANES;
    }
}
