/* SPDX-License-Identifier: BSD-3-Clause */
/* sobolev_rows.c - the samples of a strip forward and back; sobolev.c has the formulas. */
#include <string.h>

#include "sobolev.h"

typedef struct strip_rows {
    const mlp_network *net;
    const mlp_kernels *kernels;
    const mlp_query *query;
    const mlp_query_layer *layers;
    void *const *buffers;
    size_t n_layers, n_inputs, n_outputs;
    size_t n_entries;    /* of a Jacobian */
    size_t n_directions; /* of a sample */
    size_t first, n_rows;
    void *scratch;
} strip_rows;

/* Row `row` of the strip in a buffer of so many reals a row. */
static void *in_buffer(const strip_rows *strip, int buffer, size_t reals, size_t row) {
    return mlp_at(strip->kernels, strip->buffers[buffer], (strip->first + row) * reals);
}

static void *kept(const strip_rows *strip, size_t l, mlp_kept what) {
    const size_t row =
        what < MLP_KEPT_DIRECTIONS ? strip->first : strip->first * strip->n_directions;
    return mlp_kept_at(strip->kernels, &strip->layers[l], what, row);
}

/* What lies in rows (n_rows, n_columns) a sample, to a buffer where it is turned. */
static void turn_samples(const strip_rows *strip, size_t n_rows, size_t n_columns, int from,
                         int to) {
    for (size_t i = 0; i < strip->n_rows; i++)
        strip->kernels->turn(n_rows, n_columns, in_buffer(strip, from, strip->n_entries, i),
                             in_buffer(strip, to, strip->n_entries, i));
}

/* The same weight for every sample, at stride. */
static void copy_to_samples(const strip_rows *strip, const void *weight, size_t width, void *to,
                            size_t stride) {
    const mlp_kernels *kernels = strip->kernels;
    const size_t n = strip->n_directions;
    for (size_t i = 0; i < strip->n_rows; i++)
        mlp_spread_rows(kernels, n, width, weight, width, mlp_at(kernels, to, i * n * stride),
                        stride);
}

static void scale_directions(const strip_rows *strip, size_t l) {
    const mlp_kernels *kernels = strip->kernels;
    const size_t stride = strip->layers[l].stride, step = strip->n_directions * stride;
    for (size_t i = 0; i < strip->n_rows; i++)
        kernels->scale_columns(
            strip->n_directions, strip->net->layers[l].n_outputs,
            mlp_at(kernels, kept(strip, l, MLP_KEPT_DIRECTIONS), i * step), stride,
            mlp_at(kernels, kept(strip, l, MLP_KEPT_DERIVATIVE), i * stride),
            mlp_at(kernels, kept(strip, l, MLP_KEPT_SCALED_DIRECTIONS), i * step), stride);
}

/* dz_L/dx of each sample, as it lies and turned, and t and s of the hidden layers. */
static void carry_forward(const strip_rows *strip) {
    const mlp_kernels *kernels = strip->kernels;
    const size_t n_directions = strip->n_rows * strip->n_directions;
    for (size_t l = 0; l < strip->n_layers; l++) {
        const int is_last = l + 1 == strip->n_layers;
        const size_t stride = strip->layers[l].stride;
        void *to = is_last ? in_buffer(strip, MLP_SOBOLEV_COLUMNS, strip->n_entries, 0)
                           : kept(strip, l, MLP_KEPT_DIRECTIONS);
        if (l == 0)
            copy_to_samples(strip, strip->query->products[0].weight,
                            strip->net->layers[0].n_outputs, to, stride);
        else
            kernels->linear_forward(&strip->query->products[l], n_directions,
                                    kept(strip, l - 1, MLP_KEPT_SCALED_DIRECTIONS),
                                    strip->layers[l - 1].stride, to, NULL, NULL, stride,
                                    strip->scratch);
        if (!is_last) scale_directions(strip, l);
    }
    turn_samples(strip, strip->n_inputs, strip->n_outputs, MLP_SOBOLEV_COLUMNS,
                 MLP_SOBOLEV_JACOBIAN);
}

