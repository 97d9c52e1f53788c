/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gemm_template.h - C (+)= A B, a panel of B at a time: which tiles, in which order.
 *
 * B is read from where it lies, or, where its rows lie far apart, from a copy that the first tile of
 * a panel makes in passing, which costs it two stores among 28 multiply-adds. All rows of A pass by
 * before the next panel, so that the panel stays in L2 while A streams.
 *
 * Loop order (outermost first): sweeps of the inner dimension that keep a panel in L2, panels,
 * tiles. Rows are split evenly (32 rows are 11 + 11 + 10, not 14 + 14 + 4), since a short tile
 * cannot hide the latency of its additions.
 */
#ifndef MLP_SWEEP
/* Inner indices of a sweep: with 32 columns of 4 bytes a panel takes a quarter of a 1 MiB L2. */
#define MLP_SWEEP (4 * MLP_CHUNK)
/* B is copied when its rows lie further apart than this: they then share few cache sets, and no
 * hardware prefetcher follows them. */
#define MLP_SPARSE_BYTES 1024
#endif

#define mlp_product MLP_REAL(product)
typedef struct mlp_product {
    size_t n_rows, n_columns;
    int a_is_columns;
    int b_is_transposed; /* b is (n_columns, n_inner), b_stride from column to column */
    mlp_real *scratch;   /* a panel of B */
    mlp_tiles tiles;     /* the rest, for all columns and inner indices: they are cut up here */
} mlp_product;

/* A panel of a product whose inner dimension is n_inner at most. */
static size_t MLP_REAL(scratch_bytes)(size_t n_inner) {
    const size_t depth = n_inner < MLP_SWEEP ? n_inner : MLP_SWEEP;
    return depth * MLP_PANEL * sizeof(mlp_real);
}

/* panel (depth, MLP_PANEL) = the transpose of b (width, depth). What lies beyond the last register
 * that has a column is left as it is: no tile reads it. */
static void MLP_REAL(transpose_panel)(size_t depth, size_t width, const mlp_real *b,
                                      size_t b_stride, mlp_real *panel) {
    const size_t whole_depth = depth - depth % MLP_LANES;
    mlp_vec column[MLP_LANES];
    for (size_t j = 0; j < width; j += MLP_LANES, b += MLP_LANES * b_stride, panel += MLP_LANES) {
        size_t k = 0;
        if (j + MLP_LANES <= width) {
            for (; k < whole_depth; k += MLP_LANES) {
                v_turn(b + k, b_stride, column);
                MLP_UNROLL
                for (size_t i = 0; i < MLP_LANES; i++)
                    v_store(panel + (k + i) * MLP_PANEL, column[i]);
            }
        }
        for (; k < depth; k += MLP_LANES) {
            MLP_REAL(turn_rest)(width - j, depth - k, b + k, b_stride, column);
            MLP_UNROLL
            for (size_t i = 0; i < MLP_LANES; i++)
                if (k + i < depth) v_store(panel + (k + i) * MLP_PANEL, column[i]);
        }
    }
}

/* The tiles that suit a product of few rows or few samples; NULL: none. */
MLP_INLINE const mlp_wide_tile *MLP_REAL(wide_tiles_of)(const mlp_product *p) {
    if (p->a_is_columns)
        return p->tiles.n_inner <= MLP_WIDE_SAMPLES || p->n_rows == 1 ? MLP_REAL(wide_columns)
                                                                      : NULL;
    if (p->b_is_transposed || p->n_rows > MLP_WIDE_ROWS) return NULL;
    return MLP_REAL(wide_rows)[p->n_rows - 1];
}

/* The widest of them that is not wider than n_columns; NULL: none. */
MLP_INLINE const mlp_wide_tile *MLP_REAL(widest_tile)(const mlp_wide_tile *wide, size_t n_columns) {
    if (wide == NULL) return NULL;
    while (wide->vecs > 0 && wide->vecs * MLP_LANES > n_columns)
        wide++;
    return wide->vecs > 0 ? wide : NULL;
}

/* The tile for few rows that turns B itself. */
MLP_INLINE const mlp_wide_tile *MLP_REAL(turning_tile)(size_t n_rows, size_t n_columns) {
    if (n_rows == 1 && n_columns > MLP_LANES) return &MLP_REAL(turning_pair);
    return &MLP_REAL(turning_rows)[n_rows - 1];
}

/* All tiles of one panel of n_rows: `n_tall` of short_rows + 1 rows, then the others. The first one
 * copies the panel of B to `panel` unless that is NULL. */
