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
 * panel.
 */

static int MLP_REAL(linear_forward)(const mlp_linear *layer, size_t n_rows, const void *x,
                                    size_t x_stride, void *z, void *a, void *d, size_t stride,
                                    void *scratch) {
    const int whole_row = layer->activation == MLP_SOFTMAX;
    MLP_REAL(product)
    p = {
        .n_rows = n_rows,
        .n_inner = layer->n_inputs,
        .n_columns = layer->n_outputs,
        .a = x,
        .a_stride = x_stride,
        .b = layer->weight,
        .b_stride = layer->n_outputs,
        .c = z ? z : a,
        .c_stride = stride,
        .bias = layer->bias,
        .activation = layer->activation,
        .watch = layer->watch,
        .scratch = scratch,
    };
    if (a && !whole_row && (layer->activation != MLP_IDENTITY || z || d)) {
        p.output = a;
        p.derivative = d;
    }
    const int finite = MLP_REAL(product_run)(&p);
    if (a && whole_row) MLP_REAL(softmax)(n_rows, layer->n_outputs, stride, p.c, a);
    return finite;
}

static void MLP_REAL(linear_backward_input)(const mlp_linear *layer, size_t n_rows, const void *dz,
                                            size_t dz_stride, const void *d, size_t d_stride,
                                            int d_is_relu, void *dx, size_t dx_stride,
                                            void *scratch) {
    const MLP_REAL(product) p = {
        .n_rows = n_rows,
        .n_inner = layer->n_outputs,
        .n_columns = layer->n_inputs,
        .a = dz,
        .a_stride = dz_stride,
        .b = layer->weight,
        .b_stride = layer->n_outputs,
        .b_is_transposed = 1,
        .c = dx,
        .c_stride = dx_stride,
        .factor = d,
        .factor_stride = d_stride,
        .factor_is_relu = d_is_relu,
        .scratch = scratch,
    };
    MLP_REAL(product_run)(&p);
}

static int MLP_REAL(linear_backward_weight)(const mlp_linear *layer, size_t n_rows, const void *x,
                                            size_t x_stride, const void *dz, size_t dz_stride,
                                            size_t begin, size_t end, int accumulate,
                                            void *grad_weight, const mlp_optimizer *update,
                                            void *weight, void *scratch) {
    const MLP_REAL(product) p = {
        .n_rows = end - begin,
        .n_inner = n_rows,
        .n_columns = layer->n_outputs,
        .a = (const mlp_real *)x + begin,
        .a_stride = x_stride,
        .a_is_columns = 1,
        .b = dz,
        .b_stride = dz_stride,
        .c = grad_weight ? (mlp_real *)grad_weight + begin * layer->n_outputs : NULL,
        .c_stride = layer->n_outputs,
        .accumulate = accumulate,
        .update = update,
        .parameters = update ? (mlp_real *)weight + begin * layer->n_outputs : NULL,
        .scratch = scratch,
    };
    return MLP_REAL(product_run)(&p);
}

/* Registers of a row that are summed side by side: lines that are read one by one come late. */
#ifndef MLP_BIAS_VECS
#define MLP_BIAS_VECS 8
#endif

/* `vecs` registers of columns, the last one of them a tail, summed over rows at dz_stride. A sum of
 * a chunk is never -0, so that to add the first one to 0 keeps its bits. */
MLP_INLINE void MLP_REAL(sum_rows)(size_t n_rows, const mlp_real *dz, size_t dz_stride,
                                   const size_t vecs, mlp_tail tail, int accumulate,
                                   mlp_real *sum) {
    mlp_vec total[MLP_BIAS_VECS];
    MLP_UNROLL
    for (size_t v = 0; v < vecs; v++)
        total[v] = accumulate ? v_load_tail(sum + v * MLP_LANES, tail) : v_zero();
    for (size_t r0 = 0; r0 < n_rows; r0 += MLP_CHUNK) {
        const size_t depth = n_rows - r0 < MLP_CHUNK ? n_rows - r0 : MLP_CHUNK;
        mlp_vec chunk[MLP_BIAS_VECS];
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++)
            chunk[v] = v_zero();
        for (size_t r = 0; r < depth; r++, dz += dz_stride) {
            MLP_UNROLL
            for (size_t v = 0; v < vecs; v++)
                chunk[v] = v_add(chunk[v], v_load_tail(dz + v * MLP_LANES, tail));
        }
        MLP_UNROLL
        for (size_t v = 0; v < vecs; v++)
            total[v] = v_add(total[v], chunk[v]);
    }
    MLP_UNROLL
    for (size_t v = 0; v < vecs; v++)
        v_store_tail(sum + v * MLP_LANES, tail, total[v]);
}

static void MLP_REAL(linear_backward_bias)(const mlp_linear *layer, size_t n_rows, const void *dz,
                                           size_t dz_stride, int accumulate, void *grad_bias) {
    const size_t n = layer->n_outputs;
    const mlp_real *source = dz;
    mlp_real *sum = grad_bias;
    size_t j = 0;
    for (; j + MLP_BIAS_VECS * MLP_LANES <= n; j += MLP_BIAS_VECS * MLP_LANES)
        MLP_REAL(sum_rows)(n_rows, source + j, dz_stride, MLP_BIAS_VECS, v_tail(MLP_LANES),
                           accumulate, sum + j);
    for (; j < n; j += MLP_LANES)
        MLP_REAL(sum_rows)(n_rows, source + j, dz_stride, 1,
                           v_tail(n - j < MLP_LANES ? n - j : MLP_LANES), accumulate, sum + j);
}
