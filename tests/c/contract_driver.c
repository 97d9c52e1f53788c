/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * contract_driver.c - prints a hash of forward, Jacobian, gradients and trained parameters of several
 * nets.
 *
 *     contract_driver ISA N_THREADS
 *
 * ISA is a name of cpu.h, or "best" for the one that the core chooses.
 *
 * Two machines, or two instruction sets, keep the arithmetic contract when they print the same text.
 * No Python and no libm takes part, so that the program also runs under an emulator of another
 * processor. Numbers are not printed as such: C leaves the digits of %a to the library.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "memory.h"
#include "mlpcore.h"
#include "parallel.h"

typedef struct net_case {
    const char *name;
    size_t n_layers, sizes[8];
    mlp_activation activations[7];
    mlp_loss_kind loss;
    size_t n_rows;
} net_case;

static const net_case cases[] = {
    {"seed", 2, {2, 20, 5}, {MLP_RELU, MLP_IDENTITY}, MLP_MSE, 33},
    {"odd", 3, {7, 33, 65, 3}, {MLP_TANH, MLP_GELU, MLP_SOFTMAX}, MLP_CROSS_ENTROPY, 71},
    {"sigmoids", 2, {30, 16, 1}, {MLP_SIGMOID, MLP_SIGMOID}, MLP_BCE, 150},
    {"deep",
     5,
     {5, 19, 18, 17, 16, 2},
     {MLP_SILU, MLP_ELU, MLP_SOFTPLUS, MLP_LEAKY_RELU, MLP_SOFTPLUS},
     MLP_HUBER,
     50},
    {"chunks", 2, {600, 530, 3}, {MLP_ELU, MLP_IDENTITY}, MLP_LOG_COSH, 20},
    {"blocks", 2, {3, 9, 2}, {MLP_TANH, MLP_IDENTITY}, MLP_POISSON, 1100},
};

static uint64_t state;

/* In (-1, 1), exact in float: a linear congruence's 24 high bits (multiplier of Knuth's MMIX). */
static double uniform(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (double)(int64_t)((state >> 40) - (1u << 23)) / (double)(1u << 23);
}

static uint64_t hash(const void *data, size_t n_bytes) {
    const unsigned char *bytes = data;
    uint64_t value = 14695981039346656037u; /* FNV-1a */
    for (size_t i = 0; i < n_bytes; i++)
        value = (value ^ bytes[i]) * 1099511628211u;
    return value;
}

static void *reals(mlp_dtype dtype, size_t n, double scale) {
    const size_t item = dtype == MLP_FLOAT32 ? sizeof(float) : sizeof(double);
    void *array = calloc(n + 1, item);
    if (!array) abort();
    for (size_t i = 0; i < n; i++) {
        const double value = scale * uniform();
        if (dtype == MLP_FLOAT32)
            ((float *)array)[i] = (float)value;
        else
            ((double *)array)[i] = value;
    }
    return array;
}

static void must(mlp_status status) {
    if (status != MLP_OK) {
        fprintf(stderr, "status %d\n", (int)status);
        exit(1);
    }
}

