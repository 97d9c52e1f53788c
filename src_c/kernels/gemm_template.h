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
    size_t n_rows, n_inner, n_columns;
    const mlp_real *a;
    size_t a_stride;
    int a_is_columns;
    const mlp_real *b;
    size_t b_stride;
    int b_is_transposed; /* b is (n_columns, n_inner), b_stride from column to column */
    mlp_real *c;
    size_t c_stride;
    int accumulate;
    const mlp_real *bias;   /* (n_columns) or NULL */
    int bias_is_scalar;     /* bias is one number, for all columns */
    const mlp_real *factor; /* (n_rows, n_columns) at factor_stride, or NULL */
    size_t factor_stride;
    int factor_is_relu; /* factor holds outputs of ReLU: what counts is its derivative */
    mlp_activation activation;
    mlp_real *output;     /* f(c) at c_stride, may be c itself; NULL: c is all that is wanted */
    mlp_real *derivative; /* f'(c) at c_stride, or NULL */
    int watch;            /* this and the next two: see tiles */
    const mlp_optimizer *update;
    mlp_real *parameters;
    mlp_real *scratch; /* a panel of B */
} mlp_product;

/* A panel of a product whose inner dimension is n_inner at most. */
static size_t MLP_REAL(scratch_bytes)(size_t n_inner) {
    const size_t depth = n_inner < MLP_SWEEP ? n_inner : MLP_SWEEP;
    return depth * MLP_PANEL * sizeof(mlp_real);
}

/* panel (depth, MLP_PANEL) = the transpose of b (width, depth), by blocks in registers. What lies
 * beyond the last block that has a column is left as it is: no tile reads it. */
static void MLP_REAL(transpose_panel)(size_t depth, size_t width, const mlp_real *b,
                                      size_t b_stride, mlp_real *panel) {
    for (size_t k = 0; k < depth; k += MLP_BLOCK) {
        for (size_t j = 0; j < width; j += MLP_BLOCK) {
            const mlp_real *from = b + j * b_stride + k;
            mlp_real *to = panel + k * MLP_PANEL + j;
            if (k + MLP_BLOCK <= depth && j + MLP_BLOCK <= width)
                v_transpose(from, b_stride, to, MLP_PANEL);
            else
                v_transpose_part(width - j < MLP_BLOCK ? width - j : MLP_BLOCK,
                                 depth - k < MLP_BLOCK ? depth - k : MLP_BLOCK, from, b_stride, to,
                                 MLP_PANEL);
        }
    }
}

/* The tiles that suit a product of few rows or few samples; NULL: none. */
MLP_INLINE const mlp_wide_tile *MLP_REAL(wide_tiles_of)(const mlp_product *p) {
    if (p->a_is_columns)
        return p->n_inner <= MLP_WIDE_SAMPLES || p->n_rows == 1 ? MLP_REAL(wide_columns) : NULL;
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
        if (t->c != NULL) t->c += done * t->c_stride;
        if (t->factor != NULL) t->factor += done * t->factor_stride;
        if (t->output != NULL) t->output += done * t->c_stride;
        if (t->derivative != NULL) t->derivative += done * t->c_stride;
        if (t->parameters != NULL) t->parameters += done * t->c_stride;
    }
}

/* Whether all is finite that is watched. */
static int MLP_REAL(product_run)(const mlp_product *p) {
    int finite = 1;
    if (p->n_rows == 0) return finite;
    const int copies = !p->b_is_transposed && p->n_rows > 2 * MLP_TILE_ROWS &&
                       p->b_stride * sizeof(mlp_real) > MLP_SPARSE_BYTES;
    const mlp_wide_tile *wide_tiles = MLP_REAL(wide_tiles_of)(p);
    size_t n_tiles = 1, short_rows = p->n_rows, n_tall = 0;
    if (p->n_rows > MLP_TILE_ROWS) { /* divisions, which a tiny net would feel */
        n_tiles = (p->n_rows + MLP_TILE_ROWS - 1) / MLP_TILE_ROWS;
        short_rows = p->n_rows / n_tiles;
        n_tall = p->n_rows % n_tiles;
    }
    const int relu = p->activation == MLP_RELU && p->output == p->c && p->derivative == NULL;

    for (size_t k0 = 0; k0 == 0 || k0 < p->n_inner; k0 += MLP_SWEEP) {
        const size_t depth = p->n_inner - k0 < MLP_SWEEP ? p->n_inner - k0 : MLP_SWEEP;
        const int last_sweep = k0 + depth == p->n_inner;
        for (size_t column = 0, width; column < p->n_columns; column += width) {
            const size_t left = p->n_columns - column;
            const mlp_wide_tile *wide = MLP_REAL(widest_tile)(wide_tiles, left);
            width = wide ? wide->vecs * MLP_LANES : left < MLP_PANEL ? left : MLP_PANEL;
            const size_t vecs = (width + MLP_LANES - 1) / MLP_LANES;
            mlp_tiles t = {
                .n_inner = depth,
                .a = p->a_is_columns ? p->a + k0 * p->a_stride : p->a + k0,
                .a_stride = p->a_stride,
                .c = p->c ? p->c + column : NULL,
                .c_stride = p->c_stride,
                .n_last = width - (vecs - 1) * MLP_LANES,
                .accumulate = p->accumulate || k0 > 0,
            };
            if (p->b_is_transposed) {
                t.b = p->scratch;
                t.b_stride = MLP_PANEL;
                MLP_REAL(transpose_panel)(depth, width, p->b + column * p->b_stride + k0,
                                          p->b_stride, p->scratch);
            } else {
                t.b = p->b + k0 * p->b_stride + column;
                t.b_stride = p->b_stride;
            }
            if (last_sweep) {
                t.bias = p->bias && !p->bias_is_scalar ? p->bias + column : p->bias;
                t.bias_is_scalar = p->bias_is_scalar;
                t.factor = p->factor ? p->factor + column : NULL;
                t.factor_stride = p->factor_stride;
                t.factor_is_relu = p->factor_is_relu;
                t.relu = relu;
                t.watch = p->watch;
                t.activation = p->activation;
                t.output = p->output && !relu ? p->output + column : NULL;
                t.derivative = p->derivative ? p->derivative + column : NULL;
                t.update = p->update;
                t.parameters = p->parameters ? p->parameters + column : NULL;
            }
            if (wide) {
                t.n_tiles = p->a_is_columns ? p->n_rows : 1;
                finite &= wide->run(&t);
                continue;
            }
            finite &= MLP_REAL(run_tiles)(&t, n_tiles, short_rows, n_tall, vecs, p->a_is_columns,
                                          copies ? p->scratch : NULL);
        }
    }
    return finite;
}
