/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gemm_template.h - C (+)= A B in register tiles, with a layer's tail done while a tile is hot.
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
 * A comes as rows (inner index contiguous: a forward product) or as columns (row index contiguous:
 * the transposed x of a weight gradient); either is broadcast from where it lies or from a packed
 * copy. B comes as packed panels, or as the matrix itself with its row stride.
 *
 * Loop order (outermost first): groups of panels that fit L2, chunks of the inner dimension, row
 * tiles whose A fits L1, panels of the group. Rows are split evenly (32 rows are 11 + 11 + 10, not
 * 14 + 14 + 4), since a short tile cannot hide the latency of its additions.
 */
#define MLP_PANEL (MLP_TILE_VECS * MLP_LANES)

#ifndef MLP_GROUP_BYTES
/* A group of panels, one chunk deep, takes half of a 1 MiB L2. */
#define MLP_GROUP_BYTES (512 * 1024)
/* Row pitch of a packed tile of A: a chunk plus a few lines, so that rows do not share cache sets. */
#define MLP_PACKED_PITCH (MLP_CHUNK + 32)
/* Rows at this distance in bytes, or a multiple, compete for the same few cache sets. */
#define MLP_ALIASING_BYTES 1024
#endif
#define MLP_GROUP_PANELS (MLP_GROUP_BYTES / (MLP_CHUNK * MLP_PANEL * sizeof(mlp_real)))

/* ------------------------------------------------------------------------------- the tile */

typedef struct MLP_REAL(tile) {
    size_t n_inner;
    const mlp_real *a;
    size_t a_stride; /* rows: from row to row; columns: from inner index to inner index */
    const mlp_real *b;
    size_t b_stride; /* from inner index to inner index */
    mlp_real *c;
    size_t c_stride;
    size_t n_last;          /* columns in the last register, 1 .. LANES */
    int accumulate;         /* C + AB instead of AB */
    int relu;               /* max(0, .), after the bias */
    const mlp_real *bias;   /* (columns) or NULL */
    const mlp_real *factor; /* (rows, columns) at c_stride, or NULL */
} MLP_REAL(tile);

/* Rows are addressed from every third row's pointer, so that 14 of them need five registers. */
#define MLP_ROW_POINTERS ((MLP_TILE_ROWS + 2) / 3)

