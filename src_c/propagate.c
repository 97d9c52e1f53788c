/* SPDX-License-Identifier: BSD-3-Clause */
/* propagate.c - a batch through a net, forward and back; network.h tells the plan. */
#include "propagate.h"

#include <string.h>

#include "compiler.h"
#include "loss.h"

/* A forward strip's two buffers, or a training strip's rows of all buffers, take half of a 1 MiB
 * L2; the other half is for panels. */
#define MLP_STRIP_BYTES ((size_t)512 * 1024)
/* Up to this many row tiles, reading W as it lies is cheaper than packing it first (measured with
 * 128 rows of 784 x 256: 93 % of the peak against 91 % and the time to pack). */
#define MLP_UNPACKED_TILES 10
/* Panels that one packing task writes. */
#define MLP_PACK_PANELS 8

static size_t smaller(size_t a, size_t b) { return a < b ? a : b; }
static size_t quotient_up(size_t a, size_t b) { return (a + b - 1) / b; }

/* Element `index` of an array of reals; NULL stays NULL. */
static void *at(const mlp_kernels *kernels, const void *array, size_t index) {
    return array ? (char *)(uintptr_t)array + index * kernels->real_bytes : NULL;
}

/* Rows of a strip: as many as fit the budget, some row tiles at least. */
static size_t strip_rows(const mlp_kernels *kernels, size_t reals_per_row, size_t n_rows) {
    const size_t fit = MLP_STRIP_BYTES / (reals_per_row * kernels->real_bytes);
    size_t tiles = fit / kernels->tile_rows;
    if (tiles < 2) tiles = 2;
    return smaller(smaller(tiles * kernels->tile_rows, MLP_BLOCK_ROWS), n_rows ? n_rows : 1);
}

/* ---------------------------------------------------------------------- region 1: weights packed */

typedef struct pack_region {
    mlp_workspace *workspace;
    const mlp_kernels *kernels;
} pack_region;

/* Which panels are wanted stands in the linears: a pointer that is not NULL. */
static size_t pack_tasks(const mlp_kernels *kernels, const void *panels, size_t n_columns) {
    return panels ? quotient_up(quotient_up(n_columns, kernels->panel_width), MLP_PACK_PANELS) : 0;
}

static void pack_task(void *context, size_t task, size_t worker) {
    (void)worker;
    const pack_region *region = context;
    const mlp_kernels *kernels = region->kernels;
    const mlp_workspace *w = region->workspace;
    for (size_t l = 0; l < w->network->n_layers; l++) {
        const mlp_linear *linear = &w->linears[l];
        const size_t columns[2] = {linear->n_outputs, linear->n_inputs};
        const void *panels[2] = {linear->forward_panels, linear->backward_panels};
        for (size_t direction = 0; direction < 2; direction++) {
            const size_t n_tasks = pack_tasks(kernels, panels[direction], columns[direction]);
            if (task < n_tasks) {
                const size_t n_panels = quotient_up(columns[direction], kernels->panel_width);
                const size_t begin = task * MLP_PACK_PANELS;
                const size_t end = smaller(begin + MLP_PACK_PANELS, n_panels);
                if (direction == 0)
                    kernels->pack_forward(linear, begin, end, w->forward_panels[l]);
                else
                    kernels->pack_backward(linear, begin, end, w->backward_panels[l]);
                return;
            }
            task -= n_tasks;
        }
    }
}

/* Fills workspace->linears and packs what a pass of n_rows will read. */
static void pack_weights(mlp_workspace *w, const mlp_kernels *kernels, const void *parameters,
                         size_t n_rows, int forward, int backward, int backward_to_x,
                         size_t n_threads) {
    const mlp_network *net = w->network;
    size_t n_tasks = 0;
    for (size_t l = 0; l < net->n_layers; l++) {
        const mlp_layer_shape *layer = &net->layers[l];
        const int wide = layer->n_outputs > kernels->panel_width;
        const int many = n_rows > MLP_UNPACKED_TILES * kernels->tile_rows;
        w->linears[l] = (mlp_linear){
            .n_inputs = layer->n_inputs,
            .n_outputs = layer->n_outputs,
            .activation = layer->activation,
            .weight = at(kernels, parameters, layer->weight_offset),
            .bias = net->has_bias ? at(kernels, parameters, layer->bias_offset) : NULL,
            .forward_panels = forward && wide && many ? w->forward_panels[l] : NULL,
            .backward_panels = backward && (l > 0 || backward_to_x) ? w->backward_panels[l] : NULL,
        };
        n_tasks += pack_tasks(kernels, w->linears[l].forward_panels, layer->n_outputs) +
                   pack_tasks(kernels, w->linears[l].backward_panels, layer->n_inputs);
    }
    pack_region region = {w, kernels};
    mlp_parallel_for(n_threads, n_tasks, pack_task, &region);
}

