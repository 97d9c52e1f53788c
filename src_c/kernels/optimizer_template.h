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
#define mlp_sgd_constants MLP_REAL(sgd_constants)
typedef struct mlp_sgd_constants {
    mlp_vec learning_rate, weight_decay, momentum;
    int nesterov;
} mlp_sgd_constants;

MLP_INLINE mlp_vec MLP_REAL(sgd_update)(const mlp_sgd_constants *c, mlp_vec p, mlp_vec g,
                                        mlp_vec *velocity) {
    g = v_fma(c->weight_decay, p, g);
    if (velocity != NULL) {
        *velocity = v_fma(c->momentum, *velocity, g);
        g = c->nesterov ? v_fma(c->momentum, *velocity, g) : *velocity;
    }
    return v_fnma(c->learning_rate, g, p);
}

/* LANES parameters, or those of a tail. */
MLP_INLINE mlp_vec MLP_REAL(sgd_lanes)(const mlp_sgd_constants *c, int store, int whole,
                                       mlp_tail tail, mlp_real *p, const mlp_real *g,
                                       mlp_real *velocity, mlp_vec found) {
    mlp_vec v = v_zero();
    if (velocity != NULL) v = whole ? v_load(velocity) : v_load_tail(velocity, tail);
    const mlp_vec updated = MLP_REAL(sgd_update)(c, whole ? v_load(p) : v_load_tail(p, tail),
                                                 whole ? v_load(g) : v_load_tail(g, tail),
                                                 velocity != NULL ? &v : NULL);
    if (!store) return MLP_REAL(note_not_finite)(updated, found); /* beyond a tail: 0 */
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

MLP_INLINE int MLP_REAL(sgd_pass)(const mlp_sgd_constants *c, int store, size_t n, mlp_real *p,
                                  const mlp_real *g, mlp_real *velocity) {
    mlp_vec found[MLP_NOTES];
    for (size_t i = 0; i < MLP_NOTES; i++)
        found[i] = v_zero();
    mlp_tail tail = v_tail(MLP_LANES);
    size_t j = 0;
    for (; j + MLP_NOTES * MLP_LANES <= n; j += MLP_NOTES * MLP_LANES)
        for (size_t i = 0; i < MLP_NOTES; i++) {
            const size_t k = j + i * MLP_LANES;
            found[i] = MLP_REAL(sgd_lanes)(c, store, 1, tail, p + k, g + k,
                                           velocity != NULL ? velocity + k : NULL, found[i]);
        }
    for (; j + MLP_LANES <= n; j += MLP_LANES)
        found[0] = MLP_REAL(sgd_lanes)(c, store, 1, tail, p + j, g + j,
                                       velocity != NULL ? velocity + j : NULL, found[0]);
    if (j < n) {
        tail = v_tail(n - j);
        found[0] = MLP_REAL(sgd_lanes)(c, store, 0, tail, p + j, g + j,
                                       velocity != NULL ? velocity + j : NULL, found[0]);
    }
    return store || MLP_REAL(found_none)(found);
}

MLP_INLINE mlp_sgd_constants MLP_REAL(sgd_constants_of)(const mlp_optimizer *optimizer) {
    return (mlp_sgd_constants){
        .learning_rate = v_set1((mlp_real)optimizer->learning_rate),
        .weight_decay = v_set1((mlp_real)optimizer->weight_decay),
        .momentum = v_set1((mlp_real)optimizer->momentum),
        .nesterov = optimizer->nesterov,
    };
}

static int MLP_REAL(sgd_step)(const mlp_optimizer *optimizer, int store, size_t n, void *parameters,
                              const void *gradients, void *velocity) {
    const mlp_sgd_constants constants = MLP_REAL(sgd_constants_of)(optimizer);
    if (velocity == NULL)
        return store ? MLP_REAL(sgd_pass)(&constants, 1, n, parameters, gradients, NULL)
                     : MLP_REAL(sgd_pass)(&constants, 0, n, parameters, gradients, NULL);
    return store ? MLP_REAL(sgd_pass)(&constants, 1, n, parameters, gradients, velocity)
                 : MLP_REAL(sgd_pass)(&constants, 0, n, parameters, gradients, velocity);
}

/* With a way back: the gradients give way to the parameters as they were. */
static int MLP_REAL(sgd_exchange)(const mlp_optimizer *optimizer, size_t n, void *parameters,
                                  void *gradients) {
    const mlp_sgd_constants constants = MLP_REAL(sgd_constants_of)(optimizer);
    mlp_real *p = parameters, *g = gradients;
    mlp_vec found[MLP_NOTES];
    for (size_t i = 0; i < MLP_NOTES; i++)
        found[i] = v_zero();
    size_t j = 0;
    for (; j + MLP_LANES <= n; j += MLP_LANES) {
        const mlp_vec before = v_load(p + j);
        const mlp_vec updated = MLP_REAL(sgd_update)(&constants, before, v_load(g + j), NULL);
        found[0] = MLP_REAL(note_not_finite)(updated, found[0]);
        v_store(p + j, updated);
        v_store(g + j, before);
    }
    if (j < n) {
        const mlp_tail tail = v_tail(n - j);
        const mlp_vec before = v_load_tail(p + j, tail);
        const mlp_vec updated =
            MLP_REAL(sgd_update)(&constants, before, v_load_tail(g + j, tail), NULL);
        found[1] = MLP_REAL(note_not_finite)(updated, found[1]); /* beyond a tail: 0 */
        v_store_tail(p + j, tail, updated);
        v_store_tail(g + j, tail, before);
    }
    return MLP_REAL(found_none)(found);
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
    mlp_vec beta1, one_minus_beta1, beta2, one_minus_beta2, epsilon, root_correction;
    mlp_vec step_size, lowered_step_size; /* the second 2^-64 times the first */
    mlp_vec far_from_zero;                /* 2^57 steps of a subnormal quotient */
    mlp_vec twice_longest; /* 2 max(step_size, 1) / epsilon: see adam_surely_finite */
} mlp_adam_constants;

/* a b, by an addition that keeps the sign of a zero: where a product underflows, processors are
 * slower than where a sum does. */
MLP_INLINE mlp_vec MLP_REAL(gradual_product)(mlp_vec a, mlp_vec b) {
    return v_fma(a, b, v_set1(MLP_C(-0.0)));
}

MLP_INLINE void MLP_REAL(adam_moments)(const mlp_adam_constants *c, int decoupled, mlp_vec *p,
                                       mlp_vec g, mlp_vec *m, mlp_vec *v) {
    if (decoupled)
        *p = v_mul(*p, c->decay);
    else
        g = v_fma(c->decay, *p, g);
    *m = v_fma(c->beta1, *m, MLP_REAL(gradual_product)(c->one_minus_beta1, g));
    *v = v_fma(c->beta2, *v,
               MLP_REAL(gradual_product)(MLP_REAL(gradual_product)(c->one_minus_beta2, g), g));
}

/*
 * Where the gradient stays 0, as that of a dead unit, m shrinks until it is subnormal, and stays so.
 * Processors divide such a number at a fraction of their speed: one in each vector, and on Zen 5 the
 * whole update takes three times as long. So it is lifted by 2^64, and the step lowered by as much;
 * both are exact. The bits are those of the plain form wherever its quotient is no subnormal number,
 * or p too far from 0 to be moved by one; elsewhere nothing is lifted.
 */
MLP_INLINE mlp_vec MLP_REAL(adam_update)(const mlp_adam_constants *c, mlp_vec p, mlp_vec m,
                                         mlp_vec v) {
    const mlp_vec root = v_fma(v_sqrt(v), c->root_correction, c->epsilon);
    /* Not 0, which is no slower, and frequent: a unit that was never active. */
    const mlp_vec size = v_select(v_eq(m, v_zero()), v_set1(MLP_C(1)), v_abs(m));
    const mlp_mask is_tiny = v_lt(size, v_set1(MLP_SMALLEST_NORMAL));
    if (!v_any(is_tiny)) return v_fnma(c->step_size, v_div(m, root), p);
    const mlp_vec lifted = MLP_REAL(gradual_product)(m, v_set1(MLP_C(0x1p64)));
    const mlp_vec smallest = v_mul(root, v_set1(MLP_SMALLEST_NORMAL * MLP_C(0x1p65)));
    mlp_vec numerator = v_select(v_lt(smallest, v_abs(lifted)), lifted, m);
    numerator = v_select(v_lt(c->far_from_zero, v_abs(p)), lifted, numerator);
    numerator = v_select(is_tiny, numerator, m);
    const mlp_mask is_lifted = v_lt(v_abs(m), v_abs(numerator));
    const mlp_vec step = v_select(is_lifted, c->lowered_step_size, c->step_size);
    return v_fnma(step, v_div(numerator, root), p);
}

MLP_INLINE mlp_vec MLP_REAL(adam_lanes)(const mlp_adam_constants *c, int decoupled, int store,
                                        int whole, mlp_tail tail, mlp_real *parameters,
                                        const mlp_real *g, mlp_real *first, mlp_real *second,
                                        mlp_vec found) {
    mlp_vec p = whole ? v_load(parameters) : v_load_tail(parameters, tail);
    mlp_vec m = whole ? v_load(first) : v_load_tail(first, tail);
    mlp_vec v = whole ? v_load(second) : v_load_tail(second, tail);
    MLP_REAL(adam_moments)(c, decoupled, &p, whole ? v_load(g) : v_load_tail(g, tail), &m, &v);
    p = MLP_REAL(adam_update)(c, p, m, v);
    if (!store) {
        found = whole ? MLP_REAL(note_not_finite)(v, found)
                      : MLP_REAL(note_tail_not_finite)(v, tail, found);
        return whole ? MLP_REAL(note_not_finite)(p, found)
                     : MLP_REAL(note_tail_not_finite)(p, tail, found);
    }
    if (whole) {
        v_store(parameters, p);
        v_store(first, m);
        v_store(second, v);
    } else {
        v_store_tail(parameters, tail, p);
        v_store_tail(first, tail, m);
        v_store_tail(second, tail, v);
    }
    return found;
}

MLP_INLINE int MLP_REAL(adam_pass)(const mlp_adam_constants *c, int decoupled, int store, size_t n,
                                   mlp_real *p, const mlp_real *g, mlp_real *first,
                                   mlp_real *second) {
    mlp_vec found[MLP_NOTES];
    for (size_t i = 0; i < MLP_NOTES; i++)
        found[i] = v_zero();
    mlp_tail tail = v_tail(MLP_LANES);
    size_t j = 0;
    for (; j + MLP_LANES <= n; j += MLP_LANES)
        found[0] = MLP_REAL(adam_lanes)(c, decoupled, store, 1, tail, p + j, g + j, first + j,
                                        second + j, found[0]);
    if (j < n) {
        tail = v_tail(n - j);
        found[0] = MLP_REAL(adam_lanes)(c, decoupled, store, 0, tail, p + j, g + j, first + j,
                                        second + j, found[0]);
    }
    return store || MLP_REAL(found_none)(found);
}

/* Notes what is not finite of v >= 0 and of 2 |p| + twice_longest |m|. */
MLP_INLINE mlp_vec MLP_REAL(adam_note)(const mlp_adam_constants *c, int decoupled, mlp_vec p,
                                       mlp_vec g, mlp_vec m, mlp_vec v, mlp_vec found) {
    MLP_REAL(adam_moments)(c, decoupled, &p, g, &m, &v);
    const mlp_vec length = v_abs(p);
    found =
        MLP_REAL(note_not_finite)(v_fma(c->twice_longest, v_abs(m), v_add(length, length)), found);
    return v_select(v_le(v_zero(), v), MLP_REAL(note_not_finite)(v, found), v_set1(MLP_C(NAN)));
}

/*
 * Whether the update is sure to be finite, found without its root and its division, which take most
 * of its time. The root is at least epsilon, since v >= 0; so if 2 |p| + 2 max(step_size, 1) |m| /
 * epsilon is finite, neither m / root nor the step overflows, and p moves by less than half of the
 * largest number from less than half of it. 0 decides nothing.
 */
MLP_INLINE int MLP_REAL(adam_surely_finite)(const mlp_adam_constants *c, int decoupled, size_t n,
                                            const mlp_real *p, const mlp_real *g,
                                            const mlp_real *first, const mlp_real *second) {
    mlp_vec found[MLP_NOTES];
    for (size_t i = 0; i < MLP_NOTES; i++)
        found[i] = v_zero();
    size_t j = 0;
    for (; j + MLP_NOTES * MLP_LANES <= n; j += MLP_NOTES * MLP_LANES)
        for (size_t i = 0; i < MLP_NOTES; i++) {
            const size_t k = j + i * MLP_LANES;
            found[i] = MLP_REAL(adam_note)(c, decoupled, v_load(p + k), v_load(g + k),
                                           v_load(first + k), v_load(second + k), found[i]);
        }
    for (; j < n; j += MLP_LANES) {
        const mlp_tail tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);
        found[0] = MLP_REAL(adam_note)(c, decoupled, v_load_tail(p + j, tail),
                                       v_load_tail(g + j, tail), v_load_tail(first + j, tail),
                                       v_load_tail(second + j, tail), found[0]);
    }
    return MLP_REAL(found_none)(found);
}

