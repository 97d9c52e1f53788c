/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * tile_template.h - tiles below each other, with a layer's epilogue while they are in registers.
 *
 * After tile_product_template.h, optimizer_template.h and activation_template.h. A forward product
 * adds the bias and activates; one backward is multiplied by f'(z); a gradient updates the weights.
 * Every tile that a product may ask for has a function, and the tables say where. At the end, how a
 * description of tiles moves on.
 */

/* The tile, a gradient, becomes the parameters that it leads to, and c, unless NULL, what they were.
 * All are read before one is written: narrow rows lie so close that a load would have to wait for the
 * store before it. */
MLP_INLINE void MLP_REAL(tile_update)(const mlp_sgd_constants *constants,
                                      const mlp_real *parameters, mlp_real *c, size_t stride,
                                      const size_t rows, const size_t vecs, mlp_tail tail,
                                      mlp_vec acc[MLP_ACCUMULATORS]) {
    MLP_UNROLL
    for (size_t i = 0; i < rows; i++) {
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++) {
            const size_t at = i * stride + v * MLP_LANES;
            const mlp_vec before =
                v + 1 < vecs ? v_load(parameters + at) : v_load_tail(parameters + at, tail);
            acc[i * vecs + v] = MLP_REAL(sgd_update)(constants, before, acc[i * vecs + v], NULL);
            if (c == NULL) continue;
            if (v + 1 < vecs)
                v_store(c + at, before);
            else
                v_store_tail(c + at, tail, before);
        }
    }
}

/* Bias, factor, squares and ReLU, in registers. */
MLP_INLINE void MLP_REAL(tile_finish)(const mlp_tiles *t, const mlp_real *factor, const size_t rows,
                                      const size_t vecs, mlp_tail tail,
                                      mlp_vec acc[MLP_ACCUMULATORS]) {
    if (t->bias != NULL) {
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++) {
            const mlp_vec bias = t->bias_is_scalar ? v_set1(*t->bias)
                                 : v + 1 < vecs    ? v_load(t->bias + v * MLP_LANES)
                                                   : v_load_tail(t->bias + v * MLP_LANES, tail);
            MLP_UNROLL
            for (size_t i = 0; i < rows; i++)
                acc[i * vecs + v] = v_add(acc[i * vecs + v], bias);
        }
    }
    if (factor != NULL) {
        MLP_UNROLL
        for (size_t i = 0; i < rows; i++) {
            const mlp_real *from = factor + i * t->factor_stride;
            MLP_UNROLL
            for (size_t v = 0; v < vecs; v++) {
                const mlp_vec d = v + 1 < vecs ? v_load(from + v * MLP_LANES)
                                               : v_load_tail(from + v * MLP_LANES, tail);
                const mlp_vec product = v_mul(acc[i * vecs + v], d);
                /* Above 0 the derivative is 1, else the output: 0 or NaN. -0 is an output too, and
                 * gives a 0 the other sign, which no sum keeps. */
                acc[i * vecs + v] = t->factor_is_relu
                                        ? v_select(v_lt(v_zero(), d), acc[i * vecs + v], product)
                                        : product;
            }
        }
    }
    if (t->squares != NULL) {
        mlp_vec sums[MLP_NOTES];
        MLP_UNROLL
        for (size_t i = 0; i < MLP_NOTES; i++)
            sums[i] = v_zero();
        MLP_UNROLL
        for (size_t i = 0; i < rows; i++) {
            MLP_UNROLL
            for (size_t v = 0; v < vecs; v++) {
                mlp_vec *sum = &sums[(i * vecs + v) % MLP_NOTES];
                *sum = v_fma(acc[i * vecs + v], acc[i * vecs + v], *sum);
            }
        }
        MLP_REAL(add_notes)(sums, t->squares);
    }
    if (t->relu) {
        MLP_UNROLL
        for (size_t i = 0; i < rows; i++) {
            MLP_UNROLL
            for (size_t v = 0; v < vecs; v++)
                MLP_REAL(vec_relu)(acc[i * vecs + v], &acc[i * vecs + v], NULL);
        }
    }
}

