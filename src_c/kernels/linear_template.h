/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * linear_template.h - one layer: forward, backward to its input, its weight and its bias.
 *
 *   forward           Z  (N, n_outputs) = X W^T + 1 b^T,   A = f(Z),   D = f'(Z)
 *   backward input    dX (N, n_inputs)  = (dZ W) o D_of_the_layer_below
 *   backward weight   dW^T (n_inputs, n_outputs) = X^T dZ
 *   backward bias     db (n_outputs)    = 1^T dZ
 *
 * The weight lies in memory as W^T (n_inputs, n_outputs), so that the forward product and the
 * weight gradient read and write rows; only the backward product needs it transposed, panel by
 * panel. With one output W is a vector, which would fill one lane of a register: samples take the
 * columns then, or inputs. The sums are the same, term by term.
 */

static double MLP_REAL(linear_forward)(const mlp_linear *layer, size_t n_rows, const void *x,
                                       size_t x_stride, void *z, void *a, void *d, size_t stride,
                                       void *scratch) {
    if (MLP_LANES > 1 && n_rows == 1 && layer->n_outputs <= MLP_ROW_VECS * MLP_LANES &&
        layer->n_inputs <= MLP_CHUNK)
        return MLP_REAL(row_forward)(layer, x, z, a, d);
    const int whole_row = layer->activation == MLP_SOFTMAX;
    MLP_ALIGNED(MLP_ALIGNMENT) mlp_real squares[MLP_LANES];
    if (layer->sums_squares) memset(squares, 0, sizeof squares);
    mlp_real *sum = z ? z : a;
    mlp_product p = {
        .n_rows = n_rows,
        .n_columns = layer->n_outputs,
        .scratch = scratch,
        .tiles = {.n_inner = layer->n_inputs,
                  .a = x,
                  .a_stride = x_stride,
                  .b = layer->weight,
                  .b_stride = layer->n_outputs,
                  .c = sum,
                  .c_stride = stride,
                  .bias = layer->bias,
                  .activation = layer->activation,
                  .squares = layer->sums_squares ? squares : NULL},
    };
    mlp_tiles *t = &p.tiles;
    if (layer->n_outputs == 1 && stride == 1 && n_rows > MLP_WIDE_ROWS) { /* z^T = W X^T */
        p.n_rows = 1;
        p.n_columns = t->c_stride = n_rows;
        p.b_is_transposed = 1;
        t->a = layer->weight;
        t->a_stride = layer->n_inputs;
        t->b = x;
        t->b_stride = x_stride;
        t->bias_is_scalar = 1;
    }
    if (a && layer->activation == MLP_RELU && !z && !d) {
        t->relu = 1;
    } else if (a && !whole_row && (layer->activation != MLP_IDENTITY || z || d)) {
        t->output = a;
        t->derivative = d;
    }
    MLP_REAL(product_by_rows)(&p);
    if (a && whole_row) MLP_REAL(softmax)(n_rows, layer->n_outputs, stride, sum, a);
    return layer->sums_squares ? MLP_REAL(sum_of_lanes)(squares) : 0.0;
}

static double MLP_REAL(linear_backward_input)(const mlp_linear *layer, size_t n_rows,
                                              const void *dz, size_t dz_stride, const void *d,
                                              size_t d_stride, int d_is_relu, void *dx,
                                              size_t dx_stride, void *scratch) {
    const int one_output = layer->n_outputs == 1;
    if (MLP_LANES > 1 && n_rows == 1 && !one_output && MLP_REAL(has_short_rows)(layer->n_outputs) &&
        !layer->sums_squares) {
        MLP_REAL(row_backward)(layer, dz, d, d_is_relu, dx);
        return 0.0;
    }
    MLP_ALIGNED(MLP_ALIGNMENT) mlp_real squares[MLP_LANES];
    if (layer->sums_squares) memset(squares, 0, sizeof squares);
    mlp_product p = {
        .n_rows = n_rows,
        .n_columns = layer->n_inputs,
        .b_is_transposed = !one_output, /* its transpose is the vector as it lies */
        .scratch = scratch,
        .tiles = {.n_inner = layer->n_outputs,
                  .a = dz,
                  .a_stride = dz_stride,
                  .b = layer->weight,
                  .b_stride = one_output ? layer->n_inputs : layer->n_outputs,
                  .c = dx,
                  .c_stride = dx_stride,
                  .factor = d,
                  .factor_stride = d_stride,
                  .factor_is_relu = d_is_relu,
                  .squares = layer->sums_squares ? squares : NULL},
    };
    MLP_REAL(product_by_rows)(&p);
    return layer->sums_squares ? MLP_REAL(sum_of_lanes)(squares) : 0.0;
}

static int MLP_REAL(linear_backward_weight)(const mlp_linear *layer, size_t n_rows, const void *x,
                                            size_t x_stride, const void *dz, size_t dz_stride,
                                            size_t begin, size_t end, int accumulate,
                                            void *grad_weight, const mlp_optimizer *update,
                                            int sure, void *weight, void *scratch) {
    const size_t n_outputs = layer->n_outputs, n_inputs = end - begin;
    mlp_product p = {
        .n_rows = n_inputs,
        .n_columns = n_outputs,
        .scratch = scratch,
        .tiles = {.n_inner = n_rows,
                  .a_is_columns = 1,
                  .a = (const mlp_real *)x + begin,
                  .a_stride = x_stride,
                  .b = dz,
                  .b_stride = dz_stride,
                  .c = (mlp_real *)grad_weight + begin * n_outputs,
                  .c_stride = n_outputs,
                  .accumulate = accumulate,
                  .update = update,
                  .parameters = update ? (mlp_real *)weight + begin * n_outputs : NULL,
                  .sure = sure},
    };
    if (n_outputs == 1) { /* dW = dZ^T X */
        p.n_rows = 1;
        p.n_columns = p.tiles.c_stride = n_inputs;
        p.tiles.a = dz;
        p.tiles.a_stride = dz_stride;
        p.tiles.b = (const mlp_real *)x + begin;
        p.tiles.b_stride = x_stride;
    }
    return MLP_REAL(product_by_columns)(&p);
}