static void carry_in_reverse(const strip_rows *strip) {
    const mlp_kernels *kernels = strip->kernels;
    const size_t n_directions = strip->n_rows * strip->n_directions;
    for (size_t l = strip->n_layers - 1; l-- > 0;) {
        const size_t stride = strip->layers[l].stride;
        void *to = kept(strip, l, MLP_KEPT_DIRECTIONS);
        if (l + 2 == strip->n_layers)
            copy_to_samples(strip, strip->query->shared, strip->net->layers[l].n_outputs, to,
                            stride);
        else
            kernels->linear_backward_input(&strip->query->products[l + 1], n_directions,
                                           kept(strip, l + 1, MLP_KEPT_SCALED_DIRECTIONS),
                                           strip->layers[l + 1].stride, NULL, 0, 0, to, stride,
                                           strip->scratch);
        scale_directions(strip, l);
    }
    kernels->linear_backward_input(&strip->query->products[0], n_directions,
                                   kept(strip, 0, MLP_KEPT_SCALED_DIRECTIONS),
                                   strip->layers[0].stride, NULL, 0, 0,
                                   in_buffer(strip, MLP_SOBOLEV_JACOBIAN, strip->n_entries, 0),
                                   strip->n_inputs, strip->scratch);
    turn_samples(strip, strip->n_outputs, strip->n_inputs, MLP_SOBOLEV_JACOBIAN,
                 MLP_SOBOLEV_COLUMNS);
}

/* From dl/d Jacobian to dl/d(dz_L/dx), turned, and what softmax gives back to its dl/dz. */
static void back_through_softmax(const strip_rows *strip, void *grad) {
    const mlp_kernels *kernels = strip->kernels;
    const size_t n_outputs = strip->n_outputs;
    for (size_t i = 0; i < strip->n_rows; i++) {
        const void *p =
            mlp_at(kernels, kept(strip, strip->n_layers - 1, MLP_KEPT_OUTPUT), i * n_outputs);
        void *change =
            in_buffer(strip, MLP_SOBOLEV_JACOBIAN, strip->n_entries, i); /* no longer needed */
        memset(change, 0, strip->n_entries * kernels->real_bytes);
        for (size_t d = 0; d < strip->n_inputs; d++) {
            const size_t row = d * n_outputs;
            kernels->softmax_second_order(
                1, n_outputs, p,
                mlp_at(kernels, in_buffer(strip, MLP_SOBOLEV_COLUMNS, strip->n_entries, i), row),
                mlp_at(kernels, in_buffer(strip, MLP_SOBOLEV_COLUMNS_GRAD, strip->n_entries, i),
                       row),
                mlp_at(kernels, change, row));
            mlp_add_rows(kernels, 1, n_outputs, mlp_at(kernels, grad, i * n_outputs),
                         mlp_at(kernels, change, row), n_outputs);
        }
    }
}