MLP_INLINE void MLP_REAL(tile_run)(const MLP_REAL(tile) * t, const size_t rows, const size_t vecs,
                                   const int a_is_columns) {
    mlp_vec acc[MLP_TILE_ROWS][MLP_TILE_VECS];
    const mlp_tail tail = v_tail(t->n_last);
    const mlp_real *b = t->b;
    const size_t b_stride = t->b_stride, a_stride = t->a_stride;
    MLP_UNROLL
    for (size_t i = 0; i < rows; i++) {
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++)
            acc[i][v] = v_zero();
    }
    MLP_UNROLL
    for (size_t i = 0; i < rows; i++) {
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++)
            MLP_PREFETCH_TO_WRITE(t->c + i * t->c_stride + v * MLP_LANES);
    }
    const size_t row_step = a_is_columns ? 1 : a_stride, inner_step = a_is_columns ? a_stride : 1;
    const mlp_real *group[MLP_ROW_POINTERS];
    MLP_UNROLL
    for (size_t g = 0; g < (rows + 2) / 3; g++)
        group[g] = t->a + 3 * g * row_step;
    for (size_t k = 0; k < t->n_inner; k++) {
        mlp_vec bv[MLP_TILE_VECS];
        MLP_UNROLL
        for (size_t v = 0; v + 1 < vecs; v++)
            bv[v] = v_load(b + v * MLP_LANES);
        bv[vecs - 1] = v_load_tail(b + (vecs - 1) * MLP_LANES, tail);
        MLP_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const mlp_vec ai = v_set1(group[i / 3][(i % 3) * row_step]);
            MLP_UNROLL
            for (size_t v = 0; v < vecs; v++)
                acc[i][v] = v_fma(ai, bv[v], acc[i][v]);
        }
        MLP_UNROLL
        for (size_t g = 0; g < (rows + 2) / 3; g++)
            group[g] += inner_step;
        b += b_stride;
    }

    if (t->accumulate) {
        MLP_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const mlp_real *c = t->c + i * t->c_stride;
            MLP_UNROLL
            for (size_t v = 0; v + 1 < vecs; v++)
                acc[i][v] = v_add(v_load(c + v * MLP_LANES), acc[i][v]);
            acc[i][vecs - 1] =
                v_add(v_load_tail(c + (vecs - 1) * MLP_LANES, tail), acc[i][vecs - 1]);
        }
    }
    if (t->bias) {
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++) {
            const mlp_vec bias = v + 1 < vecs ? v_load(t->bias + v * MLP_LANES)
                                              : v_load_tail(t->bias + v * MLP_LANES, tail);
            MLP_UNROLL
            for (size_t i = 0; i < rows; i++)
                acc[i][v] = v_add(acc[i][v], bias);
        }
    }
    if (t->relu) {
        MLP_UNROLL
        for (size_t i = 0; i < rows; i++) {
            MLP_UNROLL
            for (size_t v = 0; v < vecs; v++)
                acc[i][v] = v_max(v_zero(), acc[i][v]);
        }
    }
    if (t->factor) {
        MLP_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const mlp_real *factor = t->factor + i * t->c_stride;
            MLP_UNROLL
            for (size_t v = 0; v + 1 < vecs; v++)
                acc[i][v] = v_mul(acc[i][v], v_load(factor + v * MLP_LANES));
            acc[i][vecs - 1] =
                v_mul(acc[i][vecs - 1], v_load_tail(factor + (vecs - 1) * MLP_LANES, tail));
        }
    }
    MLP_UNROLL
    for (size_t i = 0; i < rows; i++) {
        mlp_real *c = t->c + i * t->c_stride;
        MLP_UNROLL
        for (size_t v = 0; v + 1 < vecs; v++)
            v_store(c + v * MLP_LANES, acc[i][v]);
        v_store_tail(c + (vecs - 1) * MLP_LANES, tail, acc[i][vecs - 1]);
    }
}

/* Every tile of up to MLP_TILE_ROWS x MLP_TILE_VECS as a function of its own, so that the counts
 * are constants and the accumulators stay in registers. */
typedef void (*MLP_REAL(tile_function))(const MLP_REAL(tile) *);

#define MLP_TILE_NAME(r, v, kind) MLP_REAL(tile_##kind##_##r##x##v)
#define MLP_TILE_DEFINE(r, v)                                            \
    static void MLP_TILE_NAME(r, v, rows)(const MLP_REAL(tile) * t) {    \
        MLP_REAL(tile_run)(t, r, v, 0);                                  \
    }                                                                    \
    static void MLP_TILE_NAME(r, v, columns)(const MLP_REAL(tile) * t) { \
        MLP_REAL(tile_run)(t, r, v, 1);                                  \
    }
#define MLP_TILE_ROWS_ENTRY(r, v)    MLP_TILE_NAME(r, v, rows),
#define MLP_TILE_COLUMNS_ENTRY(r, v) MLP_TILE_NAME(r, v, columns),

MLP_FOR_EACH_TILE(MLP_TILE_DEFINE)

/* [a_is_columns][(vecs - 1) * MLP_TILE_ROWS + rows - 1] */
static const MLP_REAL(tile_function) MLP_REAL(tiles)[2][MLP_TILE_VECS * MLP_TILE_ROWS] = {
    {MLP_FOR_EACH_TILE(MLP_TILE_ROWS_ENTRY)}, {MLP_FOR_EACH_TILE(MLP_TILE_COLUMNS_ENTRY)}};

/* ---------------------------------------------------------------------------- the product */

typedef struct MLP_REAL(product) {
    size_t n_rows, n_inner, n_columns;
    const mlp_real *a;
    size_t a_stride;
    int a_is_columns;
    const mlp_real *b;
    size_t b_panel;  /* from panel to panel */
    size_t b_stride; /* from inner index to inner index */
    int may_pack_b;  /* B is a matrix as it lies, and the scratch has room for its panels */
    mlp_real *c;     /* rows at distance n_columns */
    int accumulate;
    const mlp_real *bias;   /* (n_columns) or NULL */
    const mlp_real *factor; /* (n_rows, n_columns) or NULL */
    mlp_activation activation;
    mlp_real *output;     /* f(c), may be c itself; NULL: c is all that is wanted */
    mlp_real *derivative; /* f'(c) or NULL */
    mlp_real *scratch;
} MLP_REAL(product);