/* Asks for the lines of a tile that are read or written when its products are done. */
MLP_INLINE void MLP_REAL(tile_fetch)(size_t stride, const mlp_real *at, const size_t rows,
                                     const size_t vecs) {
    for (size_t i = 0; i < rows; i++, at += stride) {
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++)
            MLP_PREFETCH_TO_WRITE(at + v * MLP_LANES);
    }
}

/* Rows of the gradient of one sample, whose dl/dz, the one row of B, is in registers. What is done to
 * a row is constant, so that nothing is asked in the loop. */
MLP_INLINE int MLP_REAL(outer_product_rows)(const mlp_tiles *t, const size_t vecs, mlp_tail tail,
                                            const mlp_vec *b, const int updates,
                                            const int exchanges) {
    const mlp_real *a = t->a, *end = a + t->n_tiles;
    const size_t stride = t->c_stride;
    mlp_real *c = t->c, *parameters = t->parameters;
    mlp_sgd_constants constants;
    if (updates) constants = MLP_REAL(sgd_constants_of)(t->update);
    mlp_vec found[MLP_NOTES];
    MLP_UNROLL
    for (size_t i = 0; i < MLP_NOTES; i++)
        found[i] = v_zero();
    for (; a < end; a++) {
        const mlp_vec ai = v_set1(*a);
        mlp_real *to = updates ? parameters : c;
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++) {
            const size_t at = v * MLP_LANES;
            mlp_vec result = v_fma(ai, b[v], v_zero());
            if (updates) {
                const mlp_vec before =
                    v + 1 < vecs ? v_load(parameters + at) : v_load_tail(parameters + at, tail);
                result = MLP_REAL(sgd_update)(&constants, before, result, NULL);
                if (exchanges) {
                    found[v % MLP_NOTES] = MLP_REAL(note_not_finite)(result, found[v % MLP_NOTES]);
                    if (v + 1 < vecs)
                        v_store(c + at, before);
                    else
                        v_store_tail(c + at, tail, before);
                }
            }
            if (v + 1 < vecs)
                v_store(to + at, result);
            else
                v_store_tail(to + at, tail, result);
        }
        if (updates) parameters += stride;
        if (!updates || exchanges) c += stride;
    }
    return !exchanges || MLP_REAL(found_none)(found);
}

/* The gradient of one sample, a row of it at a time: there is nothing to sum. */
MLP_INLINE int MLP_REAL(outer_product_run)(const mlp_tiles *t, const size_t vecs) {
    const mlp_tail tail = v_tail(t->n_last);
    mlp_vec b[MLP_WIDEST];
    MLP_UNROLL
    for (size_t v = 0; v < vecs; v++)
        b[v] =
            v + 1 < vecs ? v_load(t->b + v * MLP_LANES) : v_load_tail(t->b + v * MLP_LANES, tail);
    if (t->parameters == NULL) return MLP_REAL(outer_product_rows)(t, vecs, tail, b, 0, 0);
    if (t->sure) return MLP_REAL(outer_product_rows)(t, vecs, tail, b, 1, 0);
    return MLP_REAL(outer_product_rows)(t, vecs, tail, b, 1, 1);
}

/* Columns of A come with an update, rows with an epilogue. Whether all is finite that an exchange has
 * updated. */
