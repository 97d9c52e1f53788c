/* SPDX-License-Identifier: BSD-3-Clause */
/* propagate.c - a batch through a net, forward and back; network.h tells the plan. */
#include "propagate.h"

#include <math.h>
#include <string.h>

#include "gather.h"
#include "loss.h"
#include "rows.h"
#include "sobolev.h"
#include "weights.h"

/* ---- the rows: a strip a task --------------------------------------------------------------- */

void mlp_drop_units(const mlp_row_region *region, size_t l, size_t first, size_t n_rows) {
    const mlp_workspace *w = region->workspace;
    const mlp_layer_rows *layer = &w->layers[l];
    const double rate = region->dropout->rates[l];
    if (rate == 0.0) return;
    const mlp_drop drop = {
        .key = mlp_random_key(region->dropout->seed, MLP_KEY_DROPOUT, l),
        .step = region->dropout->step,
        .threshold = (uint64_t)(rate * 0x1p32 + 0.5),
        .scale = 1.0 / (1.0 - rate),
    };
    const size_t from = first * layer->stride;
    w->needs.kernels->dropout(
        &drop, region->first_row + first, n_rows, w->network->layers[l].n_outputs,
        mlp_at(w->needs.kernels, layer->output, from),
        mlp_at(w->needs.kernels, layer->activation_derivative, from), layer->stride);
}

MLP_INLINE void run_strip(const mlp_row_region *region, size_t first, size_t n_rows,
                          size_t worker) {
    mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    const size_t n_inputs = net->layers[0].n_inputs, last = net->n_layers - 1;
    void *scratch = (unsigned char *)w->scratch + worker * w->scratch_bytes;
    mlp_row_squares *squares = &w->squares[worker];

    if (region->pass->order != NULL)
        mlp_gather_rows(w, region->pass->data, region->pass->order, region->first_row + first,
                        n_rows);
    if (region->x != region->block->x)
        mlp_spread_rows(kernels, n_rows, n_inputs,
                        mlp_const_at(kernels, region->block->x, first * n_inputs), n_inputs,
                        mlp_at(kernels, w->spread_x, first * region->x_stride), region->x_stride);
    if (region->forward) mlp_forward_rows(region, first, n_rows, scratch, squares);
    if (region->loss == NULL && region->cotangent == NULL) return;
    mlp_output_rows(region, &w->layers[last], &net->layers[last], first, n_rows);
    if (region->backward) mlp_backward_rows(region, first, n_rows, scratch, squares);
}

static void row_task(void *context, size_t task, size_t worker) {
    const mlp_row_region *region = context;
    const size_t first = task * region->strip_rows;
    /* Twice, since a tiny step would feel what it takes to find a row that is the first. */
    if (first == 0)
        run_strip(region, 0, mlp_smaller(region->strip_rows, region->block->n_samples), worker);
    else
        run_strip(region, first, mlp_smaller(region->strip_rows, region->block->n_samples - first),
                  worker);
}

/* ---- a pass: rows, then weights (weights.c) ------------------------------------------------- */

void mlp_point_layers(mlp_workspace *w, const mlp_record *given, int on_pre_activation,
                      size_t first) {
    const mlp_kernels *kernels = w->needs.kernels;
    for (size_t l = 0; l < w->network->n_layers; l++) {
        const mlp_layer_shape *layer = &w->network->layers[l];
        const size_t n_outputs = layer->n_outputs, from = first * n_outputs;
        mlp_layer_rows *rows = &w->layers[l];
        *rows = w->own[l];
        if (given != NULL) {
            rows->pre_activation = mlp_at(kernels, given[l].pre_activation, from);
            rows->output = mlp_at(kernels, given[l].output, from);
            rows->activation_derivative = mlp_at(kernels, given[l].activation_derivative, from);
            rows->stride = n_outputs;
            rows->grad_output = mlp_at(kernels, given[l].grad_output, from);
            if (given[l].grad_pre_activation != NULL) {
                rows->grad_pre_activation = mlp_at(kernels, given[l].grad_pre_activation, from);
                rows->grad_stride = n_outputs;
            }
        } else if (l + 1 == w->network->n_layers && on_pre_activation) {
            rows->pre_activation = rows->output;
            rows->output = rows->activation_derivative = NULL;
        }
    }
}

