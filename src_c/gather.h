/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * gather.h - the rows of a mini-batch that lie apart, copied to the workspace's rows.
 *
 * The task that takes a strip of rows through the net copies them too: its caches have them then,
 * and no thread waits for another one to copy. Sample weights come first, since the loss of a row
 * depends on the sum of all.
 */
#ifndef MLP_GATHER_H
#define MLP_GATHER_H

#include "network.h"

/* The distance of gathered rows of x: that of sobolev.c, or of everybody else. */
MLP_INLINE size_t mlp_gathered_pitch(const mlp_workspace *workspace, const mlp_batch *data) {
    const size_t n_inputs = workspace->network->layers[0].n_inputs;
    return data->dy_dx != NULL ? n_inputs : mlp_pitch(workspace->needs.kernels, n_inputs);
}

/* Where n_rows gathered rows of data lie. */
mlp_batch mlp_gathered_batch(const mlp_workspace *workspace, const mlp_batch *data, size_t n_rows);

/* Copies the sample weights, if there are any, of rows order[0 .. n_rows) of data. */
void mlp_gather_weights(mlp_workspace *workspace, const mlp_batch *data, const int64_t *order,
                        size_t n_rows);

/* Copies all else of rows order[first .. first + n_rows), to the rows from `first` on. */
void mlp_gather_rows(mlp_workspace *workspace, const mlp_batch *data, const int64_t *order,
                     size_t first, size_t n_rows);

#endif
