/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * one_row_template.h - a layer and one row, where a tile is more than there is to do.
 *
 * After gemm_template.h. What a tile takes to be described, entered and left is a good part of the time
 * of a narrow layer and one row. So the sums are made here by loops with nothing round them; they are
 * the same chains of fused multiply-adds.
 *
 *   row_forward   z = x W^T + b for up to MLP_ROW_VECS registers of columns, then f
 *   row_backward  rows of W times dl/dz, some at a time: narrow ones need no turning
 *   row_gradient  x dl/dz and dl/dz, of weight and bias
 */
#ifndef MLP_ROW_VECS
#define MLP_ROW_VECS 4 /* registers of columns side by side */
#define MLP_ROW_DOTS 4 /* rows of W side by side */
#endif

/* Columns [j, j + vecs registers) or, of the last register, as many as there are. */
MLP_INLINE void MLP_REAL(row_columns)(const mlp_linear *layer, const mlp_real *x, size_t j,
                                      const size_t vecs, int relu, mlp_real *z,
                                      mlp_vec squares[MLP_NOTES]) {
    const size_t stride = layer->n_outputs, at_last = (vecs - 1) * MLP_LANES;
    const size_t left = stride - j - at_last;
    const mlp_tail tail = v_tail(left < MLP_LANES ? left : MLP_LANES);
    const mlp_real *weight = (const mlp_real *)layer->weight + j;
    mlp_vec sum[MLP_ROW_VECS];
    MLP_UNROLL
    for (size_t v = 0; v < vecs; v++)
        sum[v] = v_zero();
    for (const mlp_real *end = x + layer->n_inputs; x < end; x++, weight += stride) {
        const mlp_vec xi = v_set1(*x);
        MLP_UNROLL
        for (size_t v = 0; v + 1 < vecs; v++)
            sum[v] = v_fma(xi, v_load(weight + v * MLP_LANES), sum[v]);
        sum[vecs - 1] = v_fma(xi, v_load_tail(weight + at_last, tail), sum[vecs - 1]);
    }
    MLP_UNROLL
    for (size_t v = 0; v < vecs; v++) {
        const size_t at = j + v * MLP_LANES;
        if (layer->bias != NULL) {
            const mlp_real *bias = (const mlp_real *)layer->bias + at;
            sum[v] = v_add(sum[v], v + 1 < vecs ? v_load(bias) : v_load_tail(bias, tail));
        }
        if (layer->sums_squares) squares[v] = v_fma(sum[v], sum[v], squares[v]);
        if (relu) MLP_REAL(vec_relu)(sum[v], &sum[v], NULL);
        if (v + 1 < vecs)
            v_store(z + at, sum[v]);
        else
            v_store_tail(z + at, tail, sum[v]);
    }
}

MLP_NOINLINE double MLP_REAL(sum_of_lanes)(const mlp_real *lanes) {
    double sums[MLP_NOTES] = {0}; /* or each addition would wait for the one before it */
    MLP_UNROLL
    for (size_t lane = 0; lane < MLP_LANES; lane++)
        sums[lane % MLP_NOTES] += (double)lanes[lane];
    return (sums[0] + sums[1]) + (sums[2] + sums[3]);
}

/* As linear_forward. */
static double MLP_REAL(row_forward)(const mlp_linear *layer, const mlp_real *x, mlp_real *z,
                                    mlp_real *a, mlp_real *d) {
    const size_t n = layer->n_outputs;
    const int relu = a != NULL && layer->activation == MLP_RELU && z == NULL && d == NULL;
    mlp_real *sum = z != NULL ? z : a;
    mlp_vec squares[MLP_NOTES];
    if (layer->sums_squares)
        for (size_t i = 0; i < MLP_NOTES; i++)
            squares[i] = v_zero();
    for (size_t j = 0; j < n;) {
        const size_t left = n - j;
        if (left > 3 * MLP_LANES) {
            MLP_REAL(row_columns)(layer, x, j, 4, relu, sum, squares);
            j += 4 * MLP_LANES;
        } else if (left > MLP_LANES) {
            MLP_REAL(row_columns)(layer, x, j, 2, relu, sum, squares);
            j += 2 * MLP_LANES;
        } else {
            MLP_REAL(row_columns)(layer, x, j, 1, relu, sum, squares);
            j += MLP_LANES;
        }
    }
    if (a != NULL && layer->activation == MLP_SOFTMAX)
        MLP_REAL(softmax)(1, n, n, sum, a);
    else if (a != NULL && !relu && (layer->activation != MLP_IDENTITY || z != NULL || d != NULL))
        MLP_REAL(activate)(layer->activation, 1, n, n, sum, a, d);
    if (!layer->sums_squares) return 0.0;
    mlp_real lanes[MLP_LANES];
    v_store(lanes, v_add(v_add(squares[0], squares[1]), v_add(squares[2], squares[3])));
    return MLP_REAL(sum_of_lanes)(lanes);
}