static int MLP_REAL(adam_step)(const mlp_optimizer *optimizer, double step_size,
                               double root_correction, int store, size_t n, void *parameters,
                               const void *gradients, void *first_moment, void *second_moment) {
    const int decoupled = optimizer->kind == MLP_ADAMW;
    const double decay = decoupled ? 1.0 - optimizer->learning_rate * optimizer->weight_decay
                                   : optimizer->weight_decay;
    const double longest = (step_size > 1.0 ? step_size : 1.0) / optimizer->epsilon;
    const mlp_adam_constants constants = {
        .decay = v_set1((mlp_real)decay),
        .beta1 = v_set1((mlp_real)optimizer->beta1),
        .one_minus_beta1 = v_set1((mlp_real)(1.0 - optimizer->beta1)),
        .beta2 = v_set1((mlp_real)optimizer->beta2),
        .one_minus_beta2 = v_set1((mlp_real)(1.0 - optimizer->beta2)),
        .epsilon = v_set1((mlp_real)optimizer->epsilon),
        .step_size = v_set1((mlp_real)step_size),
        .lowered_step_size = v_set1((mlp_real)step_size * MLP_C(0x1p-64)),
        .far_from_zero = v_set1((mlp_real)step_size * MLP_SMALLEST_NORMAL * MLP_C(0x1p57)),
        .root_correction = v_set1((mlp_real)root_correction),
        .twice_longest = v_set1((mlp_real)(2.0 * longest)),
    };
    if (store)
        return MLP_REAL(adam_pass)(&constants, decoupled, 1, n, parameters, gradients, first_moment,
                                   second_moment);
    return MLP_REAL(adam_surely_finite)(&constants, decoupled, n, parameters, gradients,
                                        first_moment, second_moment) ||
           MLP_REAL(adam_pass)(&constants, decoupled, 0, n, parameters, gradients, first_moment,
                               second_moment);
}