/* ---------------------------------------------------------------------------------- forward only */

typedef struct forward_region {
    mlp_workspace *workspace;
    const mlp_kernels *kernels;
    size_t n_rows, n_strip;
    const void *x;
    void *y;
} forward_region;

static void forward_task(void *context, size_t task, size_t worker) {
    const forward_region *region = context;
    const mlp_kernels *kernels = region->kernels;
    mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const size_t first = task * region->n_strip;
    const size_t n_rows = smaller(region->n_strip, region->n_rows - first);
    const size_t buffer = w->needs.n_strip * net->widest;
    void *scratch = (char *)w->scratch + worker * w->scratch_bytes;
    const void *input = at(kernels, region->x, first * net->layers[0].n_inputs);
    for (size_t l = 0; l < net->n_layers; l++) {
        void *output = l + 1 == net->n_layers
                           ? at(kernels, region->y, first * net->layers[l].n_outputs)
                           : at(kernels, w->strips, (2 * worker + l % 2) * buffer);
        kernels->linear_forward(&w->linears[l], n_rows, input, NULL, output, NULL, scratch);
        input = output;
    }
}

mlp_status mlp_forward(mlp_workspace *w, const void *parameters, size_t n_samples, const void *x,
                       void *y, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    if (n_samples == 0) return MLP_OK;
    n_threads = mlp_useful_threads(n_threads, n_samples * net->n_weights);
    size_t n_strip = strip_rows(kernels, 2 * net->widest, n_samples);
    /* Every thread gets the same number of strips, give or take one row. */
    const size_t n_strips = quotient_up(quotient_up(n_samples, n_strip), n_threads) * n_threads;
    n_strip = quotient_up(n_samples, n_strips);
    const mlp_needs needs = {.kernels = kernels, .n_threads = n_threads, .n_strip = n_strip};
    const mlp_status status = mlp_workspace_prepare(w, &needs);
    if (status != MLP_OK) return status;
    pack_weights(w, kernels, parameters, n_samples, 1, 0, 0, n_threads);
    forward_region region = {w, kernels, n_samples, n_strip, x, y};
    mlp_parallel_for(n_threads, quotient_up(n_samples, n_strip), forward_task, &region);
    return MLP_OK;
}

/* ------------------------------------------------------------------------- region 2: strips of rows */

typedef struct row_region {
    mlp_workspace *workspace;
    const mlp_kernels *kernels;
    size_t n_rows, n_strip;
    const void *x;
    int forward;            /* fill the records' z, a and f'(z) */
    const mlp_batch *batch; /* the block's targets; NULL: no loss */
    const void *cotangent;  /* (n_rows, K) of the block, instead of a loss */
    mlp_loss loss;          /* as asked for */
    mlp_loss fused;         /* as computed */
    int on_pre_activation;
    double factor;
    double *row_values;
    int backward;
    void *grad_x;
} row_region;

static mlp_batch batch_rows(const mlp_kernels *kernels, const mlp_batch *batch, size_t first,
                            size_t n_rows, size_t n_inputs, size_t n_outputs) {
    return (mlp_batch){
        .n_samples = n_rows,
        .x = at(kernels, batch->x, first * n_inputs),
        .target = at(kernels, batch->target, first * n_outputs),
        .class_index = batch->class_index ? batch->class_index + first : NULL,
        .sample_weight = at(kernels, batch->sample_weight, first),
    };
}