MLP_INLINE int MLP_REAL(tiles_run)(const mlp_tiles *t, const size_t rows, const size_t vecs,
                                   const mlp_tile_kind kind) {
    const int a_is_columns = kind == MLP_A_COLUMNS;
    if (a_is_columns && rows == 1 && t->n_inner == 1 && !t->accumulate)
        return MLP_REAL(outer_product_run)(t, vecs);
    const mlp_tail tail = v_tail(t->n_last);
    const size_t a_step = rows * (a_is_columns ? 1 : t->a_stride), c_step = rows * t->c_stride;
    const mlp_real *a = t->a, *factor = t->factor;
    mlp_real *c = t->c, *output = t->output, *derivative = t->derivative;
    mlp_real *parameters = t->parameters;

    mlp_sgd_constants constants;
    if (a_is_columns && parameters != NULL) constants = MLP_REAL(sgd_constants_of)(t->update);
    const int updates = a_is_columns && parameters != NULL, exchanges = updates && !t->sure;
    int finite = 1;
    for (size_t tile = 0; tile < t->n_tiles; tile++) {
        mlp_vec acc[MLP_ACCUMULATORS];
        if (t->n_inner >= MLP_DEEP) {
            if (!updates || exchanges || t->accumulate)
                MLP_REAL(tile_fetch)(t->c_stride, c, rows, vecs);
            if (updates) MLP_REAL(tile_fetch)(t->c_stride, parameters, rows, vecs);
            if (!a_is_columns && factor != NULL)
                MLP_REAL(tile_fetch)(t->factor_stride, factor, rows, vecs);
        }
        MLP_REAL(tile_multiply)(t, a, c, rows, vecs, kind, tail, acc);
        mlp_real *to = c;
        /* Of each tile anew: registers for them during the products would be missed there. */
        mlp_vec found[MLP_NOTES];
        MLP_UNROLL
        for (size_t i = 0; i < MLP_NOTES; i++)
            found[i] = v_zero();
        if (updates) {
            MLP_REAL(tile_update)(&constants, parameters, exchanges ? c : NULL, t->c_stride, rows,
                                  vecs, tail, acc);
            to = parameters;
            parameters += c_step;
        }
        if (!a_is_columns) MLP_REAL(tile_finish)(t, factor, rows, vecs, tail, acc);
        MLP_UNROLL
        for (size_t i = 0; i < rows; i++, to += t->c_stride) {
            MLP_UNROLL
            for (size_t v = 0; v < vecs; v++) {
                const mlp_vec result = acc[i * vecs + v];
                if (v + 1 < vecs)
                    v_store(to + v * MLP_LANES, result);
                else
                    v_store_tail(to + v * MLP_LANES, tail, result);
                if (exchanges) {
                    mlp_vec *note = &found[(i * vecs + v) % MLP_NOTES];
                    *note = MLP_REAL(note_not_finite)(result, *note);
                }
            }
        }
        if (exchanges) finite &= MLP_REAL(found_none)(found);
        if (!a_is_columns && output != NULL) {
            const size_t n_columns = (vecs - 1) * MLP_LANES + t->n_last;
            MLP_REAL(activate)(t->activation, rows, n_columns, t->c_stride, c, output, derivative);
            output += c_step;
            if (derivative != NULL) derivative += c_step;
        }
        a += a_step;
        c += c_step;
        if (factor != NULL) factor += rows * t->factor_stride;
    }
    return finite;
}

/* Every tile of up to MLP_TILE_ROWS x MLP_TILE_VECS as a function of its own, so that the counts
 * are constants and the accumulators stay in registers. */
#define mlp_tiles_function MLP_REAL(tiles_function)
typedef int (*mlp_tiles_function)(const mlp_tiles *);

#define MLP_TILE_NAME(r, v, kind) MLP_REAL(tiles_##kind##_##r##x##v)
#define MLP_TILE_FUNCTION(r, v, kind)                          \
    static int MLP_TILE_NAME(r, v, kind)(const mlp_tiles *t) { \
        return MLP_REAL(tiles_run)(t, r, v, kind);             \
    }
#define MLP_TILE_DEFINE(r, v)         \
    MLP_TILE_FUNCTION(r, v, MLP_ROWS) \
    MLP_TILE_FUNCTION(r, v, MLP_A_COLUMNS)
#define MLP_ROWS_ENTRY(r, v)      MLP_TILE_NAME(r, v, MLP_ROWS),
#define MLP_A_COLUMNS_ENTRY(r, v) MLP_TILE_NAME(r, v, MLP_A_COLUMNS),

MLP_FOR_EACH_TILE(MLP_TILE_DEFINE)

/* [a_is_columns][(vecs - 1) * MLP_TILE_ROWS + rows - 1] */
static const mlp_tiles_function MLP_REAL(tile_table)[2][MLP_TILE_VECS * MLP_TILE_ROWS] = {
    {MLP_FOR_EACH_TILE(MLP_ROWS_ENTRY)}, {MLP_FOR_EACH_TILE(MLP_A_COLUMNS_ENTRY)}};