/* Both losses, and where there is a way back dl/dz_L and dl/d(dz_L/dx) turned. */
static void output_rows(const mlp_sobolev_region *region, const strip_rows *strip) {
    const mlp_kernels *kernels = strip->kernels;
    const size_t last = strip->n_layers - 1, n_outputs = strip->n_outputs;
    const size_t n_inputs = strip->n_inputs, n_entries = strip->n_entries;
    const size_t n_rows = strip->n_rows, first = strip->first;
    const mlp_activation activation = strip->net->layers[last].activation;
    const void *output = kept(strip, last, MLP_KEPT_OUTPUT);
    const void *derivative = kept(strip, last, MLP_KEPT_DERIVATIVE);
    void *jacobian = in_buffer(strip, MLP_SOBOLEV_JACOBIAN, n_entries, 0);
    void *grad = region->backward ? kept(strip, last, MLP_KEPT_GRAD) : NULL;
    if (activation == MLP_SOFTMAX)
        for (size_t i = 0; i < n_rows; i++)
            kernels->softmax_jacobian(n_outputs, n_inputs,
                                      mlp_const_at(kernels, output, i * n_outputs),
                                      mlp_at(kernels, jacobian, i * n_entries));
    else if (derivative != NULL)
        kernels->scale_rows(n_rows * n_outputs, n_inputs, derivative, jacobian);

    const mlp_batch rows =
        mlp_batch_rows(kernels, &region->block, first, n_rows, n_inputs, n_outputs);
    mlp_batch derivatives = rows;
    derivatives.target = rows.dy_dx;
    derivatives.class_index = NULL;
    const mlp_loss distance = {.kind = MLP_MSE, .reduction = region->loss.reduction};
    const void *z = kept(strip, last, MLP_KEPT_OUTPUT_PRE_ACTIVATION);
    kernels->loss(&region->loss, n_outputs, &rows, region->on_pre_activation ? z : output,
                  region->factor, grad, region->row_values + first);
    kernels->loss(&distance, n_entries, &derivatives, jacobian, region->distance_factor,
                  region->backward ? in_buffer(strip, MLP_SOBOLEV_JACOBIAN_GRAD, n_entries, 0)
                                   : NULL,
                  region->distances + first);
    if (!region->backward) return;

    turn_samples(strip, n_outputs, n_inputs, MLP_SOBOLEV_JACOBIAN_GRAD, MLP_SOBOLEV_COLUMNS_GRAD);
    if (activation == MLP_SOFTMAX) {
        if (!region->on_pre_activation)
            kernels->softmax_backward(n_rows, n_outputs, output, grad, grad);
        back_through_softmax(strip, grad);
        return;
    }
    if (derivative == NULL) return; /* an identity */
    if (!region->on_pre_activation) kernels->multiply(n_rows * n_outputs, grad, derivative, grad);
    const void *curvature = kept(strip, last, MLP_KEPT_CURVATURE);
    if (region->on_pre_activation) {
        void *bend = in_buffer(strip, MLP_SOBOLEV_LAST_CURVATURE, n_outputs, 0);
        kernels->curvature(activation, n_rows * n_outputs, z, bend);
        curvature = bend;
    }
    void *bent =
        in_buffer(strip, MLP_SOBOLEV_SPARE, mlp_largest_pitch(kernels, strip->net->widest), 0);
    for (size_t i = 0; i < n_rows; i++)
        kernels->directions_backward(n_inputs, n_outputs, n_outputs,
                                     mlp_const_at(kernels, derivative, i * n_outputs),
                                     mlp_const_at(kernels, curvature, i * n_outputs),
                                     in_buffer(strip, MLP_SOBOLEV_COLUMNS, n_entries, i),
                                     in_buffer(strip, MLP_SOBOLEV_COLUMNS_GRAD, n_entries, i),
                                     mlp_at(kernels, bent, i * n_outputs));
    mlp_add_rows(kernels, n_rows, n_outputs, grad, bent, n_outputs);
}

/* From dl/ds to dl/dt of a hidden layer, and to what its dl/dz begins with. */
static void back_through_activation(const strip_rows *strip, size_t l) {
    const mlp_kernels *kernels = strip->kernels;
    const size_t stride = strip->layers[l].stride, step = strip->n_directions * stride;
    for (size_t i = 0; i < strip->n_rows; i++)
        kernels->directions_backward(
            strip->n_directions, strip->net->layers[l].n_outputs, stride,
            mlp_at(kernels, kept(strip, l, MLP_KEPT_DERIVATIVE), i * stride),
            mlp_at(kernels, kept(strip, l, MLP_KEPT_CURVATURE), i * stride),
            mlp_at(kernels, kept(strip, l, MLP_KEPT_DIRECTIONS), i * step),
            mlp_at(kernels, kept(strip, l, MLP_KEPT_DIRECTIONS_GRAD), i * step),
            mlp_at(kernels, kept(strip, l, MLP_KEPT_GRAD), i * stride));
}

