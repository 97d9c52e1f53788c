/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * instruction_counts.c - the hottest paths of the core, for instruction_counts.py to count.
 *
 *   instruction_counts N_CALLS [NAME]
 *
 * Short paths are called once, so that their workspace has grown, and then N_CALLS times within
 * `counted`; long ones, to which memory is nothing, once within it. The counter tells the calls of
 * `counted` apart by their order, in which the names are printed. NAME: this path alone.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mlpcore.h"

typedef enum path { FORWARD, VALUE_AND_GRAD, TRAIN_STEP, EPOCH } path;

typedef struct path_case {
    const char *name;
    path path;
    mlp_optimizer_kind optimizer;
    size_t n_layers, sizes[4];
    mlp_loss_kind loss;
    size_t batch, n_rows;
    int is_long;
} path_case;

static const path_case cases[] = {
    {"forward 2-20-5, batch 1", FORWARD, MLP_SGD, 2, {2, 20, 5}, MLP_MSE, 1, 1, 0},
    {"forward 784-256-128-10, batch 128",
     FORWARD,
     MLP_SGD,
     3,
     {784, 256, 128, 10},
     MLP_CROSS_ENTROPY,
     128,
     128,
     1},
    {"SGD step 64-128-10, batch 32",
     TRAIN_STEP,
     MLP_SGD,
     2,
     {64, 128, 10},
     MLP_CROSS_ENTROPY,
     32,
     32,
     0},
    {"Adam step 64-128-10, batch 32",
     TRAIN_STEP,
     MLP_ADAM,
     2,
     {64, 128, 10},
     MLP_CROSS_ENTROPY,
     32,
     32,
     0},
    {"value and gradient 784-256-128-10, batch 128",
     VALUE_AND_GRAD,
     MLP_SGD,
     3,
     {784, 256, 128, 10},
     MLP_CROSS_ENTROPY,
     128,
     128,
     1},
    {"epoch 2-20-5, 1024 rows, batch 32", EPOCH, MLP_SGD, 2, {2, 20, 5}, MLP_MSE, 32, 1024, 1},
};

/* Everything that a path needs; float32. */
typedef struct workload {
    const path_case *path_case;
    mlp_network *network;
    mlp_workspace *workspace;
    mlp_batch batch;
    mlp_loss loss;
    mlp_optimizer optimizer;
    float *parameters, *gradients, *output, *grad_x;
} workload;

static void must(mlp_status status) {
    if (status == MLP_OK) return;
    fprintf(stderr, "status %d\n", (int)status);
    exit(EXIT_FAILURE);
}

static void *zeros(size_t n, size_t bytes) {
    void *array = calloc(n, bytes);
    if (array == NULL) exit(EXIT_FAILURE);
    return array;
}

/* n numbers in (-scale, scale), the same on every machine. */
static float *numbers(size_t n, float scale) {
    static uint32_t state = 1;
    float *array = zeros(n, sizeof *array);
    for (size_t i = 0; i < n; i++) {
        state = state * 1664525u + 1013904223u; /* Numerical Recipes */
        array[i] = scale * ((float)(state >> 8) * 0x1p-23f - 1.0f);
    }
    return array;
}

static workload make(const path_case *c) {
    const size_t n_inputs = c->sizes[0], n_outputs = c->sizes[c->n_layers];
    mlp_activation activations[3] = {MLP_RELU, MLP_RELU, MLP_RELU};
    activations[c->n_layers - 1] = c->loss == MLP_CROSS_ENTROPY ? MLP_SOFTMAX : MLP_IDENTITY;
    workload w = {.path_case = c, .loss = {c->loss, MLP_MEAN, 0.0}};
    must(mlp_network_create(MLP_FLOAT32, c->n_layers, c->sizes, activations, 1, &w.network));
    must(mlp_workspace_create(w.network, &w.workspace));
    const size_t n_parameters = mlp_network_n_parameters(w.network);
    w.parameters = numbers(n_parameters, 0.05f);
    w.gradients = zeros(n_parameters, sizeof(float));
    w.output = zeros(c->n_rows * n_outputs, sizeof(float));
    w.grad_x = zeros(c->n_rows * n_inputs, sizeof(float));
    w.batch.n_samples = c->n_rows;
    w.batch.x = numbers(c->n_rows * n_inputs, 1.0f);
    if (c->loss == MLP_CROSS_ENTROPY) {
        int64_t *classes = zeros(c->n_rows, sizeof *classes);
        for (size_t i = 0; i < c->n_rows; i++)
            classes[i] = (int64_t)(i % n_outputs);
        w.batch.class_index = classes;
    } else {
        w.batch.target = numbers(c->n_rows * n_outputs, 1.0f);
    }
    w.optimizer = (mlp_optimizer){
        .kind = c->optimizer, .learning_rate = 1e-3, .beta1 = 0.9, .beta2 = 0.999, .epsilon = 1e-8};
    if (c->optimizer == MLP_ADAM) {
        w.optimizer.first_moment = zeros(n_parameters, sizeof(float));
        w.optimizer.second_moment = zeros(n_parameters, sizeof(float));
    }
    return w;
}

static void release(workload *w) {
    void *const arrays[] = {w->parameters,
                            w->gradients,
                            w->output,
                            w->grad_x,
                            (void *)(uintptr_t)w->batch.x,
                            (void *)(uintptr_t)w->batch.target,
                            (void *)(uintptr_t)w->batch.class_index,
                            w->optimizer.first_moment,
                            w->optimizer.second_moment};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        free(arrays[i]);
    mlp_workspace_destroy(w->workspace);
    mlp_network_destroy(w->network);
}

static void call(workload *w) {
    const path_case *c = w->path_case;
    double value;
    switch (c->path) {
    case FORWARD:
        must(mlp_forward(w->workspace, w->parameters, c->batch, w->batch.x, w->output, 1));
        break;
    case VALUE_AND_GRAD:
        must(mlp_value_and_grad(w->workspace, w->parameters, &w->batch, &w->loss, w->gradients,
                                w->grad_x, &value, 1));
        break;
    case TRAIN_STEP:
        must(mlp_train_step(w->workspace, w->parameters, &w->batch, &w->loss, NULL, &w->optimizer,
                            &value, 1));
        break;
    case EPOCH: {
        mlp_epoch epoch = {.batch_size = c->batch};
        must(mlp_train_epoch(w->workspace, w->parameters, &w->batch, &w->loss, &w->optimizer,
                             &epoch, 1));
        break;
    }
    }
}

/* The counter looks for this name. */
__attribute__((noinline)) void counted(workload *w, size_t n_calls);
void counted(workload *w, size_t n_calls) {
    for (size_t i = 0; i < n_calls; i++)
        call(w);
}

int main(int argc, char **argv) {
    if (argc != 2 && argc != 3) {
        fprintf(stderr, "usage: instruction_counts N_CALLS [NAME]\n");
        return 2;
    }
    const size_t n_calls = (size_t)strtoul(argv[1], NULL, 10);
    mlp_isa_select(MLP_ISA_AVX2); /* valgrind 3.19 has no AVX-512 */
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        if (argc == 3 && strcmp(argv[2], cases[i].name) != 0) continue;
        workload w = make(&cases[i]);
        if (!cases[i].is_long) call(&w);
        counted(&w, cases[i].is_long ? 1 : n_calls);
        release(&w);
        puts(cases[i].name);
    }
    return 0;
}
