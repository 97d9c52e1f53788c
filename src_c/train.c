/* SPDX-License-Identifier: BSD-3-Clause */
/* train.c - forward, loss, backward and update of one batch, and of all batches of an epoch. */
#include <math.h>
#include <string.h>

#include "sobolev.h"
#include "weights.h"

/* What a step costs besides, in multiply-adds: half a microsecond. */
#define MLP_STEP_OVERHEAD ((size_t)1 << 15)

/* One update; the workspace is laid out for the pass. */
static mlp_status run_step(mlp_workspace *w, const mlp_pass *pass, void *parameters,
                           mlp_optimizer *optimizer, double *value, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    if (pass->batch->dy_dx != NULL) {
        const mlp_status status = mlp_sobolev(w, parameters, pass->batch, pass->loss, w->gradients,
                                              NULL, value, n_threads);
        if (status != MLP_OK) return status;
    } else {
        const mlp_outcome outcome = mlp_pass_run(w, pass, parameters, value);
        if (outcome == MLP_UPDATED) return MLP_OK;
        if (outcome == MLP_UNDONE) return MLP_NOT_FINITE;
        if (outcome == MLP_STOPPED) return MLP_INTERRUPTED;
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
                           .gathered_rows = 0};
    const mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status != MLP_OK) return status;
    return run_step(w, &pass, parameters, optimizer, value, n_threads);
}

/* Of a row from this length on, the head is asked for two rows before it is copied: what comes after
 * that the processor foresees. 784 floats then take two thirds of the time, but 64 longer. */
#define MLP_LONG_ROW_BYTES ((size_t)512)
#define MLP_ROWS_AHEAD     2

/* Rows order[0 .. n) of `from`, each of n_bytes, at every `stride` bytes of `to`. */
static void gather_long_rows(const int64_t *order, size_t n, size_t n_bytes,
                             const unsigned char *from, unsigned char *to, size_t stride) {
    for (size_t i = 0; i < n; i++, to += stride) {
        if (n_bytes >= MLP_LONG_ROW_BYTES && i + MLP_ROWS_AHEAD < n)
            for (size_t at = 0; at < MLP_LONG_ROW_BYTES; at += MLP_ALIGNMENT)
                MLP_PREFETCH(from + (size_t)order[i + MLP_ROWS_AHEAD] * n_bytes + at);
        memcpy(to, from + (size_t)order[i] * n_bytes, n_bytes);
    }
}

/* The same for rows of `half` to twice as many bytes, as two halves that may overlap: calls of memcpy
 * would be a tenth of a tiny step. */
MLP_INLINE void gather_short_rows(const int64_t *order, size_t n, size_t n_bytes,
                                  const unsigned char *from, unsigned char *to, size_t stride,
                                  const size_t half) {
    const size_t rest = n_bytes - half;
    for (size_t i = 0; i < n; i++, to += stride) {
        const unsigned char *row = from + (size_t)order[i] * n_bytes;
        memcpy(to, row, half);
        memcpy(to + rest, row + rest, half);
    }
}

static void gather_rows(const int64_t *order, size_t n, size_t n_bytes, const void *from, void *to,
                        size_t stride) {
    if (n_bytes > 64)
        gather_long_rows(order, n, n_bytes, from, to, stride);
    else if (n_bytes >= 32)
        gather_short_rows(order, n, n_bytes, from, to, stride, 32);
    else if (n_bytes >= 16)
        gather_short_rows(order, n, n_bytes, from, to, stride, 16);
    else if (n_bytes >= 8)
        gather_short_rows(order, n, n_bytes, from, to, stride, 8);
    else
        gather_short_rows(order, n, n_bytes, from, to, stride, 4); /* one float */
}

/* Where the rows of a gathered batch lie: side by side, those of x at mlp_pitch, but for sobolev.c. */
static mlp_batch gathered_batch(const mlp_workspace *w, const mlp_batch *data) {
    return (mlp_batch){
        .x = w->gathered_x,
        .target = data->target == NULL ? NULL : w->gathered_target,
        .class_index = data->class_index == NULL ? NULL : w->gathered_class_index,
        .sample_weight = data->sample_weight == NULL ? NULL : w->gathered_sample_weight,
        .dy_dx = data->dy_dx == NULL ? NULL : w->gathered_dy_dx,
        .dy_dx_weight = data->dy_dx_weight,
    };
}