static void run(const net_case *c, mlp_dtype dtype, size_t n_threads) {
    const size_t item = dtype == MLP_FLOAT32 ? sizeof(float) : sizeof(double);
    const size_t n_inputs = c->sizes[0], n_outputs = c->sizes[c->n_layers];
    mlp_network *network;
    mlp_workspace *workspace;
    must(mlp_network_create(dtype, c->n_layers, c->sizes, c->activations, 1, &network));
    must(mlp_workspace_create(network, &workspace));
    const size_t n_parameters = mlp_network_n_parameters(network);
    state = 42;
    void *parameters = reals(dtype, n_parameters, 0.3);
    void *x = reals(dtype, c->n_rows * n_inputs, 1.0);
    void *target = reals(dtype, c->n_rows * n_outputs, 1.0);
    void *output = reals(dtype, c->n_rows * n_outputs, 0.0);
    void *gradients = reals(dtype, n_parameters, 0.0);
    void *grad_x = reals(dtype, c->n_rows * n_inputs, 0.0);
    void *first_moment = reals(dtype, n_parameters, 0.0);
    void *second_moment = reals(dtype, n_parameters, 0.0);
    int64_t *order = calloc(c->n_rows, sizeof *order),
            *classes = calloc(c->n_rows, sizeof *classes);
    if (!order || !classes) abort();
    mlp_batch batch = {.n_samples = c->n_rows, .x = x, .target = target};
    if (c->loss == MLP_CROSS_ENTROPY) {
        for (size_t i = 0; i < c->n_rows; i++)
            classes[i] = (int64_t)(i * 7 % n_outputs);
        batch.target = NULL;
        batch.class_index = classes;
    }
    void *jacobian = reals(dtype, c->n_rows * n_outputs * n_inputs, 0.0);
    const mlp_loss loss = {c->loss, MLP_MEAN, 0.5};
    double value;

    must(mlp_forward(workspace, parameters, c->n_rows, x, output, n_threads));
    printf("%s f%d forward %016llx\n", c->name, (int)item * 8,
           (unsigned long long)hash(output, c->n_rows * n_outputs * item));
    must(mlp_jacobian(workspace, parameters, c->n_rows, x, output, jacobian, n_threads));
    printf("%s f%d jacobian %016llx %016llx\n", c->name, (int)item * 8,
           (unsigned long long)hash(output, c->n_rows * n_outputs * item),
           (unsigned long long)hash(jacobian, c->n_rows * n_outputs * n_inputs * item));
    must(mlp_value_and_grad(workspace, parameters, &batch, &loss, gradients, grad_x, &value,
                            n_threads));
    printf("%s f%d gradients %016llx %016llx %016llx\n", c->name, (int)item * 8,
           (unsigned long long)hash(gradients, n_parameters * item),
           (unsigned long long)hash(grad_x, c->n_rows * n_inputs * item),
           (unsigned long long)hash(&value, sizeof value));
    mlp_optimizer adam = {.kind = MLP_ADAM,
                          .learning_rate = 1e-3,
                          .beta1 = 0.9,
                          .beta2 = 0.999,
                          .epsilon = 1e-8,
                          .first_moment = first_moment,
                          .second_moment = second_moment};
    mlp_epoch epoch;
    for (uint64_t i = 0; i < 3; i++) {
        epoch = (mlp_epoch){.order = order, .batch_size = 32};
        mlp_permutation(7, i, c->n_rows, order);
        must(mlp_train_epoch(workspace, parameters, &batch, &loss, &adam, &epoch, n_threads));
    }
    printf("%s f%d trained %016llx %016llx\n", c->name, (int)item * 8,
           (unsigned long long)hash(parameters, n_parameters * item),
           (unsigned long long)hash(&epoch.loss_total, sizeof epoch.loss_total));

    void *arrays[] = {parameters,    x,         target, output,
                      jacobian,      gradients, grad_x, first_moment,
                      second_moment, order,     classes};
    for (size_t i = 0; i < sizeof arrays / sizeof arrays[0]; i++)
        free(arrays[i]);
    mlp_workspace_destroy(workspace);
    mlp_network_destroy(network);
}

int main(int argc, char **argv) {
    mlp_isa isa = MLP_ISA_GENERIC;
    const int core_chooses = argc == 3 && strcmp(argv[1], "best") == 0;
    if (argc != 3 ||
        !(core_chooses || (mlp_isa_from_name(argv[1], &isa) && mlp_isa_available(isa)))) {
        fprintf(stderr, "usage: contract_driver ISA N_THREADS, with an ISA of this machine\n");
        return 2;
    }
    if (!core_chooses) mlp_isa_select(isa);
    const size_t n_threads = (size_t)strtoul(argv[2], NULL, 10);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        run(&cases[i], MLP_FLOAT32, n_threads);
        run(&cases[i], MLP_FLOAT64, n_threads);
    }
    mlp_parallel_shutdown();
    if (mlp_memory_live_blocks() != 0) {
        fprintf(stderr, "%zu blocks were not released\n", mlp_memory_live_blocks());
        return 1;
    }
    return 0;
}
