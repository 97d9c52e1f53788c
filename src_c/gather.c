/* SPDX-License-Identifier: BSD-3-Clause */
/* gather.c - rows of data that lie apart, copied side by side. */
#include "gather.h"

#include <string.h>

/* Of a row from this length on, the head is asked for two rows before it is copied: what comes after
 * that the processor foresees. 784 floats then take two thirds of the time, but 64 longer. */
#define MLP_FETCHED_ROW_BYTES ((size_t)512)
#define MLP_ROWS_AHEAD        2

/* Rows order[0 .. n) of `from`, each of n_bytes, at every `stride` bytes of `to`. */
static void gather_long_rows(const int64_t *order, size_t n, size_t n_bytes,
                             const unsigned char *from, unsigned char *to, size_t stride) {
    for (size_t i = 0; i < n; i++, to += stride) {
        if (n_bytes >= MLP_FETCHED_ROW_BYTES && i + MLP_ROWS_AHEAD < n)
            for (size_t at = 0; at < MLP_FETCHED_ROW_BYTES; at += MLP_ALIGNMENT)
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

mlp_batch mlp_gathered_batch(const mlp_workspace *w, const mlp_batch *data, size_t n_rows) {
    return (mlp_batch){
        .n_samples = n_rows,
        .x = w->gathered_x,
        .target = data->target == NULL ? NULL : w->gathered_target,
        .class_index = data->class_index == NULL ? NULL : w->gathered_class_index,
        .sample_weight = data->sample_weight == NULL ? NULL : w->gathered_sample_weight,
        .dy_dx = data->dy_dx == NULL ? NULL : w->gathered_dy_dx,
        .dy_dx_weight = data->dy_dx_weight,
    };
}

void mlp_gather_weights(mlp_workspace *w, const mlp_batch *data, const int64_t *order,
                        size_t n_rows) {
    const size_t real = w->needs.kernels->real_bytes;
    if (data->sample_weight != NULL)
        gather_rows(order, n_rows, real, data->sample_weight, w->gathered_sample_weight, real);
}

void mlp_gather_rows(mlp_workspace *w, const mlp_batch *data, const int64_t *order, size_t first,
                     size_t n_rows) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    const size_t n_inputs = net->layers[0].n_inputs;
    const size_t n_outputs = net->layers[net->n_layers - 1].n_outputs;
    const size_t pitch = mlp_gathered_pitch(w, data), real = kernels->real_bytes;
    order += first;
    gather_rows(order, n_rows, n_inputs * real, data->x,
                mlp_at(kernels, w->gathered_x, first * pitch), pitch * real);
    if (data->target != NULL)
        gather_rows(order, n_rows, n_outputs * real, data->target,
                    mlp_at(kernels, w->gathered_target, first * n_outputs), n_outputs * real);
    if (data->class_index != NULL)
        gather_rows(order, n_rows, sizeof(int64_t), data->class_index,
                    w->gathered_class_index + first, sizeof(int64_t));
    if (data->dy_dx != NULL) {
        const size_t n_entries = n_inputs * n_outputs;
        gather_rows(order, n_rows, n_entries * real, data->dy_dx,
                    mlp_at(kernels, w->gathered_dy_dx, first * n_entries), n_entries * real);
    }
}