MLP_INLINE void MLP_REAL(copy)(size_t n, const mlp_real *from, mlp_real *to) {
    size_t j = 0;
    for (; j + MLP_LANES <= n; j += MLP_LANES)
        v_store(to + j, v_load(from + j));
    if (j < n) v_store_tail(to + j, v_tail(n - j), v_load_tail(from + j, v_tail(n - j)));
}

/* One panel: rows of `width` columns, filled up with zeros. */
static void MLP_REAL(pack_panel)(size_t n_inner, size_t width, const mlp_real *b, size_t b_stride,
                                 mlp_real *panel) {
    if (width == MLP_PANEL) {
        for (size_t k = 0; k < n_inner; k++, b += b_stride, panel += MLP_PANEL) {
            MLP_UNROLL
            for (size_t v = 0; v < MLP_TILE_VECS; v++)
                v_store(panel + v * MLP_LANES, v_load(b + v * MLP_LANES));
        }
        return;
    }
    const size_t full = width / MLP_LANES, rest = width % MLP_LANES;
    for (size_t k = 0; k < n_inner; k++, b += b_stride, panel += MLP_PANEL) {
        for (size_t v = 0; v < full; v++)
            v_store(panel + v * MLP_LANES, v_load(b + v * MLP_LANES));
        size_t v = full;
        if (rest) {
            v_store(panel + v * MLP_LANES, v_load_tail(b + v * MLP_LANES, v_tail(rest)));
            v++;
        }
        for (; v < MLP_TILE_VECS; v++)
            v_store(panel + v * MLP_LANES, v_zero());
    }
}

/* Asks for one of n_parts of the tile of A from `row` on, which is packed next: while this tile is
 * computed, its lines come from L3 or memory. */
MLP_INLINE void MLP_REAL(fetch_rows)(const MLP_REAL(product) * p, size_t row, size_t k0,
                                     size_t depth, size_t part, size_t n_parts) {
    const size_t line = 64 / sizeof(mlp_real);
    const size_t last = row + MLP_TILE_ROWS < p->n_rows ? row + MLP_TILE_ROWS : p->n_rows;
    if (p->a_is_columns) {
        const size_t begin = depth * part / n_parts, end = depth * (part + 1) / n_parts;
        for (size_t k = begin; k < end; k++) {
            const mlp_real *a = p->a + (k0 + k) * p->a_stride;
            MLP_PREFETCH(a + row);
            MLP_PREFETCH(a + last - 1);
        }
        return;
    }
    const size_t begin = (last - row) * part / n_parts, end = (last - row) * (part + 1) / n_parts;
    for (size_t i = begin; i < end; i++) {
        const mlp_real *a = p->a + (row + i) * p->a_stride + k0;
        for (size_t k = 0; k < depth; k += line)
            MLP_PREFETCH(a + k);
    }
}

/* A packed tile of A, and a packed group of B unless B has one panel only. */
static size_t MLP_REAL(scratch_bytes)(size_t n_columns) {
    const size_t n_panels = (n_columns + MLP_PANEL - 1) / MLP_PANEL;
    const size_t n_packed = n_panels < 2                  ? 0
                            : n_panels < MLP_GROUP_PANELS ? n_panels
                                                          : MLP_GROUP_PANELS;
    return (MLP_TILE_ROWS * MLP_PACKED_PITCH + n_packed * MLP_PANEL * MLP_CHUNK) * sizeof(mlp_real);
}

