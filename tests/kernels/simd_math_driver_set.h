/* SPDX-License-Identifier: BSD-3-Clause */
/* simd_math_driver_set.h - what simd_math_driver.c does, for one dtype. */
#include "kernels/simd_math_template.h"

#include "kernels/activation_math_template.h"

typedef struct MLP_REAL(triple) {
    mlp_vec value, derivative, alone;
} MLP_REAL(triple);

/* y is x in reverse: the second operand of the words that take two. */
typedef MLP_REAL(triple) (*MLP_REAL(function))(mlp_vec x, mlp_vec y);

#define ONE_RESULT(name)                                                 \
    static MLP_REAL(triple) MLP_REAL(run_##name)(mlp_vec x, mlp_vec y) { \
        const mlp_vec value = MLP_REAL(vec_##name)(x);                   \
        (void)y;                                                         \
        return (MLP_REAL(triple)){value, value, value};                  \
    }
ONE_RESULT(exp)
ONE_RESULT(expm1)
ONE_RESULT(log)
ONE_RESULT(log1p)
#undef ONE_RESULT

#define PAIR(name)                                                       \
    static MLP_REAL(triple) MLP_REAL(run_##name)(mlp_vec x, mlp_vec y) { \
        MLP_REAL(triple) result;                                         \
        (void)y;                                                         \
        MLP_REAL(vec_##name)(x, &result.value, &result.derivative);      \
        MLP_REAL(vec_##name)(x, &result.alone, NULL);                    \
        return result;                                                   \
    }
PAIR(sigmoid)
PAIR(tanh)
PAIR(softplus)
PAIR(elu)
PAIR(silu)
PAIR(gelu)
PAIR(relu)
PAIR(leaky_relu)
#undef PAIR

static MLP_REAL(triple) MLP_REAL(run_order)(mlp_vec x, mlp_vec y) {
    return (MLP_REAL(triple)){v_max(x, y), v_min(x, y), v_copysign(x, y)};
}

static MLP_REAL(triple) MLP_REAL(run_compare)(mlp_vec x, mlp_vec y) {
    return (MLP_REAL(triple)){v_select(v_lt(x, y), x, y), v_select(v_le(x, y), x, y),
                              v_select(v_eq(x, y), x, v_zero())};
}

static MLP_REAL(triple) MLP_REAL(run_split)(mlp_vec x, mlp_vec y) {
    (void)y;
    return (MLP_REAL(triple)){v_exponent(x), v_mantissa(x), v_pow2(v_exponent(x))};
}

static MLP_REAL(triple) MLP_REAL(run_unary)(mlp_vec x, mlp_vec y) {
    (void)y;
    return (MLP_REAL(triple)){v_round(x), v_abs(x), v_neg(x)};
}

static MLP_REAL(triple) MLP_REAL(run_scale)(mlp_vec x, mlp_vec y) {
    const mlp_vec product = v_ldexp(x, y);
    return (MLP_REAL(triple)){product, product, product};
}

static const struct {
    const char *name;
    MLP_REAL(function) run;
} MLP_REAL(functions)[] = {
#define ROW(name) {#name, MLP_REAL(run_##name)}
    ROW(exp),      ROW(expm1),   ROW(log),   ROW(log1p), ROW(sigmoid), ROW(tanh),
    ROW(softplus), ROW(elu),     ROW(silu),  ROW(gelu),  ROW(relu),    ROW(leaky_relu),
    ROW(order),    ROW(compare), ROW(split), ROW(unary), ROW(scale),
#undef ROW
};

static int MLP_REAL(stream)(const char *name) {
    static mlp_real x[BLOCK], y[BLOCK], result[3][BLOCK], out[3 * BLOCK];
    MLP_REAL(function) run = NULL;
    for (size_t k = 0; k < sizeof MLP_REAL(functions) / sizeof MLP_REAL(functions)[0]; k++) {
        if (strcmp(MLP_REAL(functions)[k].name, name) == 0) run = MLP_REAL(functions)[k].run;
    }
    if (!run) return 2;
    size_t n;
    while ((n = fread(x, sizeof *x, BLOCK, stdin)) > 0) {
        for (size_t i = 0; i < n; i++)
            y[i] = x[n - 1 - i];
        for (size_t i = 0; i < n; i += MLP_LANES) {
            const size_t rest = n - i;
            if (rest >= MLP_LANES) {
                const MLP_REAL(triple) r = run(v_load(x + i), v_load(y + i));
                v_store(result[0] + i, r.value);
                v_store(result[1] + i, r.derivative);
                v_store(result[2] + i, r.alone);
            } else {
                const mlp_tail tail = v_tail(rest);
                const MLP_REAL(triple) r = run(v_load_tail(x + i, tail), v_load_tail(y + i, tail));
                v_store_tail(result[0] + i, tail, r.value);
                v_store_tail(result[1] + i, tail, r.derivative);
                v_store_tail(result[2] + i, tail, r.alone);
            }
        }
        for (size_t i = 0; i < n; i++) {
            for (size_t part = 0; part < 3; part++)
                out[3 * i + part] = result[part][i];
        }
        if (fwrite(out, sizeof *out, 3 * n, stdout) != 3 * n) return 1;
    }
    return 0;
}
