/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gemm_template.h - C (+)= A B, a panel of B at a time: which tiles, in which order.
 *
 * B is read from where it lies, or, where its rows lie far apart or have to be turned, from a copy
 * that the first tile of a panel makes in passing, which costs it two stores among 28 multiply-adds;
 * where there is little to turn, from one that is made before. All rows of A pass by before the
 * next panel, so that the panel stays in L2 while A streams.
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
/* Lines at such distances lie in one set of L1, which has 8 or 12 ways. */
#define MLP_ONE_SET_BYTES 4096
#endif

/* Aligned, since compilers clear it by whole registers, which should not lie across two lines. */
#define mlp_product MLP_REAL(product)
typedef struct mlp_product {
    MLP_ALIGNED(MLP_ALIGNMENT) mlp_tiles tiles; /* for all columns and inner indices: cut up here */
    size_t n_rows, n_columns;
    int b_is_transposed; /* b is (n_columns, n_inner), b_stride from column to column */
    mlp_real *scratch;   /* a panel of B */
} mlp_product;

/* A panel of a product whose inner dimension is n_inner at most. */
static size_t MLP_REAL(scratch_bytes)(size_t n_inner) {
    const size_t depth = n_inner < MLP_SWEEP ? n_inner : MLP_SWEEP;
    return depth * MLP_PANEL * sizeof(mlp_real);
}

