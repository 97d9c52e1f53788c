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

/* 0 where x is finite, NaN elsewhere, added to what was found so far. */
MLP_INLINE mlp_vec MLP_REAL(note_not_finite)(mlp_vec x, mlp_vec found) {
    return v_fma(v_zero(), x, found);
}

/* The same for the lanes of a tail: the others may hold 0 / 0. */
MLP_INLINE mlp_vec MLP_REAL(note_tail_not_finite)(mlp_vec x, mlp_tail tail, mlp_vec found) {
    mlp_real lanes[MLP_LANES];
    v_store(lanes, x);
    return MLP_REAL(note_not_finite)(v_load_tail(lanes, tail), found);
}

/* Registers of a step of the loops below: one after the other, their notes would wait for each
 * other. */
#ifndef MLP_UPDATE_VECS
#define MLP_UPDATE_VECS 4
#endif

MLP_INLINE int MLP_REAL(found_none)(const mlp_vec *found, size_t n_found) {
    mlp_real lanes[MLP_LANES];
    mlp_vec all = found[0];
    MLP_UNROLL
    for (size_t i = 1; i < n_found; i++)
        all = v_add(all, found[i]);
    v_store(lanes, all);
    int none = 1;
    for (size_t lane = 0; lane < MLP_LANES; lane++)
        none &= lanes[lane] == MLP_C(0);
    return none;
}

/* LANES parameters, or those of a tail. */
MLP_INLINE mlp_vec MLP_REAL(sgd_lanes)(const mlp_optimizer *optimizer, int store, int whole,
                                       mlp_tail tail, mlp_real *p, const mlp_real *g,
                                       mlp_real *velocity, mlp_vec found) {
    mlp_vec v = v_zero();
    if (velocity != NULL) v = whole ? v_load(velocity) : v_load_tail(velocity, tail);
    const mlp_vec updated = MLP_REAL(sgd_update)(
        optimizer, whole ? v_load(p) : v_load_tail(p, tail),
        whole ? v_load(g) : v_load_tail(g, tail), velocity != NULL ? &v : NULL);
    if (!store)
        return whole ? MLP_REAL(note_not_finite)(updated, found)
                     : MLP_REAL(note_tail_not_finite)(updated, tail, found);
    if (whole)
        v_store(p, updated);
    else
        v_store_tail(p, tail, updated);
    if (velocity == NULL) return found;
    if (whole)
        v_store(velocity, v);
    else
        v_store_tail(velocity, tail, v);
    return found;
}

MLP_INLINE int MLP_REAL(sgd_pass)(const mlp_optimizer *optimizer, int store, size_t n, mlp_real *p,
                                  const mlp_real *g, mlp_real *velocity) {
    mlp_vec found[MLP_UPDATE_VECS];
    mlp_tail tail = v_tail(MLP_LANES);
    size_t j = 0;
    MLP_UNROLL
    for (size_t i = 0; i < MLP_UPDATE_VECS; i++)
        found[i] = v_zero();
    for (; j + MLP_UPDATE_VECS * MLP_LANES <= n; j += MLP_UPDATE_VECS * MLP_LANES) {
        MLP_UNROLL
        for (size_t i = 0; i < MLP_UPDATE_VECS; i++) {
            const size_t at = j + i * MLP_LANES;
            found[i] = MLP_REAL(sgd_lanes)(optimizer, store, 1, tail, p + at, g + at,
                                           velocity != NULL ? velocity + at : NULL, found[i]);
        }
    }
    for (; j < n; j += MLP_LANES) {
        tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);
        found[0] = MLP_REAL(sgd_lanes)(optimizer, store, 0, tail, p + j, g + j,
                                       velocity != NULL ? velocity + j : NULL, found[0]);
    }
    return MLP_REAL(found_none)(found, MLP_UPDATE_VECS);
}

static int MLP_REAL(sgd_step)(const mlp_optimizer *optimizer, int store, size_t n, void *parameters,
                              const void *gradients, void *velocity) {
    return store ? MLP_REAL(sgd_pass)(optimizer, 1, n, parameters, gradients, velocity)
                 : MLP_REAL(sgd_pass)(optimizer, 0, n, parameters, gradients, velocity);
}