/* dl/dz of the output layer, into its delta. */
static void output_delta(const row_region *region, const mlp_record *record,
                         const mlp_layer_shape *layer, size_t first, size_t n_rows) {
    const mlp_kernels *kernels = region->kernels;
    const size_t n = n_rows * layer->n_outputs, from = first * layer->n_outputs;
    void *delta = at(kernels, record->grad_pre_activation, from);
    void *grad_output = at(kernels, record->grad_output, from);
    if (region->batch) {
        const mlp_batch rows =
            batch_rows(kernels, region->batch, first, n_rows, 0, layer->n_outputs);
        const void *prediction =
            at(kernels, region->on_pre_activation ? record->pre_activation : record->output, from);
        void *gradient =
            !region->backward || region->on_pre_activation || !grad_output ? delta : grad_output;
        kernels->loss(&region->fused, layer->n_outputs, &rows, prediction, region->factor, gradient,
                      region->row_values + first);
        if (region->on_pre_activation && grad_output)
            kernels->loss(&region->loss, layer->n_outputs, &rows, at(kernels, record->output, from),
                          region->factor, grad_output, NULL);
        if (!region->backward || region->on_pre_activation) return;
        grad_output = gradient;
    } else {
        const void *cotangent = at(kernels, region->cotangent, from);
        void *copy = grad_output ? grad_output : delta;
        memcpy(copy, cotangent, n * kernels->real_bytes);
        grad_output = copy;
    }
    if (layer->activation == MLP_SOFTMAX)
        kernels->softmax_backward(n_rows, layer->n_outputs, at(kernels, record->output, from),
                                  grad_output, delta);
    else
        kernels->multiply(n, grad_output, at(kernels, record->activation_derivative, from), delta);
}

static void row_task(void *context, size_t task, size_t worker) {
    const row_region *region = context;
    const mlp_kernels *kernels = region->kernels;
    mlp_workspace *w = region->workspace;
    const mlp_network *net = w->network;
    const size_t n_layers = net->n_layers;
    const size_t first = task * region->n_strip;
    const size_t n_rows = smaller(region->n_strip, region->n_rows - first);
    const mlp_record *records = w->records;
    void *scratch = (char *)w->scratch + worker * w->scratch_bytes;

    if (region->forward) {
        const void *input = at(kernels, region->x, first * net->layers[0].n_inputs);
        for (size_t l = 0; l < n_layers; l++) {
            const size_t from = first * net->layers[l].n_outputs;
            void *output = at(kernels, records[l].output, from);
            kernels->linear_forward(&w->linears[l], n_rows, input,
                                    at(kernels, records[l].pre_activation, from), output,
                                    at(kernels, records[l].activation_derivative, from), scratch);
            input = output;
        }
    }
    if (!region->batch && !region->cotangent) return;
    output_delta(region, &records[n_layers - 1], &net->layers[n_layers - 1], first, n_rows);
    if (!region->backward) return;
    for (size_t l = n_layers; l-- > 1;) {
        const size_t n_below = net->layers[l - 1].n_outputs, below = first * n_below;
        const void *delta =
            at(kernels, records[l].grad_pre_activation, first * net->layers[l].n_outputs);
        const void *derivative = at(kernels, records[l - 1].activation_derivative, below);
        void *delta_below = at(kernels, records[l - 1].grad_pre_activation, below);
        void *grad_output = at(kernels, records[l - 1].grad_output, below);
        if (grad_output) {
            kernels->linear_backward_input(&w->linears[l], n_rows, delta, NULL, grad_output,
                                           scratch);
            kernels->multiply(n_rows * n_below, grad_output, derivative, delta_below);
        } else {
            kernels->linear_backward_input(&w->linears[l], n_rows, delta, derivative, delta_below,
                                           scratch);
        }
    }
    if (region->grad_x)
        kernels->linear_backward_input(
            &w->linears[0], n_rows,
            at(kernels, records[0].grad_pre_activation, first * net->layers[0].n_outputs), NULL,
            at(kernels, region->grad_x, first * net->layers[0].n_inputs), scratch);
}

/* ------------------------------------------------------------------- region 3: weight gradients */

