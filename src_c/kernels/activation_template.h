/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * activation_template.h - a = f(z) and d = f'(z) over a block of a matrix, and softmax over rows.
 *
 * The formulas are in activation_math_template.h; here are the loops. A block has n_columns of a
 * matrix whose rows lie stride apart; a may be z. Elementwise work has no order, so that the bits
 * do not depend on how a matrix is cut into blocks.
 */

MLP_INLINE void MLP_REAL(vec_identity)(mlp_vec z, mlp_vec *value, mlp_vec *derivative) {
    *value = z;
    if (derivative) *derivative = v_set1(1);
}

#define MLP_FOR_EACH_ELEMENTWISE(use)                                                         \
    use(MLP_IDENTITY, identity) use(MLP_RELU, relu) use(MLP_LEAKY_RELU, leaky_relu)           \
        use(MLP_ELU, elu) use(MLP_GELU, gelu) use(MLP_SILU, silu) use(MLP_SOFTPLUS, softplus) \
            use(MLP_TANH, tanh) use(MLP_SIGMOID, sigmoid)

#define MLP_ACTIVATE_DEFINE(code, name)                                                         \
    MLP_INLINE void MLP_REAL(activate_row_##name)(size_t n, const mlp_real *z, mlp_real *a,     \
                                                  mlp_real *d) {                                \
        mlp_vec value, derivative;                                                              \
        size_t j = 0;                                                                           \
        for (; j + MLP_LANES <= n; j += MLP_LANES) {                                            \
            MLP_REAL(vec_##name)(v_load(z + j), &value, d ? &derivative : NULL);                \
            v_store(a + j, value);                                                              \
            if (d) v_store(d + j, derivative);                                                  \
        }                                                                                       \
        if (j < n) {                                                                            \
            const mlp_tail tail = v_tail(n - j);                                                \
            MLP_REAL(vec_##name)(v_load_tail(z + j, tail), &value, d ? &derivative : NULL);     \
            v_store_tail(a + j, tail, value);                                                   \
            if (d) v_store_tail(d + j, tail, derivative);                                       \
        }                                                                                       \
    }                                                                                           \
    static void MLP_REAL(activate_##name)(size_t n_rows, size_t n_columns, size_t stride,       \
                                          const mlp_real *z, mlp_real *a, mlp_real *d) {        \
        for (size_t i = 0; i < n_rows; i++, z += stride, a += stride, d = d ? d + stride : d) { \
            if (d)                                                                              \
                MLP_REAL(activate_row_##name)(n_columns, z, a, d);                              \
            else                                                                                \
                MLP_REAL(activate_row_##name)(n_columns, z, a, NULL);                           \
        }                                                                                       \
    }
MLP_FOR_EACH_ELEMENTWISE(MLP_ACTIVATE_DEFINE)

static void MLP_REAL(activate)(mlp_activation activation, size_t n_rows, size_t n_columns,
                               size_t stride, const mlp_real *z, mlp_real *a, mlp_real *d) {
    /* Whole rows are one long row: narrow layers would leave most lanes idle otherwise. */
    if (n_columns == stride) {
        n_columns *= n_rows;
        n_rows = 1;
    }
    switch (activation) {
#define MLP_ACTIVATE_CASE(code, name)                                  \
    case code:                                                         \
        MLP_REAL(activate_##name)(n_rows, n_columns, stride, z, a, d); \
        break;
        MLP_FOR_EACH_ELEMENTWISE(MLP_ACTIVATE_CASE)
    case MLP_SOFTMAX:
    case MLP_N_ACTIVATIONS:
        break; /* softmax needs whole rows: linear_forward calls it itself */
    }
#undef MLP_ACTIVATE_CASE
}

/* a = exp(z - max z) / sum exp(z - max z), row by row; a may be z. A NaN makes its row NaN, for it
 * is in the sum. */
static void MLP_REAL(softmax)(size_t n_rows, size_t n_columns, size_t stride, const mlp_real *z,
                              mlp_real *a) {
    for (size_t i = 0; i < n_rows; i++, z += stride, a += stride) {
        mlp_real largest = z[0];
        for (size_t j = 1; j < n_columns; j++)
            largest = largest > z[j] ? largest : z[j];
        const mlp_vec shift = v_set1(largest);
        for (size_t j = 0; j < n_columns; j += MLP_LANES) {
            const mlp_tail tail = v_tail(n_columns - j < MLP_LANES ? n_columns - j : MLP_LANES);
            const mlp_vec shifted = v_sub(v_load_tail(z + j, tail), shift);
            v_store_tail(a + j, tail, MLP_REAL(vec_exp)(shifted));
        }
        const mlp_vec total = v_set1((mlp_real)MLP_REAL(row_sum)(n_columns, a));
        for (size_t j = 0; j < n_columns; j += MLP_LANES) {
            const mlp_tail tail = v_tail(n_columns - j < MLP_LANES ? n_columns - j : MLP_LANES);
            v_store_tail(a + j, tail, v_div(v_load_tail(a + j, tail), total));
        }
    }
}