/* Plain SGD with a way back: the gradients give way to the parameters as they were. */
static int MLP_REAL(sgd_exchange)(const mlp_optimizer *optimizer, size_t n, void *parameters,
                                  void *gradients) {
    mlp_real *p = parameters, *g = gradients;
    mlp_vec found = v_zero();
    for (size_t j = 0; j < n; j += MLP_LANES) {
        const mlp_tail tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);
        const mlp_vec before = v_load_tail(p + j, tail);
        const mlp_vec updated =
            MLP_REAL(sgd_update)(optimizer, before, v_load_tail(g + j, tail), NULL);
        found = MLP_REAL(note_tail_not_finite)(updated, tail, found);
        v_store_tail(p + j, tail, updated);
        v_store_tail(g + j, tail, before);
    }
    return MLP_REAL(found_none)(&found, 1);
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

MLP_INLINE mlp_vec MLP_REAL(adam_lanes)(const mlp_adam_constants *c, int decoupled, int store,
                                        int whole, mlp_tail tail, mlp_real *p, const mlp_real *g,
                                        mlp_real *first, mlp_real *second, mlp_vec found) {
    mlp_vec m = whole ? v_load(first) : v_load_tail(first, tail);
    mlp_vec v = whole ? v_load(second) : v_load_tail(second, tail);
    const mlp_vec updated =
        MLP_REAL(adam_update)(c, decoupled, whole ? v_load(p) : v_load_tail(p, tail),
                              whole ? v_load(g) : v_load_tail(g, tail), &m, &v);
    if (!store) {
        found = whole ? MLP_REAL(note_not_finite)(v, found)
                      : MLP_REAL(note_tail_not_finite)(v, tail, found);
        return whole ? MLP_REAL(note_not_finite)(updated, found)
                     : MLP_REAL(note_tail_not_finite)(updated, tail, found);
    }
    if (whole) {
        v_store(p, updated);
        v_store(first, m);
        v_store(second, v);
    } else {
        v_store_tail(p, tail, updated);
        v_store_tail(first, tail, m);
        v_store_tail(second, tail, v);
    }
    return found;
}

MLP_INLINE int MLP_REAL(adam_pass)(const mlp_adam_constants *c, int decoupled, int store, size_t n,
                                   mlp_real *p, const mlp_real *g, mlp_real *first,
                                   mlp_real *second) {
    mlp_vec found[MLP_UPDATE_VECS];
    mlp_tail tail = v_tail(MLP_LANES);
    size_t j = 0;
    MLP_UNROLL
    for (size_t i = 0; i < MLP_UPDATE_VECS; i++)
        found[i] = v_zero();
    for (; j + MLP_UPDATE_VECS * MLP_LANES <= n; j += MLP_UPDATE_VECS * MLP_LANES) {
        MLP_UNROLL
        for (size_t i = 0; i < MLP_UPDATE_VECS; i++) {
            const size_t at = j + i * MLP_LANES;
            found[i] = MLP_REAL(adam_lanes)(c, decoupled, store, 1, tail, p + at, g + at,
                                            first + at, second + at, found[i]);
        }
    }
    for (; j < n; j += MLP_LANES) {
        tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);
        found[0] = MLP_REAL(adam_lanes)(c, decoupled, store, 0, tail, p + j, g + j, first + j,
                                        second + j, found[0]);
    }
    return MLP_REAL(found_none)(found, MLP_UPDATE_VECS);
}

static int MLP_REAL(adam_step)(const mlp_optimizer *optimizer, double step_size,
                               double root_correction, int store, size_t n, void *parameters,
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
    return store ? MLP_REAL(adam_pass)(&constants, decoupled, 1, n, parameters, gradients,
                                       first_moment, second_moment)
                 : MLP_REAL(adam_pass)(&constants, decoupled, 0, n, parameters, gradients,
                                       first_moment, second_moment);
}