typedef struct weight_region {
    mlp_workspace *workspace;
    const mlp_kernels *kernels;
    size_t n_rows, n_pieces; /* tasks of a layer */
    const void *x;
    int accumulate;
    void *gradients;
} weight_region;

static void weight_task(void *context, size_t task, size_t worker) {
    const weight_region *region = context;
    const mlp_kernels *kernels = region->kernels;
    mlp_workspace *w = region->workspace;
    const size_t l = task / region->n_pieces, piece = task % region->n_pieces;
    const mlp_layer_shape *layer = &w->network->layers[l];
    const size_t n_tiles = quotient_up(layer->n_inputs, kernels->tile_rows);
    const size_t begin =
        smaller(piece * n_tiles / region->n_pieces * kernels->tile_rows, layer->n_inputs);
    const size_t end =
        smaller((piece + 1) * n_tiles / region->n_pieces * kernels->tile_rows, layer->n_inputs);
    const void *delta = w->records[l].grad_pre_activation;
    kernels->linear_backward_weight(
        &w->linears[l], region->n_rows, l ? w->records[l - 1].output : region->x, delta, begin, end,
        region->accumulate, at(kernels, region->gradients, layer->weight_offset),
        (char *)w->scratch + worker * w->scratch_bytes);
    if (piece == 0 && w->network->has_bias)
        kernels->linear_backward_bias(&w->linears[l], region->n_rows, delta, region->accumulate,
                                      at(kernels, region->gradients, layer->bias_offset));
}

/* --------------------------------------------------------------------------------- the three together */

/* The records of a block: the caller's from row `first` on, or else the workspace's own. */
static void point_records(mlp_workspace *w, const mlp_kernels *kernels, const mlp_pass *pass,
                          size_t first) {
    for (size_t l = 0; l < w->network->n_layers; l++) {
        const mlp_layer_shape *layer = &w->network->layers[l];
        const size_t from = first * layer->n_outputs;
        mlp_record *record = &w->records[l];
        if (pass->records) {
            const mlp_record *given = &pass->records[l];
            *record = (mlp_record){at(kernels, given->pre_activation, from),
                                   at(kernels, given->output, from),
                                   at(kernels, given->activation_derivative, from),
                                   at(kernels, given->grad_output, from),
                                   at(kernels, given->grad_pre_activation, from)};
            if (!record->grad_pre_activation) record->grad_pre_activation = w->deltas[l];
            continue;
        }
        const int last = l + 1 == w->network->n_layers;
        *record = (mlp_record){.output = w->outputs[l], .grad_pre_activation = w->deltas[l]};
        if (last && pass->on_pre_activation) {
            record->pre_activation = w->outputs[l];
            record->output = NULL;
        } else if (layer->activation != MLP_SOFTMAX) {
            record->activation_derivative = w->derivatives[l];
        }
    }
}

mlp_status mlp_pass_prepare(mlp_workspace *w, mlp_pass *pass, mlp_needs *needs, size_t n_threads) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = mlp_kernels_selected(net->dtype);
    const mlp_layer_shape *last = &net->layers[net->n_layers - 1];
    if (pass->loss) {
        pass->fused = *pass->loss;
        pass->fused.kind =
            mlp_loss_fuse(pass->loss->kind, last->activation, &pass->on_pre_activation);
    }
    needs->kernels = kernels;
    needs->n_threads =
        mlp_useful_threads(n_threads, 3 * net->n_weights * smaller(pass->n_rows, MLP_BLOCK_ROWS));
    needs->n_block = smaller(pass->n_rows ? pass->n_rows : 1, MLP_BLOCK_ROWS);
    needs->n_values = pass->loss ? pass->n_rows : 0;
    needs->own_outputs = pass->records == NULL;
    needs->derivatives = pass->gradients != NULL || needs->own_gradients;
    return mlp_workspace_prepare(w, needs);
}