/*
 * v = beta2 v + (1 - beta2) g^2,  velocity = momentum velocity + g / (sqrt(v) + epsilon),
 * p -= learning_rate velocity, with weight_decay p as part of g
 *
 * T. Tieleman, G. Hinton, "Lecture 6.5 - RMSProp", COURSERA: Neural Networks for Machine Learning,
 * 2012, with PyTorch's place of epsilon and of the momentum.
 */
#define mlp_rmsprop_constants MLP_REAL(rmsprop_constants)
typedef struct mlp_rmsprop_constants {
    mlp_vec learning_rate, weight_decay, momentum, beta2, one_minus_beta2, epsilon;
} mlp_rmsprop_constants;

MLP_INLINE int MLP_REAL(rmsprop_pass)(const mlp_rmsprop_constants *c, int store, size_t n,
                                      mlp_real *parameters, const mlp_real *gradients,
                                      mlp_real *velocity, mlp_real *second) {
    mlp_vec found[MLP_NOTES];
    for (size_t i = 0; i < MLP_NOTES; i++)
        found[i] = v_zero();
    for (size_t j = 0; j < n; j += MLP_LANES) {
        const mlp_tail tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);
        mlp_vec p = v_load_tail(parameters + j, tail), v = v_load_tail(second + j, tail);
        const mlp_vec g = v_fma(c->weight_decay, p, v_load_tail(gradients + j, tail));
        v = v_fma(c->beta2, v, v_mul(v_mul(c->one_minus_beta2, g), g));
        mlp_vec step = v_div(g, v_add(v_sqrt(v), c->epsilon));
        if (velocity != NULL) step = v_fma(c->momentum, v_load_tail(velocity + j, tail), step);
        p = v_fnma(c->learning_rate, step, p);
        if (store) {
            v_store_tail(parameters + j, tail, p);
            v_store_tail(second + j, tail, v);
            if (velocity != NULL) v_store_tail(velocity + j, tail, step);
        } else if (j + MLP_LANES <= n) {
            found[0] = MLP_REAL(note_not_finite)(v, found[0]);
            found[1] = MLP_REAL(note_not_finite)(p, found[1]);
        } else {
            found[0] = MLP_REAL(note_tail_not_finite)(v, tail, found[0]);
            found[1] = MLP_REAL(note_tail_not_finite)(p, tail, found[1]);
        }
    }
    return store || MLP_REAL(found_none)(found);
}