/* Copies rows order[0 .. n) of data there. */
static void gather(mlp_workspace *w, const mlp_batch *data, const int64_t *order, size_t n) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    const size_t n_inputs = net->layers[0].n_inputs;
    const size_t pitch = data->dy_dx == NULL ? mlp_pitch(kernels, n_inputs) : n_inputs;
    const size_t n_outputs = net->layers[net->n_layers - 1].n_outputs;
    const size_t real = kernels->real_bytes, target_bytes = n_outputs * real;
    gather_rows(order, n, n_inputs * real, data->x, w->gathered_x, pitch * real);
    if (data->target != NULL)
        gather_rows(order, n, target_bytes, data->target, w->gathered_target, target_bytes);
    if (data->class_index != NULL)
        gather_rows(order, n, sizeof(int64_t), data->class_index, w->gathered_class_index,
                    sizeof(int64_t));
    if (data->sample_weight != NULL)
        gather_rows(order, n, real, data->sample_weight, w->gathered_sample_weight, real);
    if (data->dy_dx != NULL)
        gather_rows(order, n, n_inputs * target_bytes, data->dy_dx, w->gathered_dy_dx,
                    n_inputs * target_bytes);
}

mlp_status mlp_train_epoch(mlp_workspace *w, void *parameters, const mlp_batch *data,
                           const mlp_loss *loss, mlp_optimizer *optimizer, mlp_epoch *epoch,
                           size_t n_threads) {
    const mlp_network *net = w->network;
    const size_t n_samples = data->n_samples;
    const size_t batch_size = mlp_smaller(epoch->batch_size, n_samples);
    MLP_ASSERT(epoch->batch_size >= 1);
    if (n_samples == 0) return MLP_OK;
    mlp_batch batch = *data;
    batch.n_samples = batch_size;
    mlp_dropout dropout = {0};
    if (epoch->dropout != NULL) dropout = *epoch->dropout;
    const mlp_pass pass = {.batch = &batch,
                           .forward = 1,
                           .loss = loss,
                           .dropout = epoch->dropout != NULL ? &dropout : NULL,
                           .own_gradients = 1,
                           .update = data->dy_dx == NULL ? optimizer : NULL,
                           .parameters = parameters,
                           .gathered_rows = epoch->order != NULL ? batch_size : 0};
    mlp_status status = mlp_pass_prepare(w, &pass, n_threads);
    if (status != MLP_OK) return status;

    if (epoch->order != NULL) batch = gathered_batch(w, data);
    /* mlp_pass_run counts its rows itself, mlp_sobolev all blocks but the last. */
    const size_t uncounted_rows = data->dy_dx == NULL ? 0 : mlp_smaller(batch_size, MLP_BLOCK_ROWS);
    const size_t step_work =
        3 * net->n_weights * uncounted_rows + net->n_parameters + MLP_STEP_OVERHEAD;
    size_t work = 0;
    for (size_t first = epoch->n_steps * batch_size; first < n_samples; first += batch_size) {
        const size_t n = mlp_smaller(batch_size, n_samples - first);
        if (mlp_is_interrupted(w, work)) return MLP_INTERRUPTED;
        if (epoch->order != NULL) {
            gather(w, data, epoch->order + first, n);
            batch.n_samples = n;
        } else {
            batch = mlp_batch_rows(w->needs.kernels, data, first, n, net->layers[0].n_inputs,
                                   net->layers[net->n_layers - 1].n_outputs);
        }
        if (epoch->learning_rates != NULL)
            optimizer->learning_rate = epoch->learning_rates[epoch->n_steps];
        dropout.step = (uint64_t)optimizer->step;
        double value;
        status = run_step(w, &pass, parameters, optimizer, &value, n_threads);
        if (status != MLP_OK) return status;
        epoch->n_steps++;
        epoch->loss_total += value * ((double)n / (double)n_samples);
        work = step_work;
    }
    return MLP_OK;
}
