/* SPDX-License-Identifier: BSD-3-Clause */
/* train.c - forward, loss, backward and update of one batch, and of all batches of an epoch. */
#include <math.h>
#include <string.h>

#include "propagate.h"

/* Multiply-adds between two polls: about 10 ms of work, a small part of the time in which a person
 * expects an answer to Ctrl-C. */
#define MLP_POLL_WORK ((size_t)1 << 29)

/* One update; the workspace is laid out, the gradients lie in it. */
static mlp_status run_step(mlp_workspace *w, mlp_pass *pass, void *parameters,
                           mlp_optimizer *optimizer, double *value) {
    const mlp_network *net = w->network;
    pass->gradients = w->gradients;
    mlp_pass_run(w, pass, parameters, value);
    if (!isfinite(*value) || !w->needs.kernels->all_finite(net->n_parameters, w->gradients))
        return MLP_NOT_FINITE;
    mlp_optimizer_step(net->dtype, optimizer, net->n_parameters, parameters, w->gradients,
                       w->needs.n_threads);
    return MLP_OK;
}

mlp_status mlp_train_step(mlp_workspace *w, void *parameters, const mlp_batch *batch,
                          const mlp_loss *loss, mlp_optimizer *optimizer, double *value,
                          size_t n_threads) {
    mlp_pass pass = {
        .n_rows = batch->n_samples, .x = batch->x, .batch = batch, .loss = loss, .forward = 1};
    mlp_needs needs = {.own_gradients = 1};
    const mlp_status status = mlp_pass_prepare(w, &pass, &needs, n_threads);
    if (status != MLP_OK) return status;
    return run_step(w, &pass, parameters, optimizer, value);
}

/* Rows order[0 .. n) of data, copied side by side. */
static mlp_batch gather(mlp_workspace *w, const mlp_batch *data, const int64_t *order, size_t n) {
    const mlp_network *net = w->network;
    const size_t real_bytes = w->needs.kernels->real_bytes;
    const size_t x_bytes = net->layers[0].n_inputs * real_bytes;
    const size_t target_bytes = net->layers[net->n_layers - 1].n_outputs * real_bytes;
    mlp_batch batch = {.n_samples = n, .x = w->gathered_x};
    if (data->target) batch.target = w->gathered_target;
    if (data->class_index) batch.class_index = w->gathered_class_index;
    if (data->sample_weight) batch.sample_weight = w->gathered_weight;
    for (size_t i = 0; i < n; i++) {
        const size_t row = (size_t)order[i];
        memcpy((char *)w->gathered_x + i * x_bytes, (const char *)data->x + row * x_bytes, x_bytes);
        if (data->target)
            memcpy((char *)w->gathered_target + i * target_bytes,
                   (const char *)data->target + row * target_bytes, target_bytes);
        if (data->class_index) w->gathered_class_index[i] = data->class_index[row];
        if (data->sample_weight)
            memcpy((char *)w->gathered_weight + i * real_bytes,
                   (const char *)data->sample_weight + row * real_bytes, real_bytes);
    }
    return batch;
}

/* Rows first .. first + n of data, where they lie. */
static mlp_batch slice(const mlp_workspace *w, const mlp_batch *data, size_t first, size_t n) {
    const mlp_network *net = w->network;
    const size_t real_bytes = w->needs.kernels->real_bytes;
    const size_t x_bytes = net->layers[0].n_inputs * real_bytes;
    const size_t target_bytes = net->layers[net->n_layers - 1].n_outputs * real_bytes;
    mlp_batch batch = {.n_samples = n, .x = (const char *)data->x + first * x_bytes};
    if (data->target) batch.target = (const char *)data->target + first * target_bytes;
    if (data->class_index) batch.class_index = data->class_index + first;
    if (data->sample_weight)
        batch.sample_weight = (const char *)data->sample_weight + first * real_bytes;
    return batch;
}

mlp_status mlp_train_epoch(mlp_workspace *w, void *parameters, const mlp_batch *data,
                           const mlp_loss *loss, mlp_optimizer *optimizer, mlp_epoch *epoch,
                           size_t n_threads) {
    const size_t n_samples = data->n_samples;
    const size_t batch_size = epoch->batch_size < n_samples ? epoch->batch_size : n_samples;
    mlp_pass pass = {.n_rows = batch_size, .batch = data, .loss = loss, .forward = 1};
    mlp_needs needs = {.own_gradients = 1,
                       .n_gathered = epoch->order ? batch_size : 0,
                       .gathers_class_index = data->class_index != NULL};
    epoch->n_steps = 0;
    epoch->loss_total = 0;
    mlp_status status = mlp_pass_prepare(w, &pass, &needs, n_threads);
    if (status != MLP_OK) return status;

    const size_t step_work = 3 * w->network->n_weights * batch_size;
    size_t work = 0;
    for (size_t first = 0; first < n_samples; first += batch_size) {
        const size_t n = n_samples - first < batch_size ? n_samples - first : batch_size;
        const mlp_batch batch =
            epoch->order ? gather(w, data, epoch->order + first, n) : slice(w, data, first, n);
        pass.n_rows = n;
        pass.x = batch.x;
        pass.batch = &batch;
        double value;
        status = run_step(w, &pass, parameters, optimizer, &value);
        if (status != MLP_OK) return status;
        epoch->n_steps++;
        epoch->loss_total += value * ((double)n / (double)n_samples);
        work += step_work;
        if (epoch->poll && work >= MLP_POLL_WORK) {
            work = 0;
            if (epoch->poll(epoch->poll_context)) return MLP_INTERRUPTED;
        }
    }
    return MLP_OK;
}