/* Registers of a row that are summed side by side: lines that are read one by one come late. */
#ifndef MLP_BIAS_VECS
#define MLP_BIAS_VECS 8
#endif

/* `vecs` registers of columns, the last one of them a tail, summed over rows at dz_stride. A sum of
 * a chunk is never -0, so that to add the first one to 0 keeps its bits. */
MLP_INLINE void MLP_REAL(sum_rows)(size_t n_rows, const mlp_real *dz, size_t dz_stride,
                                   const size_t vecs, mlp_tail tail, int accumulate,
                                   const mlp_real *sum, mlp_vec total[MLP_BIAS_VECS]) {
    MLP_UNROLL
    for (size_t v = 0; v < vecs; v++)
        total[v] = !accumulate    ? v_zero()
                   : v + 1 < vecs ? v_load(sum + v * MLP_LANES)
                                  : v_load_tail(sum + v * MLP_LANES, tail);
    for (size_t r0 = 0; r0 < n_rows; r0 += MLP_CHUNK) {
        const size_t depth = n_rows - r0 < MLP_CHUNK ? n_rows - r0 : MLP_CHUNK;
        mlp_vec chunk[MLP_BIAS_VECS];
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++)
            chunk[v] = v_zero();
        for (size_t r = 0; r < depth; r++, dz += dz_stride) {
            MLP_UNROLL
            for (size_t v = 0; v < vecs; v++)
                chunk[v] = v_add(chunk[v], v + 1 < vecs ? v_load(dz + v * MLP_LANES)
                                                        : v_load_tail(dz + v * MLP_LANES, tail));
        }
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++)
            total[v] = v_add(total[v], chunk[v]);
    }
}

/* The sums go to sum; or, bias not NULL, they update these columns of it, and unless sure what these
 * were goes to sum. */
MLP_INLINE void MLP_REAL(bias_columns)(size_t n_rows, const mlp_real *dz, size_t dz_stride,
                                       const size_t vecs, mlp_tail tail, int accumulate,
                                       mlp_real *sum, const mlp_sgd_constants *constants, int sure,
                                       mlp_real *bias, mlp_vec found[MLP_NOTES]) {
    mlp_vec total[MLP_BIAS_VECS];
    MLP_REAL(sum_rows)(n_rows, dz, dz_stride, vecs, tail, accumulate, sum, total);
    MLP_UNROLL
    for (size_t v = 0; v < vecs; v++) {
        const size_t at = v * MLP_LANES;
        const int whole = v + 1 < vecs;
        if (bias != NULL) {
            const mlp_vec before = whole ? v_load(bias + at) : v_load_tail(bias + at, tail);
            const mlp_vec after = MLP_REAL(sgd_update)(constants, before, total[v], NULL);
            if (whole)
                v_store(bias + at, after);
            else
                v_store_tail(bias + at, tail, after);
            if (sure) continue;
            found[v % MLP_NOTES] = MLP_REAL(note_not_finite)(after, found[v % MLP_NOTES]);
            total[v] = before;
        }
        if (whole)
            v_store(sum + at, total[v]);
        else
            v_store_tail(sum + at, tail, total[v]);
    }
}

static int MLP_REAL(linear_backward_bias)(const mlp_linear *layer, size_t n_rows, const void *dz,
                                          size_t dz_stride, int accumulate, void *grad_bias,
                                          const mlp_optimizer *update, int sure, void *bias) {
    const size_t n = layer->n_outputs;
    const mlp_real *source = dz;
    mlp_real *sum = grad_bias, *updated = update == NULL ? NULL : bias;
    mlp_sgd_constants constants;
    if (update != NULL) constants = MLP_REAL(sgd_constants_of)(update);
    mlp_vec found[MLP_NOTES];
    MLP_UNROLL
    for (size_t i = 0; i < MLP_NOTES; i++)
        found[i] = v_zero();
#define MLP_BIAS_COLUMNS(vecs, tail)                                                       \
    MLP_REAL(bias_columns)(n_rows, source + j, dz_stride, vecs, tail, accumulate, sum + j, \
                           &constants, sure, updated == NULL ? NULL : updated + j, found)
    size_t j = 0;
    for (; j + MLP_BIAS_VECS * MLP_LANES <= n; j += MLP_BIAS_VECS * MLP_LANES)
        MLP_BIAS_COLUMNS(MLP_BIAS_VECS, v_tail(MLP_LANES));
    while (j < n) {
        const size_t left = n - j, n_vecs = (left + MLP_LANES - 1) / MLP_LANES;
        const size_t vecs = n_vecs < 4 ? n_vecs : 4, n_before = (vecs - 1) * MLP_LANES;
        const mlp_tail tail = v_tail(left - n_before < MLP_LANES ? left - n_before : MLP_LANES);
        switch (vecs) {
        case 1:
            MLP_BIAS_COLUMNS(1, tail);
            break;
        case 2:
            MLP_BIAS_COLUMNS(2, tail);
            break;
        case 3:
            MLP_BIAS_COLUMNS(3, tail);
            break;
        default:
            MLP_BIAS_COLUMNS(4, tail);
        }
        j += n_before + MLP_LANES;
    }
#undef MLP_BIAS_COLUMNS
    return updated == NULL || sure || MLP_REAL(found_none)(found);
}