static int goes_back(const mlp_pass *pass) {
    return pass->own_gradients || pass->gradients != NULL;
}

mlp_status mlp_pass_prepare(mlp_workspace *w, const mlp_pass *pass, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    const size_t n_rows = pass->batch->n_samples;
    const size_t block_rows = mlp_smaller(n_rows > 0 ? n_rows : 1, MLP_BLOCK_ROWS);
    MLP_ASSERT(pass->forward || pass->records != NULL);
    MLP_ASSERT(!goes_back(pass) || pass->loss != NULL || pass->cotangent != NULL);
    MLP_ASSERT(pass->grad_x == NULL || goes_back(pass));
    const mlp_needs needs = {
        .kernels = kernels,
        .n_threads = mlp_useful_threads(n_threads, 3 * net->n_weights * block_rows),
        .value_rows = pass->loss != NULL ? n_rows : 0,
        .block_rows = block_rows,
        .gathered_rows = pass->gathered_rows,
        .spreads_x =
            pass->gathered_rows == 0 && mlp_spreads(kernels, block_rows, net->layers[0].n_inputs),
        .goes_back = goes_back(pass),
        .own_outputs = pass->records == NULL,
        .drops_units = pass->dropout != NULL,
        .own_gradients = pass->own_gradients,
        .gathers_class_index = pass->batch->class_index != NULL,
        .gathers_dy_dx = pass->batch->dy_dx != NULL,
        .piece_reals = mlp_weights_piece_reals(net, kernels, pass),
    };
    return mlp_workspace_prepare(w, &needs);
}

mlp_outcome mlp_pass_run(mlp_workspace *w, const mlp_pass *pass, const void *parameters,
                         double *value) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    const mlp_batch *batch = pass->batch;
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    const size_t n_threads = w->needs.n_threads, n_inputs = net->layers[0].n_inputs;
    const size_t x_stride = pass->gathered_rows > 0 ? mlp_pitch(kernels, n_inputs) : n_inputs;
    mlp_loss fused;
    mlp_batch block;
    /* Member by member, all of them: gcc clears a struct that lacks one by an instruction that takes
     * a tenth of a tiny step. */
    mlp_row_region rows;
    rows.workspace = w;
    rows.pass = pass;
    rows.forward = pass->forward;
    rows.backward = goes_back(pass);
    rows.dropout = pass->dropout;
    rows.loss = NULL;
    rows.on_pre_activation = 0;
    rows.factor = 0.0;
    if (pass->order != NULL) mlp_gather_weights(w, pass->data, pass->order, batch->n_samples);
    if (pass->loss != NULL) {
        fused = *pass->loss;
        fused.kind = mlp_loss_fuse(fused.kind, last->activation, &rows.on_pre_activation);
        rows.loss = &fused;
        rows.factor = mlp_loss_factor(pass->loss, net->dtype, last->n_outputs, batch);
    }
    mlp_weight_region weights;
    weights.workspace = w;
    weights.pass = pass;
    weights.gradients = pass->own_gradients ? w->gradients : pass->gradients;
    atomic_init(&weights.not_finite, 0);
    rows.sums_squares = mlp_weights_may_be_sure(net, pass);
    mlp_workspace_bind(w, parameters, rows.sums_squares);
    for (size_t worker = 0; worker < n_threads; worker++)
        w->squares[worker] = (mlp_row_squares){0};
    const size_t row_work = (rows.backward ? 3U : 1U) * mlp_forward_work(net);
    mlp_outcome outcome = MLP_NOT_UPDATED;
    size_t first = 0;
    do {
        const size_t n_rows = mlp_smaller(batch->n_samples - first, MLP_BLOCK_ROWS);
        mlp_point_layers(w, pass->records, rows.on_pre_activation, first);
        rows.block = batch;
        if (n_rows < batch->n_samples) {
            block = mlp_batch_rows(kernels, batch, first, n_rows, x_stride, last->n_outputs);
            rows.block = &block;
        }
        rows.x = w->needs.spreads_x ? w->spread_x : rows.block->x;
        rows.x_stride = w->needs.spreads_x ? mlp_pitch(kernels, n_inputs) : x_stride;
        rows.cotangent = mlp_const_at(kernels, pass->cotangent, first * last->n_outputs);
        rows.row_values = w->row_values + first;
        rows.first_row = first;
        rows.grad_x = mlp_at(kernels, pass->grad_x, first * n_inputs);
        rows.strip_rows =
            mlp_strip_rows(net, kernels, n_inputs + 3 * net->total_width, n_rows, n_threads);
        mlp_parallel_for(n_threads, mlp_quotient_up(n_rows, rows.strip_rows), row_task, &rows);
        /* Nothing is updated yet. */
        if (mlp_is_interrupted(w, n_rows * row_work / n_threads)) return MLP_STOPPED;
        const int is_last = first + n_rows == batch->n_samples;
        if (is_last && pass->loss != NULL)
            *value = mlp_loss_total(w->row_values, net->dtype, batch, rows.factor);
        if (rows.backward) {
            weights.n_rows = n_rows;
            weights.x = rows.x;
            weights.x_stride = rows.x_stride;
            weights.accumulate = first > 0;
            outcome = mlp_weights_run(&weights, is_last, rows.sums_squares && isfinite(*value));
        }
        first += n_rows;
    } while (first < batch->n_samples);
    if (outcome != MLP_UPDATED) return outcome;
    if (!isfinite(*value)) {
        mlp_weights_undo(&weights);
        return MLP_UNDONE;
    }
    mlp_update_made(&weights.update);
    return MLP_UPDATED;
}

