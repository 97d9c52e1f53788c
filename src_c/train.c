/* SPDX-License-Identifier: BSD-3-Clause */
/* train.c - forward, loss, backward and update of one batch, and of all batches of an epoch. */
#include <math.h>

#include "gather.h"
#include "one_row.h"
#include "sobolev.h"
#include "weights.h"

/* What a step costs besides, in multiply-adds: half a microsecond. */
#define MLP_STEP_OVERHEAD ((size_t)1 << 15)

/* An update in passing, or none as yet. */
static mlp_status status_of(mlp_outcome outcome) {
    if (outcome == MLP_UNDONE) return MLP_NOT_FINITE;
    return outcome == MLP_STOPPED ? MLP_INTERRUPTED : MLP_OK;
}

/* One update; the workspace is laid out for the pass. row_steps: begun for it, or NULL. */
static mlp_status run_step(mlp_workspace *w, const mlp_pass *pass, mlp_row_steps *row_steps,
                           void *parameters, mlp_optimizer *optimizer, double *value,
                           size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    if (pass->batch->dy_dx != NULL) {
        if (pass->order != NULL) {
            mlp_gather_weights(w, pass->data, pass->order, pass->batch->n_samples);
            mlp_gather_rows(w, pass->data, pass->order, 0, pass->batch->n_samples);
        }
        const mlp_status status = mlp_sobolev(w, parameters, pass->batch, pass->loss, w->gradients,
                                              NULL, value, n_threads);
        if (status != MLP_OK) return status;
    } else {
        const mlp_outcome outcome = row_steps != NULL ? mlp_row_step(row_steps, value)
                                                      : mlp_pass_run(w, pass, parameters, value);
        if (outcome != MLP_NOT_UPDATED) return status_of(outcome);
    }
    if (!isfinite(*value)) return MLP_NOT_FINITE;
    if (mlp_adjusts_gradient(optimizer)) {
        const mlp_status status = mlp_gradient_adjust_by(kernels, net, optimizer, parameters,
                                                         w->gradients, w->needs.n_threads);
        if (status != MLP_OK) return status;
    }
    const mlp_status status = mlp_optimizer_update(kernels, optimizer, net->n_parameters,
                                                   parameters, w->gradients, w->needs.n_threads);
    /* An update in passing needs bounds of the moments; this one, after the gradient, left none. */
    if (status == MLP_OK && mlp_weights_may_be_sure(net, pass))
        mlp_moments_find_bounds(kernels, optimizer, net->n_parameters);
    return status;
}

mlp_status mlp_train_step(mlp_workspace *w, void *parameters, const mlp_batch *batch,
                          const mlp_loss *loss, const mlp_dropout *dropout,
                          mlp_optimizer *optimizer, double *value, size_t n_threads) {
    /* All members: see mlp_pass_run. */
    const mlp_pass pass = {.batch = batch,
                           .records = NULL,
                           .forward = 1,
                           .loss = loss,
                           .dropout = dropout,
                           .cotangent = NULL,
                           .own_gradients = 1,
                           .gradients = NULL,
                           .update = batch->dy_dx == NULL ? optimizer : NULL,
                           .parameters = parameters,
                           .grad_x = NULL,
                           .gathered_rows = 0,
                           .data = NULL,
                           .order = NULL};
    const mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status != MLP_OK) return status;
    mlp_row_steps row_steps;
    const int by_rows = mlp_row_steps_begin(&row_steps, w, &pass);
    return run_step(w, &pass, by_rows ? &row_steps : NULL, parameters, optimizer, value, n_threads);
}

mlp_status mlp_train_epoch(mlp_workspace *w, void *parameters, const mlp_batch *data,
                           const mlp_loss *loss, mlp_optimizer *optimizer, mlp_epoch *epoch,
                           size_t n_threads) {
    const mlp_network *net = w->network;
    const size_t n_samples = data->n_samples;
    const size_t batch_size = mlp_smaller(epoch->batch_size, n_samples);
    MLP_ASSERT(epoch->batch_size >= 1);
    if (n_samples == 0) return MLP_OK;
    /* A row by itself is learnt from where it lies. */
    const int gathers = epoch->order != NULL && batch_size > 1;
    mlp_batch batch = *data;
    batch.n_samples = batch_size;
    mlp_dropout dropout = {0};
    if (epoch->dropout != NULL) dropout = *epoch->dropout;
    mlp_pass pass = {.batch = &batch,
                     .forward = 1,
                     .loss = loss,
                     .dropout = epoch->dropout != NULL ? &dropout : NULL,
                     .own_gradients = 1,
                     .update = data->dy_dx == NULL ? optimizer : NULL,
                     .parameters = parameters,
                     .gathered_rows = gathers ? batch_size : 0,
                     .data = data};
    mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status != MLP_OK) return status;

    mlp_row_steps row_steps;
    const int by_rows = mlp_row_steps_begin(&row_steps, w, &pass);
    /* mlp_pass_run and mlp_row_step count their rows themselves, mlp_sobolev all blocks but the last. */
    const size_t uncounted_rows = data->dy_dx == NULL ? 0 : mlp_smaller(batch_size, MLP_BLOCK_ROWS);
    const size_t step_work =
        3 * net->n_weights * uncounted_rows + net->n_parameters + MLP_STEP_OVERHEAD;
    size_t work = 0;
    for (size_t first = epoch->n_steps * batch_size; first < n_samples; first += batch_size) {
        const size_t n = mlp_smaller(batch_size, n_samples - first);
        if (mlp_is_interrupted(w, work)) return MLP_INTERRUPTED;
        if (gathers) {
            batch = mlp_gathered_batch(w, data, n);
            pass.order = epoch->order + first;
        } else {
            const size_t row = epoch->order != NULL ? (size_t)epoch->order[first] : first;
            batch = mlp_batch_rows(w->needs.kernels, data, row, n, net->layers[0].n_inputs,
                                   net->layers[net->n_layers - 1].n_outputs);
        }
        if (epoch->learning_rates != NULL)
            optimizer->learning_rate = epoch->learning_rates[epoch->n_steps];
        dropout.step = (uint64_t)optimizer->step;
        double value;
        status = run_step(w, &pass, by_rows ? &row_steps : NULL, parameters, optimizer, &value,
                          n_threads);
        if (status != MLP_OK) return status;
        epoch->n_steps++;
        epoch->loss_total += value * ((double)n / (double)n_samples);
        work = step_work;
    }
    return MLP_OK;
}
