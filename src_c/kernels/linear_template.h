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

static void MLP_REAL(linear_forward)(const mlp_linear *layer, size_t n_rows, const void *x,
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
        .scratch = scratch,
    };
    if (a && !whole_row && (layer->activation != MLP_IDENTITY || z || d)) {
        p.output = a;
        p.derivative = d;
    }
    MLP_REAL(product_run)(&p);
    if (a && whole_row) MLP_REAL(softmax)(n_rows, layer->n_outputs, stride, p.c, a);
}

static void MLP_REAL(linear_backward_input)(const mlp_linear *layer, size_t n_rows, const void *dz,
                                            size_t dz_stride, const void *d, size_t d_stride,
                                            void *dx, size_t dx_stride, void *scratch) {
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
        .scratch = scratch,
    };
    MLP_REAL(product_run)(&p);
}

static void MLP_REAL(linear_backward_weight)(const mlp_linear *layer, size_t n_rows, const void *x,
                                             size_t x_stride, const void *dz, size_t dz_stride,
                                             size_t begin, size_t end, int accumulate,
                                             void *grad_weight, void *scratch) {
    const MLP_REAL(product) p = {
        .n_rows = end - begin,
        .n_inner = n_rows,
        .n_columns = layer->n_outputs,
        .a = (const mlp_real *)x + begin,
        .a_stride = x_stride,
        .a_is_columns = 1,
        .b = dz,
        .b_stride = dz_stride,
        .c = (mlp_real *)grad_weight + begin * layer->n_outputs,
        .c_stride = layer->n_outputs,
        .accumulate = accumulate,
        .scratch = scratch,
    };
    MLP_REAL(product_run)(&p);
}

static void MLP_REAL(linear_backward_bias)(const mlp_linear *layer, size_t n_rows, const void *dz,
                                           size_t dz_stride, int accumulate, void *grad_bias) {
    const size_t n = layer->n_outputs;
    const mlp_real *source = dz;
    mlp_real *sum = grad_bias;
    for (size_t j = 0; j < n; j += MLP_LANES) {
        const mlp_tail tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);
        mlp_vec total = accumulate ? v_load_tail(sum + j, tail) : v_zero();
        for (size_t r0 = 0; r0 < n_rows; r0 += MLP_CHUNK) {
            const size_t r1 = n_rows - r0 < MLP_CHUNK ? n_rows : r0 + MLP_CHUNK;
            mlp_vec chunk = v_zero();
            for (size_t r = r0; r < r1; r++)
                chunk = v_add(chunk, v_load_tail(source + r * dz_stride + j, tail));
            total = r0 == 0 && !accumulate ? chunk : v_add(total, chunk);
        }
        v_store_tail(sum + j, tail, total);
    }
}
