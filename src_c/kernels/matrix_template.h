/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * matrix_template.h - what the derivative queries do to small matrices: a diagonal times a matrix
 * from either side, a transpose, and the Jacobian of softmax times a matrix.
 *
 * Included once for each dtype, after linear_template.h. Elementwise work has no order; the
 * sum over the outputs of softmax is one chain of fused multiply-adds in their order.
 */

/* The registers of a row, the last one of them a tail. */
#define MLP_ROW_TAIL(left) v_tail((left) < MLP_LANES ? (left) : MLP_LANES)

static void MLP_REAL(scale_columns)(size_t n_rows, size_t n_columns, const void *m, size_t m_stride,
                                    const void *d, void *out, size_t out_stride) {
    const mlp_real *from = m, *factor = d;
    mlp_real *to = out;
    for (size_t r = 0; r < n_rows; r++, from += m_stride, to += out_stride) {
        size_t c = 0;
        for (; c + MLP_LANES <= n_columns; c += MLP_LANES)
            v_store(to + c, v_mul(v_load(from + c), v_load(factor + c)));
        if (c < n_columns) {
            const mlp_tail tail = v_tail(n_columns - c);
            v_store_tail(to + c, tail,
                         v_mul(v_load_tail(from + c, tail), v_load_tail(factor + c, tail)));
        }
    }
}

static void MLP_REAL(scale_rows)(size_t n_rows, size_t n_columns, const void *s, void *m) {
    const mlp_real *factor = s;
    mlp_real *row = m;
    for (size_t r = 0; r < n_rows; r++, row += n_columns) {
        const mlp_vec scale = v_set1(factor[r]);
        size_t c = 0;
        for (; c + MLP_LANES <= n_columns; c += MLP_LANES)
            v_store(row + c, v_mul(v_load(row + c), scale));
        if (c < n_columns) {
            const mlp_tail tail = v_tail(n_columns - c);
            v_store_tail(row + c, tail, v_mul(v_load_tail(row + c, tail), scale));
        }
    }
}

static void MLP_REAL(turn)(size_t n_rows, size_t n_columns, const void *m, void *out) {
    MLP_REAL(transpose)(n_rows, n_columns, m, n_columns, out, n_rows);
}

/*
 * diag(p) - p p^T takes a constant to 0, so that each column may be looked at from its entry of the
 * likeliest output: where p of that rounds to 1, the others then do not cancel against it.
 */
static void MLP_REAL(softmax_jacobian)(size_t n_outputs, size_t n_columns, const void *p, void *m) {
    const mlp_real *probability = p;
    size_t likeliest = 0;
    for (size_t k = 1; k < n_outputs; k++)
        if (probability[k] > probability[likeliest]) likeliest = k;
    for (size_t c = 0; c < n_columns; c += MLP_LANES) {
        const mlp_tail tail = MLP_ROW_TAIL(n_columns - c);
        mlp_real *column = (mlp_real *)m + c;
        const mlp_vec origin = v_load_tail(column + likeliest * n_columns, tail);
        mlp_vec mean = v_zero();
        for (size_t k = 0; k < n_outputs; k++) {
            const mlp_vec entry = v_sub(v_load_tail(column + k * n_columns, tail), origin);
            mean = v_fma(v_set1(probability[k]), entry, mean);
        }
        for (size_t k = 0; k < n_outputs; k++) {
            const mlp_vec entry = v_sub(v_load_tail(column + k * n_columns, tail), origin);
            v_store_tail(column + k * n_columns, tail,
                         v_mul(v_set1(probability[k]), v_sub(entry, mean)));
        }
    }
}

static void MLP_REAL(add)(size_t n, const void *a, const void *b, void *sum) {
    const mlp_real *left = a, *right = b;
    mlp_real *to = sum;
    size_t j = 0;
    for (; j + MLP_LANES <= n; j += MLP_LANES)
        v_store(to + j, v_add(v_load(left + j), v_load(right + j)));
    if (j < n) {
        const mlp_tail tail = v_tail(n - j);
        v_store_tail(to + j, tail,
                     v_add(v_load_tail(left + j, tail), v_load_tail(right + j, tail)));
    }
}