/* dl/dt of every hidden layer, along the way that the Jacobian came. */
static void directions_back(const strip_rows *strip, int forward_mode) {
    const mlp_kernels *kernels = strip->kernels;
    const size_t n_directions = strip->n_rows * strip->n_directions;
    if (forward_mode) {
        const void *grad = in_buffer(strip, MLP_SOBOLEV_COLUMNS_GRAD, strip->n_entries, 0);
        for (size_t l = strip->n_layers - 1; l > 0; l--) {
            void *below = kept(strip, l - 1, MLP_KEPT_DIRECTIONS_GRAD);
            kernels->linear_backward_input(&strip->query->products[l], n_directions, grad,
                                           strip->layers[l].stride, NULL, 0, 0, below,
                                           strip->layers[l - 1].stride, strip->scratch);
            back_through_activation(strip, l - 1);
            grad = below;
        }
        return;
    }
    turn_samples(strip, strip->n_inputs, strip->n_outputs, MLP_SOBOLEV_COLUMNS_GRAD,
                 MLP_SOBOLEV_JACOBIAN_GRAD);
    const void *grad = in_buffer(strip, MLP_SOBOLEV_JACOBIAN_GRAD, strip->n_entries, 0);
    size_t grad_stride = strip->n_inputs;
    for (size_t l = 0; l + 1 < strip->n_layers; l++) {
        void *above = kept(strip, l, MLP_KEPT_DIRECTIONS_GRAD);
        kernels->linear_forward(&strip->query->products[l], n_directions, grad, grad_stride, above,
                                NULL, NULL, strip->layers[l].stride, strip->scratch);
        back_through_activation(strip, l);
        grad = above;
        grad_stride = strip->layers[l].stride;
    }
}

void mlp_sobolev_row_task(void *context, size_t task, size_t worker) {
    const mlp_sobolev_region *region = context;
    const mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_query *query = w->query;
    const mlp_kernels *kernels = query->needs.kernels;
    const size_t first = task * region->strip_rows;
    const size_t n_inputs = net->layers[0].n_inputs;
    const size_t n_outputs = net->layers[net->n_layers - 1].n_outputs;
    const strip_rows strip = {
        .net = net,
        .kernels = kernels,
        .query = query,
        .layers = query->strips[0].layers,
        .buffers = query->strips[0].buffers,
        .n_layers = net->n_layers,
        .n_inputs = n_inputs,
        .n_outputs = n_outputs,
        .n_entries = n_inputs * n_outputs,
        .n_directions = query->needs.n_directions,
        .first = first,
        .n_rows = mlp_smaller(region->strip_rows, region->block.n_samples - first),
        .scratch = mlp_query_scratch(query, worker),
    };
    mlp_query_forward(w, &query->strips[0], first, strip.n_rows,
                      mlp_const_at(kernels, region->block.x, first * n_inputs), NULL,
                      strip.scratch);
    if (region->forward_mode)
        carry_forward(&strip);
    else
        carry_in_reverse(&strip);
    output_rows(region, &strip);
    if (!region->backward) return;
    directions_back(&strip, region->forward_mode);

    void *more = in_buffer(&strip, MLP_SOBOLEV_SPARE, mlp_largest_pitch(kernels, net->widest), 0);
    for (size_t l = net->n_layers - 1; l > 0; l--) {
        const size_t below = strip.layers[l - 1].stride;
        kernels->linear_backward_input(&query->products[l], strip.n_rows,
                                       kept(&strip, l, MLP_KEPT_GRAD), strip.layers[l].stride,
                                       kept(&strip, l - 1, MLP_KEPT_DERIVATIVE), below, 0, more,
                                       below, strip.scratch);
        mlp_add_rows(kernels, strip.n_rows, net->layers[l].n_inputs,
                     kept(&strip, l - 1, MLP_KEPT_GRAD), more, below);
    }
    if (region->grad_x != NULL)
        kernels->linear_backward_input(&query->products[0], strip.n_rows,
                                       kept(&strip, 0, MLP_KEPT_GRAD), strip.layers[0].stride, NULL,
                                       0, 0, mlp_at(kernels, region->grad_x, first * n_inputs),
                                       n_inputs, strip.scratch);
}