/* The tiles that suit a product of few rows or few samples; NULL: none. */
MLP_INLINE const mlp_wide_tile *MLP_REAL(wide_tiles_of)(const mlp_product *p) {
    if (p->tiles.a_is_columns)
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

/* Too few inner indices for a tile to turn B in passing, or few with a rest. */
MLP_INLINE int MLP_REAL(is_short)(size_t n_inner) {
    return n_inner < MLP_LANES || (n_inner < 2 * MLP_LANES && n_inner % MLP_HALF_LANES != 0);
}

MLP_INLINE int MLP_REAL(is_turned_before)(const mlp_product *p) {
    return p->b_is_transposed && MLP_REAL(is_short)(p->tiles.n_inner);
}

/* panel (depth, MLP_PANEL) = the transpose of b (width, depth) for those. What lies beyond the last
 * register that has a column is left as it is: no tile reads it. */
static void MLP_REAL(turn_panel)(size_t depth, size_t width, const mlp_real *b, size_t b_stride,
                                 mlp_real *panel) {
    for (size_t j = 0; j < width; j += MLP_LANES) {
        for (size_t k = 0; k < depth; k += MLP_LANES) {
            mlp_vec column[MLP_LANES];
            MLP_REAL(turn_rest)(width - j, depth - k, b + j * b_stride + k, b_stride, column);
            MLP_UNROLL
            for (size_t i = 0; i < MLP_LANES; i++)
                if (k + i < depth) v_store(panel + (k + i) * MLP_PANEL + j, column[i]);
        }
    }
}

/* How the rows of a product are cut: a first tile that leaves the panel of B where the others find
 * it, unless its height is 0, and then `n_tall` tiles of short_rows + 1 rows, and shorter ones. */
#define mlp_row_split MLP_REAL(row_split)
typedef struct mlp_row_split {
    size_t first_rows, n_tiles, short_rows, n_tall;
} mlp_row_split;

MLP_INLINE mlp_row_split MLP_REAL(split_rows)(const mlp_product *p) {
    const size_t n_rows = p->n_rows;
    mlp_row_split split = {0};
    if (MLP_REAL(is_turned_before)(p)) {
        /* no first tile */
    } else if (p->b_is_transposed) {
        split.first_rows = n_rows;
        if (n_rows > MLP_TURNING_ROWS) {
            const size_t n_others = (n_rows - MLP_TURNING_ROWS + MLP_TILE_ROWS - 1) / MLP_TILE_ROWS;
            const size_t even = n_rows / (1 + n_others);
            split.first_rows = even < MLP_TURNING_ROWS ? even : MLP_TURNING_ROWS;
        }
    } else if (n_rows > 2 * MLP_TILE_ROWS &&
               p->tiles.b_stride * sizeof(mlp_real) > MLP_SPARSE_BYTES) {
        const size_t n_tiles = (n_rows + MLP_TILE_ROWS - 1) / MLP_TILE_ROWS;
        split.first_rows = (n_rows + n_tiles - 1) / n_tiles;
    }
    const size_t rest = n_rows - split.first_rows;
    if (rest <= MLP_TILE_ROWS) { /* without divisions, which a tiny net would feel */
        split.n_tiles = rest > 0;
        split.short_rows = rest;
    } else {
        split.n_tiles = (rest + MLP_TILE_ROWS - 1) / MLP_TILE_ROWS;
        split.short_rows = rest / split.n_tiles;
        split.n_tall = rest % split.n_tiles;
    }
    return split;
}

/* The first tile of a panel, which turns it: a register of columns at a time where the lines of
 * more, and those of the copy, would push each other out of L1. */
MLP_NOINLINE int MLP_REAL(run_turning)(const mlp_tiles *t, size_t rows, size_t vecs) {
    const mlp_tiles_function *by_vecs = MLP_REAL(turning_table) + rows - 1;
    const size_t crowding = t->b_copy != NULL ? MLP_ONE_SET_BYTES / 2 : MLP_ONE_SET_BYTES;
    if (vecs == 1 || t->b_stride * sizeof(mlp_real) % crowding != 0)
        return by_vecs[(vecs - 1) * MLP_TURNING_ROWS](t);
    for (size_t v = 0; v < vecs; v++) {
        mlp_tiles part = *t;
        part.b += v * MLP_LANES * part.b_stride;
        if (part.b_copy != NULL) part.b_copy += v * MLP_LANES;
        if (v + 1 < vecs) part.n_last = MLP_LANES;
        MLP_REAL(move_columns)(&part, v * MLP_LANES);
        by_vecs[0](&part);
    }
    return 1;
}

/* All tiles of one panel of `width` columns. What is moved down is moved up again unless this panel
 * is the last. */
MLP_INLINE int MLP_REAL(panel_run)(mlp_tiles *t, const mlp_product *p, const mlp_row_split *split,
                                   size_t width, const int is_last) {
    const size_t vecs = (width + MLP_LANES - 1) / MLP_LANES, at = (vecs - 1) * MLP_TILE_ROWS - 1;
    const mlp_tiles_function *by_rows = MLP_REAL(tile_table)[t->a_is_columns];
    int finite = 1;
    size_t moved = split->first_rows;
    t->n_last = width - (vecs - 1) * MLP_LANES;
    t->b_copy = NULL;
    if (MLP_REAL(is_turned_before)(p)) {
        MLP_REAL(turn_panel)(t->n_inner, width, t->b, t->b_stride, p->scratch);
        t->b = p->scratch;
        t->b_stride = MLP_PANEL;
    }
    if (split->first_rows > 0) {
        t->n_tiles = 1;
        if (split->n_tiles > 0) t->b_copy = p->scratch;
        finite &= p->b_is_transposed ? MLP_REAL(run_turning)(t, split->first_rows, vecs)
                                     : by_rows[at + split->first_rows](t);
        if (split->n_tiles == 0) return finite;
        t->b = p->scratch;
        t->b_stride = MLP_PANEL;
        t->b_copy = NULL;
        MLP_REAL(move_rows)(t, (ptrdiff_t)split->first_rows);
    }
    for (size_t tile = 0;;) {
        const size_t rows = tile < split->n_tall ? split->short_rows + 1 : split->short_rows;
        t->n_tiles = tile < split->n_tall ? split->n_tall - tile : split->n_tiles - tile;
        finite &= by_rows[at + rows](t);
        tile += t->n_tiles;
        if (tile == split->n_tiles) break;
        MLP_REAL(move_rows)(t, (ptrdiff_t)(t->n_tiles * rows));
        moved += t->n_tiles * rows;
    }
    if (!is_last && moved > 0) MLP_REAL(move_rows)(t, -(ptrdiff_t)moved);
    return finite;
}

/* What is done to a sum comes when it is complete. */
MLP_INLINE void MLP_REAL(sum_only)(mlp_tiles *t) {
    t->bias = t->factor = NULL;
    t->output = t->derivative = t->parameters = NULL;
    t->update = NULL;
    t->squares = NULL;
    t->relu = 0;
}

/* One sweep: t has its inner indices, and the first of its columns. t is used up, but moved rather
 * than copied: a copy by registers waits until all words, which were just written, have reached the
 * cache. */
MLP_INLINE int MLP_REAL(sweep_run)(mlp_tiles *t, const mlp_product *p) {
    const mlp_row_split split = MLP_REAL(split_rows)(p);
    /* The loop would be a twentieth of a tiny step. */
    if (p->n_columns <= MLP_PANEL) return MLP_REAL(panel_run)(t, p, &split, p->n_columns, 1);
    const mlp_real *b = t->b;
    const size_t b_stride = t->b_stride;
    const mlp_wide_tile *wide_tiles = MLP_REAL(wide_tiles_of)(p);
    const int is_long_row = p->n_rows == 1 && !p->b_is_transposed && !t->a_is_columns &&
                            p->n_columns * sizeof(mlp_real) > MLP_LONG_ROW_BYTES;
    int finite = 1;
    for (size_t left = p->n_columns;;) {
        const mlp_wide_tile *wide = is_long_row ? NULL : MLP_REAL(widest_tile)(wide_tiles, left);
        const size_t widest = is_long_row ? MLP_LONG_COLUMNS
                              : wide      ? wide->vecs * MLP_LANES
                                          : MLP_PANEL;
        const size_t width = left < widest ? left : widest;
        if (is_long_row) {
            MLP_REAL(long_row_run)(t, width);
        } else if (wide) {
            t->n_last = width - (width - 1) / MLP_LANES * MLP_LANES;
            t->n_tiles = t->a_is_columns ? p->n_rows : 1;
            finite &= wide->run(t);
        } else {
            finite &= MLP_REAL(panel_run)(t, p, &split, width, 0);
        }
        left -= width;
        if (left == 0) return finite;
        b += p->b_is_transposed ? width * b_stride : width;
        t->b = b;
        t->b_stride = b_stride;
        MLP_REAL(move_columns)(t, width);
    }
}

/* Whether all is finite that an exchange has updated. p->tiles is used up. */
static int MLP_REAL(product_run)(mlp_product *p) {
    mlp_tiles *t = &p->tiles;
    const size_t n_inner = t->n_inner;
    if (p->n_rows == 0 || p->n_columns == 0) return 1;
    if (n_inner <= MLP_SWEEP) return MLP_REAL(sweep_run)(t, p);
    int finite = 1;
    for (size_t k0 = 0; k0 < n_inner; k0 += MLP_SWEEP) {
        mlp_tiles part = *t;
        part.n_inner = n_inner - k0 < MLP_SWEEP ? n_inner - k0 : MLP_SWEEP;
        part.a += k0 * (t->a_is_columns ? t->a_stride : 1);
        part.b += k0 * (p->b_is_transposed ? 1 : t->b_stride);
        if (k0 > 0) part.accumulate = 1;
        if (k0 + part.n_inner < n_inner) MLP_REAL(sum_only)(&part);
        finite &= MLP_REAL(sweep_run)(&part, p);
    }
    return finite;
}