static void MLP_REAL(product_run)(const MLP_REAL(product) * p) {
    if (p->n_rows == 0 || p->n_columns == 0) return;
    const size_t n_panels = (p->n_columns + MLP_PANEL - 1) / MLP_PANEL;
    const size_t n_tiles = (p->n_rows + MLP_TILE_ROWS - 1) / MLP_TILE_ROWS;
    /* Copying B pays when several row tiles read it; copying A when several panels do, or when its
     * rows would throw each other out of the cache. */
    const int pack_b = p->may_pack_b && n_panels > 1 && n_tiles > 2;
    const int rows_alias = p->a_stride * sizeof(mlp_real) % MLP_ALIASING_BYTES == 0;
    const int pack_a = p->n_inner > 1 && (n_panels > 3 || (p->n_inner >= 128 && rows_alias));
    mlp_real *packed_a = p->scratch;
    mlp_real *packed_b = p->scratch + MLP_TILE_ROWS * MLP_PACKED_PITCH;
    MLP_REAL(tile) t;
    t.c_stride = p->n_columns;

    for (size_t group = 0; group < n_panels; group += MLP_GROUP_PANELS) {
        const size_t group_end =
            group + MLP_GROUP_PANELS < n_panels ? group + MLP_GROUP_PANELS : n_panels;
        for (size_t k0 = 0; k0 == 0 || k0 < p->n_inner; k0 += MLP_CHUNK) {
            const size_t depth = p->n_inner - k0 < MLP_CHUNK ? p->n_inner - k0 : MLP_CHUNK;
            const int last_chunk = k0 + depth == p->n_inner;
            const mlp_real *b = p->b + group * p->b_panel + k0 * p->b_stride;
            size_t b_panel = p->b_panel;
            t.b_stride = p->b_stride;
            if (pack_b) {
                for (size_t panel = group; panel < group_end; panel++) {
                    const size_t left = p->n_columns - panel * MLP_PANEL;
                    MLP_REAL(pack_panel)(depth, left < MLP_PANEL ? left : MLP_PANEL,
                                         b + (panel - group) * b_panel, p->b_stride,
                                         packed_b + (panel - group) * depth * MLP_PANEL);
                }
                b = packed_b;
                b_panel = depth * MLP_PANEL;
                t.b_stride = MLP_PANEL;
            }
            t.n_inner = depth;
            t.accumulate = p->accumulate || k0 > 0;
            t.relu = last_chunk && p->output == p->c && p->activation == MLP_RELU && !p->derivative;

            size_t row = 0;
            for (size_t tile = 0; tile < n_tiles; tile++) {
                const size_t rows = (p->n_rows - row + (n_tiles - tile) - 1) / (n_tiles - tile);
                const mlp_real *a =
                    p->a_is_columns ? p->a + k0 * p->a_stride + row : p->a + row * p->a_stride + k0;
                t.a = a;
                t.a_stride = p->a_stride;
                if (pack_a && p->a_is_columns) {
                    for (size_t k = 0; k < depth; k++)
                        MLP_REAL(copy)(rows, a + k * p->a_stride, packed_a + k * MLP_TILE_ROWS);
                    t.a = packed_a;
                    t.a_stride = MLP_TILE_ROWS;
                } else if (pack_a) {
                    for (size_t i = 0; i < rows; i++)
                        MLP_REAL(copy)(depth, a + i * p->a_stride, packed_a + i * MLP_PACKED_PITCH);
                    t.a = packed_a;
                    t.a_stride = MLP_PACKED_PITCH;
                }
                for (size_t panel = group; panel < group_end; panel++) {
                    if (pack_a && tile + 1 < n_tiles)
                        MLP_REAL(fetch_rows)(p, row + rows, k0, depth, panel - group,
                                             group_end - group);
                    const size_t column = panel * MLP_PANEL;
                    const size_t left = p->n_columns - column;
                    const size_t width = left < MLP_PANEL ? left : MLP_PANEL;
                    const size_t vecs = (width + MLP_LANES - 1) / MLP_LANES;
                    const size_t at = row * p->n_columns + column;
                    t.b = b + (panel - group) * b_panel;
                    t.c = p->c + at;
                    t.n_last = width - (vecs - 1) * MLP_LANES;
                    t.bias = last_chunk && p->bias ? p->bias + column : NULL;
                    t.factor = last_chunk && p->factor ? p->factor + at : NULL;
                    MLP_REAL(tiles)[p->a_is_columns][(vecs - 1) * MLP_TILE_ROWS + rows - 1](&t);
                    if (last_chunk && p->output && !t.relu)
                        MLP_REAL(activate)(p->activation, rows, width, p->n_columns, t.c,
                                           p->output + at,
                                           p->derivative ? p->derivative + at : NULL);
                }
                row += rows;
            }
        }
    }
}