/* Whether to turn rows of W so short takes longer than their products: fewer than eight numbers, and all
 * that would be turned through memory before. */
MLP_INLINE int MLP_REAL(has_short_rows)(size_t n) {
#if defined(MLP_SIMD_AVX512)
    return n < 8;
#else
    return n < 8 || MLP_REAL(is_short)(n);
#endif
}

/* dx (n_rows) = so many rows of W times dz. */
MLP_INLINE void MLP_REAL(row_dots)(const size_t n_rows, size_t n, const mlp_real *weight,
                                   const mlp_real *dz, mlp_real *dx) {
    mlp_vec sum[MLP_ROW_DOTS];
    MLP_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        sum[r] = v_zero();
    for (size_t j = 0; j < n; j++) {
        const mlp_vec dzj = v_set1(dz[j]);
        MLP_UNROLL
        for (size_t r = 0; r < n_rows; r++)
            sum[r] = v_fma(dzj, v_set1(weight[r * n + j]), sum[r]);
    }
    MLP_UNROLL
    for (size_t r = 0; r < n_rows; r++)
        v_store_tail(dx + r, v_tail(1), sum[r]);
}

/* As linear_backward_input, of a layer of few outputs. */
static void MLP_REAL(row_backward)(const mlp_linear *layer, const mlp_real *dz, const mlp_real *d,
                                   int d_is_relu, mlp_real *dx) {
    const size_t n_rows = layer->n_inputs, n = layer->n_outputs;
    const mlp_real *weight = layer->weight;
    size_t i = 0;
    for (; i + MLP_ROW_DOTS <= n_rows; i += MLP_ROW_DOTS, weight += MLP_ROW_DOTS * n)
        MLP_REAL(row_dots)(MLP_ROW_DOTS, n, weight, dz, dx + i);
    for (; i < n_rows; i++, weight += n)
        MLP_REAL(row_dots)(1, n, weight, dz, dx + i);
    for (size_t j = 0; d != NULL && j < n_rows; j += MLP_LANES) { /* as tile_finish */
        const mlp_tail tail = v_tail(n_rows - j < MLP_LANES ? n_rows - j : MLP_LANES);
        const mlp_vec dj = v_load_tail(d + j, tail), dot = v_load_tail(dx + j, tail);
        const mlp_vec product = v_mul(dot, dj);
        v_store_tail(dx + j, tail,
                     d_is_relu ? v_select(v_lt(v_zero(), dj), dot, product) : product);
    }
}

/* gradient (n) = xi dz. */
MLP_INLINE void MLP_REAL(gradient_row)(mlp_vec xi, size_t n, const mlp_real *dz,
                                       mlp_real *gradient) {
    size_t j = 0;
    for (; j + MLP_LANES <= n; j += MLP_LANES)
        v_store(gradient + j, v_fma(xi, v_load(dz + j), v_zero()));
    if (j == n) return;
    const mlp_tail tail = v_tail(n - j);
    v_store_tail(gradient + j, tail, v_fma(xi, v_load_tail(dz + j, tail), v_zero()));
}

static void MLP_REAL(row_gradient)(const mlp_linear *layer, const void *x, const void *dz,
                                   void *gradients) {
    const size_t n_inputs = layer->n_inputs, n = layer->n_outputs;
    const mlp_real *input = x, *delta = dz;
    mlp_real *gradient = gradients;
    if (n == 1) { /* a vector: dz x */
        MLP_REAL(gradient_row)(v_set1(*delta), n_inputs, input, gradient);
        gradient += n_inputs;
    } else {
        for (size_t i = 0; i < n_inputs; i++, gradient += n)
            MLP_REAL(gradient_row)(v_set1(input[i]), n, delta, gradient);
    }
    if (layer->bias != NULL) MLP_REAL(gradient_row)(v_set1(1), n, delta, gradient);
}
