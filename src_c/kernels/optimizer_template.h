/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * optimizer_template.h - one pass over the flat vectors for each optimizer.
 *
 * Included once for each dtype, after simd.h. The constants are rounded to the dtype once; every
 * parameter sees the same operations, whichever lane or piece of the vector it falls in.
 */

/*
 * g += weight_decay p,  velocity = momentum velocity + g,
 * p -= learning_rate (nesterov ? g + momentum velocity : velocity)
 *
 * PyTorch's form of momentum (Sutskever et al. 2013, with the learning rate outside of the
 * velocity) and of Nesterov's. The velocity starts at zero, so that the first one is g.
 */
MLP_INLINE mlp_vec MLP_REAL(sgd_update)(const mlp_optimizer *optimizer, mlp_vec p, mlp_vec g,
                                        mlp_vec *velocity) {
    const mlp_vec momentum = v_set1((mlp_real)optimizer->momentum);
    g = v_fma(v_set1((mlp_real)optimizer->weight_decay), p, g);
    if (velocity != NULL) {
        *velocity = v_fma(momentum, *velocity, g);
        g = optimizer->nesterov ? v_fma(momentum, *velocity, g) : *velocity;
    }
    return v_fnma(v_set1((mlp_real)optimizer->learning_rate), g, p);
}

static void MLP_REAL(sgd_step)(const mlp_optimizer *optimizer, size_t n, void *parameters,
                               const void *gradients, void *velocity) {
    mlp_real *p = parameters, *momentum_buffer = velocity;
    const mlp_real *g = gradients;
    mlp_vec v;
    size_t j = 0;
    if (momentum_buffer == NULL) {
        for (; j + MLP_LANES <= n; j += MLP_LANES)
            v_store(p + j, MLP_REAL(sgd_update)(optimizer, v_load(p + j), v_load(g + j), NULL));
        if (j < n) {
            const mlp_tail tail = v_tail(n - j);
            v_store_tail(p + j, tail,
                         MLP_REAL(sgd_update)(optimizer, v_load_tail(p + j, tail),
                                              v_load_tail(g + j, tail), NULL));
        }
        return;
    }
    for (; j + MLP_LANES <= n; j += MLP_LANES) {
        v = v_load(momentum_buffer + j);
        v_store(p + j, MLP_REAL(sgd_update)(optimizer, v_load(p + j), v_load(g + j), &v));
        v_store(momentum_buffer + j, v);
    }
    if (j < n) {
        const mlp_tail tail = v_tail(n - j);
        v = v_load_tail(momentum_buffer + j, tail);
        v_store_tail(p + j, tail,
                     MLP_REAL(sgd_update)(optimizer, v_load_tail(p + j, tail),
                                          v_load_tail(g + j, tail), &v));
        v_store_tail(momentum_buffer + j, tail, v);
    }
}

/*
 * m = beta1 m + (1 - beta1) g,  v = beta2 v + (1 - beta2) g^2,
 * p -= step_size m / (root_correction sqrt(v) + epsilon)
 *
 * Kingma and Ba, "Adam: a method for stochastic optimization", ICLR 2015, algorithm 1, with the
 * bias corrections moved into step_size = learning_rate / (1 - beta1^t) and root_correction =
 * 1 / sqrt(1 - beta2^t). Adam's weight_decay is an L2 penalty: weight_decay p is part of g.
 * AdamW's shrinks p by 1 - learning_rate weight_decay before the update (Loshchilov and Hutter,
 * "Decoupled weight decay regularization", ICLR 2019, as PyTorch scales it).
 */
#define mlp_adam_constants MLP_REAL(adam_constants)
typedef struct mlp_adam_constants {
    mlp_vec decay; /* Adam: weight_decay. AdamW: what is left of p */
    mlp_vec beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon, step_size, root_correction;
} mlp_adam_constants;

MLP_INLINE mlp_vec MLP_REAL(adam_update)(const mlp_adam_constants *c, int decoupled, mlp_vec p,
                                         mlp_vec g, mlp_vec *m, mlp_vec *v) {
    if (decoupled)
        p = v_mul(p, c->decay);
    else
        g = v_fma(c->decay, p, g);
    *m = v_fma(c->beta1, *m, v_mul(c->one_minus_beta1, g));
    *v = v_fma(c->beta2, *v, v_mul(v_mul(c->one_minus_beta2, g), g));
    const mlp_vec root = v_fma(v_sqrt(*v), c->root_correction, c->epsilon);
    return v_fnma(c->step_size, v_div(*m, root), p);
}

static void MLP_REAL(adam_step)(const mlp_optimizer *optimizer, double step_size,
                                double root_correction, size_t n, void *parameters,
                                const void *gradients, void *first_moment, void *second_moment) {
    const int decoupled = optimizer->kind == MLP_ADAMW;
    const double decay = decoupled ? 1.0 - optimizer->learning_rate * optimizer->weight_decay
                                   : optimizer->weight_decay;
    const mlp_adam_constants constants = {
        .decay = v_set1((mlp_real)decay),
        .beta1 = v_set1((mlp_real)optimizer->beta1),
        .one_minus_beta1 = v_set1((mlp_real)(1.0 - optimizer->beta1)),
        .beta2 = v_set1((mlp_real)optimizer->beta2),
        .one_minus_beta2 = v_set1((mlp_real)(1.0 - optimizer->beta2)),
        .epsilon = v_set1((mlp_real)optimizer->epsilon),
        .step_size = v_set1((mlp_real)step_size),
        .root_correction = v_set1((mlp_real)root_correction),
    };
    mlp_real *p = parameters, *first = first_moment, *second = second_moment;
    const mlp_real *g = gradients;
    mlp_vec m, v;
    size_t j = 0;
    for (; j + MLP_LANES <= n; j += MLP_LANES) {
        m = v_load(first + j);
        v = v_load(second + j);
        v_store(p + j,
                MLP_REAL(adam_update)(&constants, decoupled, v_load(p + j), v_load(g + j), &m, &v));
        v_store(first + j, m);
        v_store(second + j, v);
    }
    if (j < n) {
        const mlp_tail tail = v_tail(n - j);
        m = v_load_tail(first + j, tail);
        v = v_load_tail(second + j, tail);
        v_store_tail(p + j, tail,
                     MLP_REAL(adam_update)(&constants, decoupled, v_load_tail(p + j, tail),
                                           v_load_tail(g + j, tail), &m, &v));
        v_store_tail(first + j, tail, m);
        v_store_tail(second + j, tail, v);
    }
}