static int MLP_REAL(rmsprop_step)(const mlp_optimizer *optimizer, int store, size_t n,
                                  void *parameters, const void *gradients, void *velocity,
                                  void *second_moment) {
    const mlp_rmsprop_constants constants = {
        .learning_rate = v_set1((mlp_real)optimizer->learning_rate),
        .weight_decay = v_set1((mlp_real)optimizer->weight_decay),
        .momentum = v_set1((mlp_real)optimizer->momentum),
        .beta2 = v_set1((mlp_real)optimizer->beta2),
        .one_minus_beta2 = v_set1((mlp_real)(1.0 - optimizer->beta2)),
        .epsilon = v_set1((mlp_real)optimizer->epsilon),
    };
    return store ? MLP_REAL(rmsprop_pass)(&constants, 1, n, parameters, gradients, velocity,
                                          second_moment)
                 : MLP_REAL(rmsprop_pass)(&constants, 0, n, parameters, gradients, velocity,
                                          second_moment);
}

/* scale g + l1 sign(p) + l2 p. Without l1 the sign would be that of the last product, which the 0
 * that it is added to keeps. */
MLP_INLINE mlp_vec MLP_REAL(adjusted)(int has_l1, mlp_vec scale, mlp_vec l1, mlp_vec l2, mlp_vec p,
                                      mlp_vec g) {
    mlp_vec slope = v_fma(l2, p, v_zero());
    if (has_l1) {
        const mlp_vec sign = v_select(v_lt(v_zero(), v_abs(p)), v_copysign(l1, p), v_zero());
        slope = v_add(sign, slope);
    }
    return v_add(v_mul(scale, g), slope);
}

MLP_INLINE void MLP_REAL(adjust_pass)(int has_l1, size_t n, double scale, double l1, double l2,
                                      const mlp_real *p, mlp_real *g) {
    const mlp_vec factor = v_set1((mlp_real)scale);
    const mlp_vec penalty = v_set1((mlp_real)l1), decay = v_set1((mlp_real)l2);
    size_t j = 0;
    for (; j + MLP_LANES <= n; j += MLP_LANES)
        v_store(g + j,
                MLP_REAL(adjusted)(has_l1, factor, penalty, decay, v_load(p + j), v_load(g + j)));
    if (j < n) {
        const mlp_tail tail = v_tail(n - j);
        v_store_tail(g + j, tail,
                     MLP_REAL(adjusted)(has_l1, factor, penalty, decay, v_load_tail(p + j, tail),
                                        v_load_tail(g + j, tail)));
    }
}

static void MLP_REAL(adjust_gradient)(size_t n, double scale, double l1, double l2,
                                      const void *parameters, void *gradients) {
    if (l1 == 0.0)
        MLP_REAL(adjust_pass)(0, n, scale, l1, l2, parameters, gradients);
    else
        MLP_REAL(adjust_pass)(1, n, scale, l1, l2, parameters, gradients);
}