/* Few rows: wide tiles read B in longer runs, and have enough accumulators to hide the latency of
 * an addition. The gradient of few samples: a row of it at a time, which the memory likes, since
 * there is little to multiply. {vecs, function} by rows - 1, widest first; vecs 0 ends a list. */
#define mlp_wide_tile MLP_REAL(wide_tile)
typedef struct mlp_wide_tile {
    size_t vecs;
    mlp_tiles_function run;
} mlp_wide_tile;
#define MLP_WIDE_ROWS    3 /* rows that count as few */
#define MLP_WIDE_SAMPLES 4 /* samples that count as few */

#define MLP_WIDE_DEFINE(r, v)         MLP_TILE_FUNCTION(r, v, MLP_ROWS)
#define MLP_WIDE_DEFINE_COLUMNS(r, v) MLP_TILE_FUNCTION(r, v, MLP_A_COLUMNS)
#define MLP_WIDE_ENTRY(r, v)          {v, MLP_TILE_NAME(r, v, MLP_ROWS)},
#define MLP_WIDE_ENTRY_COLUMNS(r, v)  {v, MLP_TILE_NAME(r, v, MLP_A_COLUMNS)},
MLP_FOR_EACH_WIDE_1(MLP_WIDE_DEFINE)
MLP_FOR_EACH_WIDE_2(MLP_WIDE_DEFINE)
MLP_FOR_EACH_WIDE_3(MLP_WIDE_DEFINE)
MLP_FOR_EACH_WIDE_1(MLP_WIDE_DEFINE_COLUMNS)

static const mlp_wide_tile MLP_REAL(wide_rows)[MLP_WIDE_ROWS][4] = {
    {MLP_FOR_EACH_WIDE_1(MLP_WIDE_ENTRY){0, NULL}},
    {MLP_FOR_EACH_WIDE_2(MLP_WIDE_ENTRY){0, NULL}},
    {MLP_FOR_EACH_WIDE_3(MLP_WIDE_ENTRY){0, NULL}},
};
static const mlp_wide_tile MLP_REAL(wide_columns)[4] = {
    MLP_FOR_EACH_WIDE_1(MLP_WIDE_ENTRY_COLUMNS){0, NULL}};

/* The first tile on a panel of B as columns, which turns it. */
#define MLP_TURNING_ROWS          V_(MLP_TURNING_ROWS)
#define MLP_FOR_EACH_TURNING(use) V_(MLP_FOR_EACH_TURNING)(use)
#define MLP_TURNING_DEFINE(r, v)  MLP_TILE_FUNCTION(r, v, MLP_B_COLUMNS)
#define MLP_TURNING_ENTRY(r, v)   MLP_TILE_NAME(r, v, MLP_B_COLUMNS),
MLP_FOR_EACH_TURNING(MLP_TURNING_DEFINE)

/* [(vecs - 1) * MLP_TURNING_ROWS + rows - 1] */
static const mlp_tiles_function MLP_REAL(turning_table)[MLP_TILE_VECS * MLP_TURNING_ROWS] = {
    MLP_FOR_EACH_TURNING(MLP_TURNING_ENTRY)};

/* Moves by so many rows, down or up. */
MLP_INLINE void MLP_REAL(move_rows)(mlp_tiles *t, ptrdiff_t n_rows) {
    const ptrdiff_t step = n_rows * (ptrdiff_t)t->c_stride;
    t->a += n_rows * (t->a_is_columns ? 1 : (ptrdiff_t)t->a_stride);
    t->c += step;
    if (t->factor != NULL) t->factor += n_rows * (ptrdiff_t)t->factor_stride;
    if (t->output != NULL) t->output += step;
    if (t->derivative != NULL) t->derivative += step;
    if (t->parameters != NULL) t->parameters += step;
}

/* Moves on by so many columns. */
MLP_INLINE void MLP_REAL(move_columns)(mlp_tiles *t, size_t n_columns) {
    t->c += n_columns;
    if (t->bias != NULL && !t->bias_is_scalar) t->bias += n_columns;
    if (t->factor != NULL) t->factor += n_columns;
    if (t->output != NULL) t->output += n_columns;
    if (t->derivative != NULL) t->derivative += n_columns;
    if (t->parameters != NULL) t->parameters += n_columns;
}
