# SPDX-License-Identifier: BSD-3-Clause
"""Activations and losses in scalar C99: printed by tools/scalar_c.py; do not edit.

`export_c` replaces the words NAME, REAL, C(number) and COUNT(table).
"""

# Numbers for float32, for float64.
CONSTANTS = {
    "LN2_HIGH": ("0x1.63p-1", "0x1.62e42fefa4p-1"),
    "LN2_LOW": ("-0x1.bd0106p-13", "-0x1.8432a1b0e2634p-43"),
    "GELU_LIMIT": ("0x1.ep+3", "0x1.38p+5"),
    "EXP_LOW": ("-110.0", "-760.0"),
    "EXP_HIGH": ("90.0", "711.0"),
    "EXPONENT_HIGH": ("127.0", "1023.0"),
    "EXPONENT_SAFE": ("-100.0", "-960.0"),
    "SMALLEST_NORMAL": ("0x1p-126", "0x1p-1022"),
    "LOG_FLOOR": ("-100.0", "-100.0"),
    "SMALLEST_DENOMINATOR": ("0x1p-24", "0x1p-53"),
}

# Polynomials for float32, for float64, lowest term first.
TABLES = {
    "exp_terms": (
        "0x1.fffffep-2 0x1.5554bp-3 0x1.555716p-5 0x1.122792p-7 0x1.6b7342p-10",
        "0x1.0000000000005p-1 0x1.555555555554p-3 0x1.5555555552118p-5 0x1.11111111173ddp-7 "
        "0x1.6c16c17f2b67bp-10 0x1.a01a017edfc33p-13 0x1.a019a6acac4d1p-16 0x1.71de7185cc861p-19 "
        "0x1.28a28470b5fcdp-22 0x1.ae90092fb5846p-26",
    ),
    "log_terms": (
        "0x1.5555a4p-2 -0x1.000044p-2 0x1.99697p-3 -0x1.54eea6p-3 "
        "0x1.288552p-3 -0x1.0d964p-3 0x1.acb87ap-4 -0x1.716968p-5",
        "0x1.55555555555a1p-2 -0x1.0000000000772p-2 0x1.999999998c51cp-3 -0x1.55555554591d6p-3 "
        "0x1.2492492980c3fp-3 -0x1.00000063edfa3p-3 0x1.c71c70d9c4b03p-4 -0x1.999972befc2d8p-4 "
        "0x1.745ceca390bc6p-4 -0x1.55593b3accd8fp-4 0x1.3b1efcaa080bbp-4 -0x1.24655014d120ap-4 "
        "0x1.101cbaff2d2e2p-4 -0x1.ffffa2f7dc3fep-5 0x1.f256e227160fp-5 -0x1.e8e103382ead9p-5 "
        "0x1.9f2fed78dfd4cp-5 -0x1.e1402eae59a73p-6 0x1.08e9b8e18c232p-7",
    ),
    "log1p_terms": (
        "0x1.555502p-1 0x1.99d1c8p-2 0x1.1ec09ep-2 0x1.1ec808p-2",
        "0x1.5555555555535p-1 0x1.99999999a0723p-2 0x1.249249208ea33p-2 0x1.c71c741b05a16p-3 "
        "0x1.745cb43b39bep-3 0x1.3b1dd5ebd3c27p-3 0x1.106814501da0fp-3 0x1.efd30b7defc0fp-4 "
        "0x1.55c958c35870ep-4 0x1.5c6149fd387cp-3",
    ),
    "gelu_n": (
        "0x1.74p-1 0x1.4658d8p-1 0x1.11004ep-2 0x1.e48fdp-5 0x1.88da72p-8",
        "0x1p-1 0x1.a7eb896628fa8p-1 0x1.5bfe9b65f4239p-1 0x1.6df9598bc15ecp-2 "
        "0x1.0e7b4a00efe92p-3 0x1.244237b1b7fc5p-5 0x1.d2ef0b107b5fap-8 0x1.10a44e73ed93dp-10 "
        "0x1.bf28557ef34d6p-14 0x1.d454d93c272f6p-18 0x1.e1a0a46eebdd7p-23",
    ),
    "gelu_m": (
        "0x1.28d02cp+0 0x1.373556p+0 0x1.212b94p-1 0x1.171e8ap-3 0x1.ec5cf8p-7",
        "0x1.9884533d43652p-1 0x1.7536c4908b634p+0 0x1.497021d8c4087p+0 0x1.6ea56b19ce5f1p-1 "
        "0x1.1bae1eed58b5ep-2 0x1.3e75cfa3d3193p-4 0x1.06e315563dce9p-6 0x1.3c0d24a64ac04p-9 "
        "0x1.0a2b27433d46bp-12 0x1.1df530e5aa073p-16 0x1.2dd0b6631ffa1p-21",
    ),
}

