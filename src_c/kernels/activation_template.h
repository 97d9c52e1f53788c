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

#define MLP_FOR_EACH_IN_ONE_PHASE(use)                                              \
    use(MLP_IDENTITY, identity) use(MLP_RELU, relu) use(MLP_LEAKY_RELU, leaky_relu) \
        use(MLP_ELU, elu) use(MLP_GELU, gelu)
#define MLP_FOR_EACH_IN_TWO_PHASES(use) \
    use(MLP_SILU, silu) use(MLP_SOFTPLUS, softplus) use(MLP_TANH, tanh) use(MLP_SIGMOID, sigmoid)

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
MLP_FOR_EACH_IN_ONE_PHASE(MLP_ACTIVATE_DEFINE)

/* Registers that wait between the phases: those of a tile fit. */
#define MLP_PIECE 32

/* A piece of at most MLP_PIECE registers, each row's last filled up. */
#define MLP_ACTIVATE_IN_TWO_PHASES_DEFINE(code, name)                                              \
    MLP_INLINE void MLP_REAL(activate_piece_##name)(size_t n_rows, size_t n_columns,               \
                                                    size_t stride, const mlp_real *z, mlp_real *a, \
                                                    mlp_real *d) {                                 \
        MLP_ALIGNED(64) mlp_real rests[MLP_PIECE * MLP_LANES];                                     \
        MLP_ALIGNED(64) mlp_real powers[MLP_PIECE * MLP_LANES];                                    \
        const size_t whole = n_columns / MLP_LANES * MLP_LANES, left = n_columns - whole;          \
        const mlp_tail tail = v_tail(left ? left : 1);                                             \
        mlp_vec rest, n, value, derivative;                                                        \
        size_t k = 0;                                                                              \
        for (size_t i = 0; i < n_rows; i++) {                                                      \
            const mlp_real *row = z + i * stride;                                                  \
            for (size_t j = 0; j < whole; j += MLP_LANES, k += MLP_LANES) {                        \
                MLP_REAL(name##_begin)(v_load(row + j), &rest, &n);                                \
                v_store(rests + k, rest);                                                          \
                v_store(powers + k, n);                                                            \
            }                                                                                      \
            if (left) {                                                                            \
                MLP_REAL(name##_begin)(v_load_tail(row + whole, tail), &rest, &n);                 \
                v_store(rests + k, rest);                                                          \
                v_store(powers + k, n);                                                            \
                k += MLP_LANES;                                                                    \
            }                                                                                      \
        }                                                                                          \
        k = 0;                                                                                     \
        for (size_t i = 0; i < n_rows; i++) {                                                      \
            const size_t at = i * stride;                                                          \
            for (size_t j = 0; j < whole; j += MLP_LANES, k += MLP_LANES) {                        \
                MLP_REAL(name##_finish)(v_load(z + at + j), v_load(rests + k), v_load(powers + k), \
                                        &value, d ? &derivative : NULL);                           \
                v_store(a + at + j, value);                                                        \
                if (d) v_store(d + at + j, derivative);                                            \
            }                                                                                      \
            if (left) {                                                                            \
                MLP_REAL(name##_finish)(v_load_tail(z + at + whole, tail), v_load(rests + k),      \
                                        v_load(powers + k), &value, d ? &derivative : NULL);       \
                v_store_tail(a + at + whole, tail, value);                                         \
                if (d) v_store_tail(d + at + whole, tail, derivative);                             \
                k += MLP_LANES;                                                                    \
            }                                                                                      \
        }                                                                                          \
    }                                                                                              \
    static void MLP_REAL(activate_##name)(size_t n_rows, size_t n_columns, size_t stride,          \
                                          const mlp_real *z, mlp_real *a, mlp_real *d) {           \
        const size_t longest = MLP_PIECE * MLP_LANES;                                              \
        for (size_t j = 0; j < n_columns; j += longest) {                                          \
            const size_t width = n_columns - j < longest ? n_columns - j : longest;                \
            const size_t step = MLP_PIECE / ((width + MLP_LANES - 1) / MLP_LANES);                 \
            for (size_t i = 0; i < n_rows; i += step) {                                            \
                const size_t rows = n_rows - i < step ? n_rows - i : step, at = i * stride + j;    \
                if (d)                                                                             \
                    MLP_REAL(activate_piece_##name)(rows, width, stride, z + at, a + at, d + at);  \
                else                                                                               \
                    MLP_REAL(activate_piece_##name)(rows, width, stride, z + at, a + at, NULL);    \
            }                                                                                      \
        }                                                                                          \
    }
MLP_FOR_EACH_IN_TWO_PHASES(MLP_ACTIVATE_IN_TWO_PHASES_DEFINE)

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
        MLP_FOR_EACH_IN_ONE_PHASE(MLP_ACTIVATE_CASE)
        MLP_FOR_EACH_IN_TWO_PHASES(MLP_ACTIVATE_CASE)
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
        const mlp_vec shift = v_set1(MLP_REAL(largest_of)(n_columns, z));
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