MLP_INLINE int MLP_REAL(run_tiles)(mlp_tiles *t, size_t n_tiles, size_t short_rows, size_t n_tall,
                                   size_t vecs, int a_is_columns, mlp_real *panel) {
    const mlp_tiles_function *by_rows =
        MLP_REAL(tile_table)[a_is_columns] + (vecs - 1) * MLP_TILE_ROWS;
    int finite = 1;
    for (size_t tile = 0;;) {
        const size_t rows = tile < n_tall ? short_rows + 1 : short_rows;
        const int copying = panel != NULL && tile == 0;
        t->n_tiles = copying ? 1 : tile < n_tall ? n_tall - tile : n_tiles - tile;
        t->b_copy = copying ? panel : NULL;
        finite &= by_rows[rows - 1](t);
        tile += t->n_tiles;
        if (tile == n_tiles) return finite;
        if (copying) {
            t->b = panel;
            t->b_stride = MLP_PANEL;
        }
        const size_t done = t->n_tiles * rows;
        t->a += done * (a_is_columns ? 1 : t->a_stride);
        t->c += done * t->c_stride;
        if (t->factor != NULL) t->factor += done * t->factor_stride;
        if (t->output != NULL) t->output += done * t->c_stride;
        if (t->derivative != NULL) t->derivative += done * t->c_stride;
        if (t->parameters != NULL) t->parameters += done * t->c_stride;
    }
}

/* Moves on to the columns from `column` on. */
MLP_INLINE void MLP_REAL(move_columns)(mlp_tiles *t, size_t column) {
    t->c += column;
    if (t->bias != NULL && !t->bias_is_scalar) t->bias += column;
    if (t->factor != NULL) t->factor += column;
    if (t->output != NULL) t->output += column;
    if (t->derivative != NULL) t->derivative += column;
    if (t->parameters != NULL) t->parameters += column;
}

/* What is done to a sum comes when it is complete. */
MLP_INLINE void MLP_REAL(sum_only)(mlp_tiles *t) {
    t->bias = t->factor = NULL;
    t->output = t->derivative = t->parameters = NULL;
    t->update = NULL;
    t->squares = NULL;
    t->relu = 0;
}

/* Whether all is finite that an exchange has updated. p->tiles is used up. */
static int MLP_REAL(product_run)(mlp_product *p) {
    const size_t n_inner = p->tiles.n_inner, b_stride = p->tiles.b_stride;
    int finite = 1;
    if (p->n_rows == 0) return finite;
    const int copies = !p->b_is_transposed && p->n_rows > 2 * MLP_TILE_ROWS &&
                       b_stride * sizeof(mlp_real) > MLP_SPARSE_BYTES;
    const mlp_wide_tile *wide_tiles = MLP_REAL(wide_tiles_of)(p);
    size_t n_tiles = 1, short_rows = p->n_rows, n_tall = 0;
    if (p->n_rows > MLP_TILE_ROWS) { /* divisions, which a tiny net would feel */
        n_tiles = (p->n_rows + MLP_TILE_ROWS - 1) / MLP_TILE_ROWS;
        short_rows = p->n_rows / n_tiles;
        n_tall = p->n_rows % n_tiles;
    }
    const int turning = p->b_is_transposed && !p->a_is_columns && p->n_rows <= MLP_TURNING_ROWS &&
                        n_inner >= MLP_LANES;

    for (size_t k0 = 0; k0 == 0 || k0 < n_inner; k0 += MLP_SWEEP) {
        const size_t depth = n_inner - k0 < MLP_SWEEP ? n_inner - k0 : MLP_SWEEP;
        for (size_t column = 0, width; column < p->n_columns; column += width) {
            const size_t left = p->n_columns - column;
            const mlp_wide_tile *wide = turning ? MLP_REAL(turning_tile)(p->n_rows, left)
                                                : MLP_REAL(widest_tile)(wide_tiles, left);
            const size_t widest = wide ? wide->vecs * MLP_LANES : MLP_PANEL;
            width = left < widest ? left : widest;
            const size_t vecs = (width + MLP_LANES - 1) / MLP_LANES;
            /* Not copied where it is used once: a copy by registers waits until all its words,
             * which were just written, have reached the cache. */
            const int is_all = width == p->n_columns && depth == n_inner;
            mlp_tiles part, *t = &p->tiles;
            if (!is_all) {
                part = p->tiles;
                t = &part;
                t->n_inner = depth;
                t->b += p->b_is_transposed ? column * b_stride + k0 : k0 * b_stride + column;
                MLP_REAL(move_columns)(t, column);
                if (k0 > 0) {
                    t->a += k0 * (p->a_is_columns ? t->a_stride : 1);
                    t->accumulate = 1;
                }
                if (k0 + depth < n_inner) MLP_REAL(sum_only)(t);
            }
            t->n_last = width - (vecs - 1) * MLP_LANES;
            if (p->b_is_transposed && !turning) {
                MLP_REAL(transpose_panel)(depth, width, t->b, b_stride, p->scratch);
                t->b = p->scratch;
                t->b_stride = MLP_PANEL;
            }
            if (wide) {
                t->n_tiles = p->a_is_columns ? p->n_rows : 1;
                finite &= wide->run(t);
            } else {
                finite &= MLP_REAL(run_tiles)(t, n_tiles, short_rows, n_tall, vecs, p->a_is_columns,
                                              copies ? p->scratch : NULL);
            }
        }
    }
    return finite;
}