mlp_status mlp_forward_records(mlp_workspace *w, const void *parameters, size_t n_samples,
                               const void *x, const mlp_dropout *dropout, const mlp_record *records,
                               size_t n_threads) {
    const mlp_batch batch = {.n_samples = n_samples, .x = x};
    const mlp_pass pass = {.batch = &batch, .records = records, .forward = 1, .dropout = dropout};
    const mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status != MLP_OK) return status;
    return mlp_pass_run(w, &pass, parameters, NULL) == MLP_STOPPED ? MLP_INTERRUPTED : MLP_OK;
}

mlp_status mlp_backward_records(mlp_workspace *w, const void *parameters, const mlp_record *records,
                                const mlp_batch *batch, const void *cotangent, const mlp_loss *loss,
                                void *gradients, void *grad_x, double *value, size_t n_threads) {
    const mlp_pass pass = {
        .batch = batch,
        .records = records,
        .loss = cotangent != NULL ? NULL : loss,
        .cotangent = cotangent,
        .gradients = gradients,
        .grad_x = grad_x,
    };
    const mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status != MLP_OK) return status;
    return mlp_pass_run(w, &pass, parameters, value) == MLP_STOPPED ? MLP_INTERRUPTED : MLP_OK;
}

mlp_status mlp_value_and_grad(mlp_workspace *w, const void *parameters, const mlp_batch *batch,
                              const mlp_loss *loss, void *gradients, void *grad_x, double *value,
                              size_t n_threads) {
    if (batch->dy_dx != NULL)
        return mlp_sobolev(w, parameters, batch, loss, gradients, grad_x, value, n_threads);
    const mlp_pass pass = {/* all members: see mlp_pass_run */
                           .batch = batch,     .records = NULL,        .forward = 1,
                           .loss = loss,       .dropout = NULL,        .cotangent = NULL,
                           .own_gradients = 0, .gradients = gradients, .update = NULL,
                           .parameters = NULL, .grad_x = grad_x,       .gathered_rows = 0,
                           .data = NULL,       .order = NULL};
    const mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status != MLP_OK) return status;
    return mlp_pass_run(w, &pass, parameters, value) == MLP_STOPPED ? MLP_INTERRUPTED : MLP_OK;
}
