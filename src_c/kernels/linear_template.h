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
 * weight gradient read and write rows; only the backward product needs a transposed copy, and gets
 * it as packed panels.
 */

static void MLP_REAL(pack_forward)(const mlp_linear *layer, size_t begin, size_t end,
                                   void *panels) {
    const size_t n_inner = layer->n_inputs, n_columns = layer->n_outputs;
    for (size_t panel = begin; panel < end; panel++) {
        const size_t left = n_columns - panel * MLP_PANEL;
        MLP_REAL(pack_panel)(n_inner, left < MLP_PANEL ? left : MLP_PANEL,
                             (const mlp_real *)layer->weight + panel * MLP_PANEL, n_columns,
                             (mlp_real *)panels + panel * n_inner * MLP_PANEL);
    }
}

/* Panel columns are rows of W^T: blocks are transposed in registers, the fringes one by one. */
static void MLP_REAL(pack_backward)(const mlp_linear *layer, size_t begin, size_t end,
                                    void *panels) {
    const size_t n_inner = layer->n_outputs, n_columns = layer->n_inputs;
    for (size_t panel = begin; panel < end; panel++) {
        const mlp_real *weight = (const mlp_real *)layer->weight + panel * MLP_PANEL * n_inner;
        mlp_real *to = (mlp_real *)panels + panel * n_inner * MLP_PANEL;
        const size_t left = n_columns - panel * MLP_PANEL;
        const size_t width = left < MLP_PANEL ? left : MLP_PANEL;
        const size_t whole_width = width / MLP_BLOCK * MLP_BLOCK;
        const size_t whole_depth = n_inner / MLP_BLOCK * MLP_BLOCK;
        for (size_t k = 0; k < whole_depth; k += MLP_BLOCK) {
            for (size_t j = 0; j < whole_width; j += MLP_BLOCK)
                v_transpose(weight + j * n_inner + k, n_inner, to + k * MLP_PANEL + j, MLP_PANEL);
        }
        for (size_t k = 0; k < n_inner; k++) {
            for (size_t j = k < whole_depth ? whole_width : 0; j < width; j++)
                to[k * MLP_PANEL + j] = weight[j * n_inner + k];
            for (size_t j = width; j < MLP_PANEL; j++)
                to[k * MLP_PANEL + j] = 0;
        }
    }
}

static void MLP_REAL(linear_forward)(const mlp_linear *layer, size_t n_rows, const void *x, void *z,
                                     void *a, void *d, void *scratch) {
    const size_t n_outputs = layer->n_outputs;
    const int is_packed = layer->forward_panels != NULL;
    const int whole_row = layer->activation == MLP_SOFTMAX;
    MLP_REAL(product) p = {0};
    p.n_rows = n_rows;
    p.n_inner = layer->n_inputs;
    p.n_columns = n_outputs;
    p.a = x;
    p.a_stride = layer->n_inputs;
    p.b = is_packed ? layer->forward_panels : layer->weight;
    p.b_panel = is_packed ? layer->n_inputs * MLP_PANEL : MLP_PANEL;
    p.b_stride = is_packed ? MLP_PANEL : n_outputs;
    p.c = z ? z : a;
    p.bias = layer->bias;
    p.activation = layer->activation;
    if (a && !whole_row && (layer->activation != MLP_IDENTITY || z || d)) {
        p.output = a;
        p.derivative = d;
    }
    p.scratch = scratch;
    MLP_REAL(product_run)(&p);
    if (a && whole_row) MLP_REAL(softmax)(n_rows, n_outputs, p.c, a);
}

static void MLP_REAL(linear_backward_input)(const mlp_linear *layer, size_t n_rows, const void *dz,
                                            const void *d, void *dx, void *scratch) {
    MLP_REAL(product) p = {0};
    p.n_rows = n_rows;
    p.n_inner = layer->n_outputs;
    p.n_columns = layer->n_inputs;
    p.a = dz;
    p.a_stride = layer->n_outputs;
    p.b = layer->backward_panels;
    p.b_panel = layer->n_outputs * MLP_PANEL;
    p.b_stride = MLP_PANEL;
    p.c = dx;
    p.factor = d;
    p.scratch = scratch;
    MLP_REAL(product_run)(&p);
}

static void MLP_REAL(linear_backward_weight)(const mlp_linear *layer, size_t n_rows, const void *x,
                                             const void *dz, size_t begin, size_t end,
                                             int accumulate, void *grad_weight, void *scratch) {
    MLP_REAL(product) p = {0};
    p.n_rows = end - begin;
    p.n_inner = n_rows;
    p.n_columns = layer->n_outputs;
    p.a = (const mlp_real *)x + begin;
    p.a_stride = layer->n_inputs;
    p.a_is_columns = 1;
    p.b = dz;
    p.b_panel = MLP_PANEL;
    p.b_stride = layer->n_outputs;
    p.may_pack_b = 1;
    p.c = (mlp_real *)grad_weight + begin * layer->n_outputs;
    p.accumulate = accumulate;
    p.scratch = scratch;
    MLP_REAL(product_run)(&p);
}

static void MLP_REAL(linear_backward_bias)(const mlp_linear *layer, size_t n_rows, const void *dz,
                                           int accumulate, void *grad_bias) {
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
                chunk = v_add(chunk, v_load_tail(source + r * n + j, tail));
            total = r0 == 0 && !accumulate ? chunk : v_add(total, chunk);
        }
        v_store_tail(sum + j, tail, total);
    }
}