void mlp_pass_run(mlp_workspace *w, const mlp_pass *pass, const void *parameters, double *value) {
    const mlp_network *net = w->network;
    const mlp_kernels *kernels = w->needs.kernels;
    const size_t n_threads = w->needs.n_threads, n_layers = net->n_layers;
    const size_t n_inputs = net->layers[0].n_inputs;
    const size_t n_outputs = net->layers[n_layers - 1].n_outputs;
    const int backward = pass->gradients != NULL;
    pack_weights(w, kernels, parameters, pass->n_rows, pass->forward, backward,
                 pass->grad_x != NULL, n_threads);

    double factor = 1;
    if (pass->loss) factor = mlp_loss_factor(pass->loss, net->dtype, n_outputs, pass->batch);
    size_t first = 0;
    do {
        const size_t n_rows = smaller(pass->n_rows - first, MLP_BLOCK_ROWS);
        const void *x = at(kernels, pass->x, first * n_inputs);
        mlp_batch block;
        point_records(w, kernels, pass, first);
        row_region rows = {.workspace = w, .kernels = kernels, .n_rows = n_rows, .x = x};
        rows.forward = pass->forward;
        rows.backward = backward;
        rows.grad_x = at(kernels, pass->grad_x, first * n_inputs);
        rows.cotangent = at(kernels, pass->cotangent, first * n_outputs);
        if (pass->loss) {
            block = batch_rows(kernels, pass->batch, first, n_rows, n_inputs, n_outputs);
            rows.batch = &block;
            rows.loss = *pass->loss;
            rows.fused = pass->fused;
            rows.on_pre_activation = pass->on_pre_activation;
            rows.factor = factor;
            rows.row_values = w->row_values + first;
        }
        rows.n_strip = strip_rows(kernels, n_inputs + 3 * net->total_width, n_rows);
        const size_t n_strips =
            quotient_up(quotient_up(n_rows, rows.n_strip), n_threads) * n_threads;
        rows.n_strip = n_rows ? quotient_up(n_rows, n_strips) : 1;
        mlp_parallel_for(n_threads, quotient_up(n_rows, rows.n_strip), row_task, &rows);
        if (backward) {
            weight_region weights = {w, kernels, n_rows, n_threads, x, first > 0, pass->gradients};
            mlp_parallel_for(n_threads, n_layers * n_threads, weight_task, &weights);
        }
        first += n_rows;
    } while (first < pass->n_rows);
    if (pass->loss) *value = mlp_loss_total(w->row_values, net->dtype, pass->batch, factor);
}

mlp_status mlp_forward_records(mlp_workspace *w, const void *parameters, size_t n_samples,
                               const void *x, const mlp_record *records, size_t n_threads) {
    mlp_pass pass = {.n_rows = n_samples, .x = x, .records = records, .forward = 1};
    mlp_needs needs = {0};
    const mlp_status status = mlp_pass_prepare(w, &pass, &needs, n_threads);
    if (status == MLP_OK) mlp_pass_run(w, &pass, parameters, NULL);
    return status;
}

mlp_status mlp_backward_records(mlp_workspace *w, const void *parameters, const mlp_record *records,
                                const mlp_batch *batch, const void *cotangent, const mlp_loss *loss,
                                void *gradients, void *grad_x, double *value, size_t n_threads) {
    mlp_pass pass = {.n_rows = batch->n_samples,
                     .x = batch->x,
                     .records = records,
                     .batch = batch,
                     .cotangent = cotangent,
                     .loss = cotangent ? NULL : loss,
                     .gradients = gradients,
                     .grad_x = grad_x};
    mlp_needs needs = {0};
    const mlp_status status = mlp_pass_prepare(w, &pass, &needs, n_threads);
    if (status == MLP_OK) mlp_pass_run(w, &pass, parameters, value);
    return status;
}

mlp_status mlp_value_and_grad(mlp_workspace *w, const void *parameters, const mlp_batch *batch,
                              const mlp_loss *loss, void *gradients, void *grad_x, double *value,
                              size_t n_threads) {
    mlp_pass pass = {.n_rows = batch->n_samples,
                     .x = batch->x,
                     .batch = batch,
                     .loss = loss,
                     .forward = 1,
                     .gradients = gradients,
                     .grad_x = grad_x};
    mlp_needs needs = {0};
    const mlp_status status = mlp_pass_prepare(w, &pass, &needs, n_threads);
    if (status == MLP_OK) mlp_pass_run(w, &pass, parameters, value);
    return status;
}