FUNCTIONS = {
    "polynomial": """
static inline REAL NAME_polynomial(REAL x, const REAL *c, int n_terms) {
    const REAL x2 = x * x;
    int i = n_terms - 1 - n_terms % 2;
    REAL sum = NAME_FMA(c[i], x, c[i - 1]);
    if (n_terms % 2 == 1) sum = NAME_FMA(c[n_terms - 1], x2, sum);
    for (i -= 2; i > 0; i -= 2)
        sum = NAME_FMA(sum, x2, NAME_FMA(c[i], x, c[i - 1]));
    return sum;
}
""",
    "exp_reduce": """
static inline REAL NAME_exp_reduce(REAL x, REAL *high, REAL *low) {
    REAL n = NAME_round(x * C(1.4426950408889634));
    *high = NAME_FNMA(n, C(LN2_HIGH), x);
    *low = n * -C(LN2_LOW);
    return n;
}
""",
    "exp_tail": """
static inline REAL NAME_exp_tail(REAL high, REAL low) {
    REAL r = high + low;
    REAL p = NAME_polynomial(r, NAME_exp_terms, COUNT(exp_terms));
    return NAME_FMA(r * r, p, low);
}
""",
    "exp": """
static inline REAL NAME_exp(REAL x) {
    REAL inside = NAME_max(C(EXP_LOW), x);
    inside = NAME_min(C(EXP_HIGH), inside);
    REAL high, low;
    REAL n = NAME_exp_reduce(inside, &high, &low);
    REAL tail = NAME_exp_tail(high, low);
    REAL power = C(1) + (high + tail);
    return NAME_ldexp(power, n);
}
""",
    "expm1_scaled": """
static inline REAL NAME_expm1_scaled(REAL n, REAL high, REAL tail) {
    REAL power = NAME_pow2(n);
    REAL power_m1 = power - C(1);
    return NAME_FMA(power, tail, NAME_FMA(power, high, power_m1));
}
""",
    "expm1": """
static inline REAL NAME_expm1(REAL x) {
    REAL inside = NAME_max(C(-60), x);
    inside = NAME_min(C(EXP_HIGH), inside);
    REAL high, low;
    REAL n = NAME_exp_reduce(inside, &high, &low);
    REAL n_normal = NAME_min(C(EXPONENT_HIGH), n);
    REAL n_rest = n - n_normal;
    REAL tail = NAME_exp_tail(high, low);
    REAL result = NAME_expm1_scaled(n_normal, high, tail);
    result = result * NAME_pow2(n_rest);
    return NAME_copysign(result, x);
}
""",
    "log_reduced": """
static inline REAL NAME_log_reduced(REAL k, REAL f) {
    REAL p = NAME_polynomial(f, NAME_log_terms, COUNT(log_terms));
    REAL tail = (f * f) * NAME_FMA(f, p, C(-0.5));
    tail = NAME_FMA(k, C(LN2_LOW), tail);
    REAL sum = NAME_FMA(k, C(LN2_HIGH), f);
    REAL seen = NAME_FNMA(k, C(LN2_HIGH), sum);
    REAL lost = f - seen;
    return sum + (lost + tail);
}
""",
    "log": """
static inline REAL NAME_log(REAL x) {
    const REAL zero = C(0);
    const REAL one = C(1);
    const REAL infinity = NAME_infinity();
    int denormal = x < C(SMALLEST_NORMAL);
    REAL lifted = x * C(0x1p64);
    REAL normal = denormal ? lifted : x;
    REAL k = NAME_exponent(normal);
    REAL mantissa = NAME_mantissa(normal);
    REAL k_lifted = k - C(64);
    k = denormal ? k_lifted : k;
    int large = C(1.5) < mantissa;
    REAL halved = mantissa * C(0.5);
    REAL k_next = k + one;
    mantissa = large ? halved : mantissa;
    k = large ? k_next : k;
    REAL f = mantissa - one;
    REAL result = NAME_log_reduced(k, f);
    result = (x < infinity) ? result : x;
    result = (x < zero) ? C(0) * NAME_infinity() : result;
    return (x == zero) ? (-infinity) : result;
}
""",
    "log1p_unit": """
static inline REAL NAME_log1p_unit(REAL x) {
    REAL s = x / (C(2) + x);
    REAL s2 = s * s;
    REAL p = NAME_polynomial(s2, NAME_log1p_terms, COUNT(log1p_terms));
    return NAME_FNMA(s, NAME_FNMA(s2, p, x), x);
}
""",
    "log1p": """
static inline REAL NAME_log1p(REAL x) {
    const REAL one = C(1);
    const REAL infinity = NAME_infinity();
    int huge = C(0x1p64) < x;
    REAL lowered = x * C(0x1p-64);
    REAL inside = huge ? lowered : x;
    REAL added = huge ? C(0) : one;
    REAL sum = added + inside;
    REAL k = NAME_exponent(sum * C(1.3333333333333333));
    REAL power = NAME_pow2(-k);
    REAL power_m1 = NAME_FMA(added, power, C(-1));
    REAL f = NAME_FMA(power, inside, power_m1);
    REAL k_huge = k + C(64);
    k = huge ? k_huge : k;
    REAL result = NAME_log_reduced(k, f);
    result = NAME_copysign(result, x);
    result = (x < infinity) ? result : x;
    result = (x < C(-1)) ? C(0) * NAME_infinity() : result;
    return (x == C(-1)) ? (-infinity) : result;
}
""",
    "exp_begin": """
static inline void NAME_exp_begin(REAL x, REAL *rest, REAL *n) {
    REAL inside = NAME_max(C(EXP_LOW), x);
    *n = NAME_round(inside * C(1.4426950408889634));
    REAL r = NAME_FNMA(*n, C(LN2_HIGH), inside);
    r = NAME_FNMA(*n, C(LN2_LOW), r);
    *rest = NAME_FMA(r * r, NAME_polynomial(r, NAME_exp_terms, COUNT(exp_terms)), r);
}
""",
    "sigmoid_tail": """
static inline REAL NAME_sigmoid_tail(REAL power, REAL e) {
    REAL w = e / (C(1) + e);
    return NAME_FNMA(power, w, power);
}
""",
    "sigmoid_begin": """
static inline void NAME_sigmoid_begin(REAL z, REAL *rest, REAL *n) {
    NAME_exp_begin((-NAME_abs(z)), rest, n);
}
""",
    "sigmoid_finish": """
static inline void NAME_sigmoid_finish(REAL z, REAL rest, REAL n, REAL *value, REAL *derivative) {
    const REAL one = C(1);
    REAL e = NAME_ldexp(one + rest, n);
    REAL w = NAME_sigmoid_tail(e, e);
    REAL above = one - w;
    *value = (z < C(0)) ? w : above;
    if (derivative) *derivative = NAME_FNMA(w, w, w);
}
""",
    "sigmoid": """
static inline void NAME_sigmoid(REAL z, REAL *value, REAL *derivative) {
    REAL rest, n;
    NAME_sigmoid_begin(z, &rest, &n);
    NAME_sigmoid_finish(z, rest, n, value, derivative);
}
""",
    "tanh_begin": """
static inline void NAME_tanh_begin(REAL z, REAL *rest, REAL *n) {
    NAME_exp_begin((C(-2) * NAME_abs(z)), rest, n);
}
""",
    "tanh_finish": """
static inline void NAME_tanh_finish(REAL z, REAL rest, REAL n, REAL *value, REAL *derivative) {
    const REAL one = C(1);
    REAL power = NAME_pow2(NAME_max(C(EXPONENT_SAFE), n));
    REAL e = NAME_FMA(power, rest, power);
    REAL c = NAME_FNMA(power, rest, one - power);
    REAL q = c / (one + e);
    REAL half = C(0.5) * c;
    int small = half < C(0.25);
    REAL factor = small ? half : (-e);
    REAL magnitude = NAME_FMA(q, factor, small ? half : c);
    *value = NAME_copysign(magnitude, z);
    if (derivative) {
        REAL slope = one + rest;
        slope = NAME_FMA(magnitude, slope, slope);
        slope = NAME_FMA(magnitude, slope, slope);
        *derivative = NAME_ldexp(slope, n);
    }
}
""",
    "tanh": """
static inline void NAME_tanh(REAL z, REAL *value, REAL *derivative) {
    REAL rest, n;
    NAME_tanh_begin(z, &rest, &n);
    NAME_tanh_finish(z, rest, n, value, derivative);
}
""",
    "softplus_begin": """
static inline void NAME_softplus_begin(REAL z, REAL *rest, REAL *n) {
    NAME_exp_begin((-NAME_abs(z)), rest, n);
}
""",
    "softplus_finish": """
static inline void NAME_softplus_finish(REAL z, REAL rest, REAL n, REAL *value, REAL *derivative) {
    const REAL one = C(1);
    REAL e = NAME_ldexp(one + rest, n);
    *value = NAME_max(C(0), z) + NAME_log1p_unit(e);
    if (derivative) {
        REAL w = NAME_sigmoid_tail(e, e);
        REAL above = one - w;
        *derivative = (z < C(0)) ? w : above;
    }
}
""",
    "softplus": """
static inline void NAME_softplus(REAL z, REAL *value, REAL *derivative) {
    REAL rest, n;
    NAME_softplus_begin(z, &rest, &n);
    NAME_softplus_finish(z, rest, n, value, derivative);
}
""",
    "gated": """
static inline REAL NAME_gated(REAL z, REAL a_tail, REAL n) {
    return NAME_max(C(-0.0), z) - NAME_ldexp(a_tail, n);
}
""",
    "gated_derivative": """
static inline REAL NAME_gated_derivative(REAL z, REAL slope, REAL n) {
    REAL below = NAME_ldexp(slope, n);
    REAL above = C(1) - below;
    return (z < C(0)) ? below : above;
}
""",
    "silu_magnitude": """
static inline REAL NAME_silu_magnitude(REAL z) {
    return NAME_min(-C(EXP_LOW), NAME_abs(z));
}
""",
    "silu_begin": """
static inline void NAME_silu_begin(REAL z, REAL *rest, REAL *n) {
    NAME_exp_begin((-NAME_silu_magnitude(z)), rest, n);
}
""",
    "silu_finish": """
static inline void NAME_silu_finish(REAL z, REAL rest, REAL n, REAL *value, REAL *derivative) {
    REAL magnitude = NAME_silu_magnitude(z);
    REAL power = C(1) + rest;
    REAL tail = NAME_sigmoid_tail(power, NAME_ldexp(power, n));
    *value = NAME_gated(z, (magnitude * tail), n);
    if (derivative) {
        REAL w = NAME_ldexp(tail, n);
        REAL slope = NAME_FNMA(tail, NAME_FNMA(w, magnitude, magnitude), tail);
        *derivative = NAME_gated_derivative(z, slope, n);
    }
}
""",
    "silu": """
static inline void NAME_silu(REAL z, REAL *value, REAL *derivative) {
    REAL rest, n;
    NAME_silu_begin(z, &rest, &n);
    NAME_silu_finish(z, rest, n, value, derivative);
}
""",
    "normal_tail": """
static inline REAL NAME_normal_tail(REAL a, REAL *ratio, REAL *rest, REAL *n) {
    REAL square = a * a;
    REAL square_low = NAME_FMA(a, a, -square);
    REAL high, low;
    *n = NAME_exp_reduce((C(-0.5) * square), &high, &low);
    low = NAME_FMA(C(-0.5), square_low, low);
    *rest = high + NAME_exp_tail(high, low);

    REAL numerator = NAME_polynomial(a, NAME_gelu_n, COUNT(gelu_n));
    REAL denominator = NAME_polynomial(a, NAME_gelu_m, COUNT(gelu_m));
    denominator = NAME_FMA(a, denominator, numerator + numerator);
    *ratio = numerator / denominator;
    return NAME_FMA(*rest, *ratio, *ratio);
}
""",
    "gelu": """
static inline void NAME_gelu(REAL z, REAL *value, REAL *derivative) {
    REAL magnitude = NAME_min(C(GELU_LIMIT), NAME_abs(z));
    REAL ratio, rest, n;
    REAL tail = NAME_normal_tail(magnitude, &ratio, &rest, &n);
    *value = NAME_gated(z, (magnitude * tail), n);
    if (derivative) {
        REAL slope = NAME_FNMA(magnitude, C(0.3989422804014327), ratio);
        slope = NAME_FMA(rest, slope, slope);
        *derivative = NAME_gated_derivative(z, slope, n);
    }
}
""",
    "elu": """
static inline void NAME_elu(REAL z, REAL *value, REAL *derivative) {
    const REAL zero = C(0);
    REAL inside = NAME_min(zero, z);
    inside = NAME_max(C(EXP_LOW), inside);
    REAL high, low;
    REAL n = NAME_exp_reduce(inside, &high, &low);
    REAL tail = NAME_exp_tail(high, low);
    REAL n_normal = NAME_max(C(EXPONENT_SAFE), n);
    REAL below = NAME_expm1_scaled(n_normal, high, tail);
    *value = (z < zero) ? below : z;
    if (derivative) {
        REAL power = C(1) + (high + tail);
        REAL e = NAME_ldexp(power, n);
        *derivative = (zero < z) ? C(1) : e;
    }
}
""",
    "relu": """
static inline void NAME_relu(REAL z, REAL *value, REAL *derivative) {
    const REAL zero = C(0);
    REAL positive_part = NAME_max(zero, z);
    *value = positive_part;
    if (derivative)
        *derivative = (zero < z) ? C(1) : (positive_part + zero);
}
""",
    "leaky_relu": """
static inline void NAME_leaky_relu(REAL z, REAL *value, REAL *derivative) {
    const REAL slope = C(0.01);
    int above = C(0) < z;
    REAL scaled = slope * z;
    *value = above ? z : scaled;
    if (derivative) {
        REAL below = (z == z) ? slope : z;
        *derivative = above ? C(1) : below;
    }
}
""",
    "mse_term": """
static inline void NAME_mse_term(REAL y_hat, REAL y, REAL *term, REAL *derivative) {
    const REAL r = y_hat - y;
    *term = r * r;
    *derivative = r + r;
}
""",
    "l1_term": """
static inline void NAME_l1_term(REAL y_hat, REAL y, REAL *term, REAL *derivative) {
    const REAL r = (y_hat - y), zero = C(0);
    *term = NAME_abs(r);
    *derivative = (zero < r) ? C(1) : ((r < zero) ? C(-1) : r);
}
""",
    "huber_term": """
static inline void NAME_huber_term(double delta, REAL y_hat, REAL y, REAL *term, REAL *derivative) {
    const REAL r = (y_hat - y), limit = (REAL)delta;
    const REAL a = NAME_min(limit, NAME_abs(r));
    *term = a * NAME_FNMA(C(0.5), a, NAME_abs(r));
    *derivative = NAME_copysign(a, r);
}
""",
    "log_cosh_term": """
static inline void NAME_log_cosh_term(REAL y_hat, REAL y, REAL *term, REAL *derivative) {
    const REAL one = C(1), two = C(2);
    const REAL r = (y_hat - y), size = NAME_abs(r);
    const REAL s = -NAME_expm1((-size));
    const REAL t = one - s;
    const int small = size < one;
    const REAL excess = small ? ((s * s) / (two * t)) : (t * t);
    const REAL linear = size - C(0.693147180559945309417232121458);
    *term = (small ? C(0) : linear) + NAME_log1p_unit(excess);
    const REAL tanh_size = (s * (one + t)) / NAME_FMA(t, t, one);
    *derivative = NAME_copysign(tanh_size, r);
}
""",
    "quantile_term": """
static inline void NAME_quantile_term(double q, REAL y_hat, REAL y, REAL *term, REAL *derivative) {
    const REAL e = (y - y_hat), zero = C(0);
    const REAL above = (REAL)q, below = (REAL)(q - 1.0);
    const REAL slope = (zero < e) ? above : ((e < zero) ? below : e);
    *term = slope * e;
    *derivative = -slope;
}
""",
    "bce_term": """
static inline void NAME_bce_term(REAL p, REAL y, REAL *term, REAL *derivative) {
    const REAL one = C(1), floor = C(LOG_FLOOR);
    const REAL log_yes = NAME_max(floor, NAME_log(p));
    const REAL log_no = NAME_max(floor, NAME_log1p((-p)));
    *term = -NAME_FMA(one - y, log_no, y * log_yes);
    const REAL denominator = NAME_max(C(SMALLEST_DENOMINATOR), p * (one - p));
    *derivative = (p - y) / denominator;
}
""",
    "bce_with_logits_term": """
static inline void NAME_bce_with_logits_term(REAL z, REAL y, REAL *term, REAL *derivative) {
    const REAL one = C(1), zero = C(0);
    const REAL no = one - y;
    const REAL e = NAME_exp((-NAME_abs(z)));
    const int positive = zero < z;
    const REAL wrong = positive ? no : y;
    const REAL linear = (wrong == zero) ? zero : (wrong * NAME_abs(z));
    *term = linear + NAME_log1p_unit(e);
    const REAL numerator = positive ? NAME_FNMA(y, e, no) : ((no * e) - y);
    *derivative = numerator / (one + e);
}
""",
    "cross_entropy_term": """
static inline void NAME_cross_entropy_term(REAL p, REAL y, REAL *term, REAL *derivative) {
    *term = -(y * NAME_max(C(LOG_FLOOR), NAME_log(p)));
    *derivative = -(y / NAME_max(C(SMALLEST_DENOMINATOR), p));
}
""",
    "poisson_term": """
static inline void NAME_poisson_term(REAL z, REAL y, REAL *term, REAL *derivative) {
    const REAL rate = NAME_exp(z);
    *term = NAME_FNMA(y, z, rate);
    *derivative = rate - y;
}
""",
}
