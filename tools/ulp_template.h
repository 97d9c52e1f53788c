/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ulp_template.h - what tools/ulp.c does, for one dtype.
 *
 * Parameters: those of real.h, ULP_WIDE (the type of the reference), ULP_LIBM(name) (libm's name in
 * that type), ULP_MANTISSA (the bits of its significand), ULP_BITS (the unsigned integer of the
 * dtype's size).
 */
#define ULP_BLOCK 1024

/* ---- references: value and derivative at z ------------------------------------------------- */

typedef void (*MLP_REAL(reference))(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative);

static void MLP_REAL(exp_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    *value = *derivative = ULP_LIBM(exp)(z);
}

static void MLP_REAL(expm1_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    *value = *derivative = ULP_LIBM(expm1)(z);
}

static void MLP_REAL(log_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    *value = *derivative = ULP_LIBM(log)(z);
}

static void MLP_REAL(log1p_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    *value = *derivative = ULP_LIBM(log1p)(z);
}

static void MLP_REAL(sigmoid_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    const ULP_WIDE e = ULP_LIBM(exp)(-ULP_LIBM(fabs)(z));
    *value = (z < 0 ? e : 1) / (1 + e);
    *derivative = e / ((1 + e) * (1 + e));
}

static void MLP_REAL(tanh_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    const ULP_WIDE e = ULP_LIBM(exp)(-2 * ULP_LIBM(fabs)(z));
    *value = ULP_LIBM(tanh)(z);
    *derivative = 4 * e / ((1 + e) * (1 + e));
}

static void MLP_REAL(softplus_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    const ULP_WIDE e = ULP_LIBM(exp)(-ULP_LIBM(fabs)(z));
    *value = (z > 0 ? z : 0) + ULP_LIBM(log1p)(e);
    *derivative = (z < 0 ? e : 1) / (1 + e);
}

static void MLP_REAL(elu_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    *value = z > 0 ? z : ULP_LIBM(expm1)(z);
    *derivative = z > 0 ? 1 : ULP_LIBM(exp)(z);
}

static void MLP_REAL(silu_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    const ULP_WIDE e = ULP_LIBM(exp)(-ULP_LIBM(fabs)(z));
    const ULP_WIDE sigmoid = (z < 0 ? e : 1) / (1 + e);
    *value = z == -INFINITY ? -0.0 : z * sigmoid;
    *derivative = ULP_LIBM(fabs)(z) == INFINITY ? sigmoid : sigmoid + z * e / ((1 + e) * (1 + e));
}

/* Phi(z) = erfc(-z / sqrt 2) / 2. The rounding errors of z^2 and of the argument are put back:
 * in the tail the function would multiply them by z^2. */
static void MLP_REAL(gelu_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    const ULP_WIDE sqrt_half = (ULP_WIDE)0.70710678118654752440084436210484903928L;
    const ULP_WIDE sqrt_half_low =
        (ULP_WIDE)(ULP_MANTISSA == 53 ? -4.83364665672645652e-17L
                                      : (ULP_MANTISSA == 64 ? 1.89503255889325708e-20L : 0.0L));
    const ULP_WIDE two_over_sqrt_pi = (ULP_WIDE)1.1283791670955125738961589031215451717L;
    const ULP_WIDE inverse_sqrt_two_pi = (ULP_WIDE)0.39894228040143267793994605993438186848L;
    const ULP_WIDE limit = 200;
    const ULP_WIDE inside = z > limit ? limit : (z < -limit ? -limit : z);

    const ULP_WIDE square = inside * inside;
    const ULP_WIDE square_low = ULP_LIBM(fma)(inside, inside, -square);
    const ULP_WIDE gauss = ULP_LIBM(exp)(-square / 2) * (1 - square_low / 2);
    const ULP_WIDE x = inside * -sqrt_half;
    const ULP_WIDE x_low = ULP_LIBM(fma)(inside, -sqrt_half, -x) - inside * sqrt_half_low;
    const ULP_WIDE cdf = (ULP_LIBM(erfc)(x) - two_over_sqrt_pi * gauss * x_low) / 2;
    *value = z > limit ? z : inside * cdf;
    *derivative = cdf + inside * (inverse_sqrt_two_pi * gauss);
}

static void MLP_REAL(relu_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    *value = z <= 0 ? 0 : z;
    *derivative = z > 0 ? 1 : (z <= 0 ? 0 : z);
}

static void MLP_REAL(leaky_relu_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    *value = z > 0 ? z : (ULP_WIDE)0.01L * z;
    *derivative = z > 0 ? 1 : (z <= 0 ? (ULP_WIDE)0.01L : z);
}

/* ---- what is measured ------------------------------------------------------------------------ */

typedef void (*MLP_REAL(measured))(mlp_real *z, mlp_real *value, mlp_real *derivative);

#define ULP_FUNCTION(name)                                                                      \
    static void MLP_REAL(block_##name)(mlp_real * z, mlp_real * value, mlp_real * derivative) { \
        for (size_t i = 0; i < ULP_BLOCK; i += MLP_LANES) {                                     \
            mlp_vec x = v_load(z + i);                                                          \
            mlp_vec y = MLP_REAL(vec_##name)(x);                                                \
            v_store(value + i, y);                                                              \
            v_store(derivative + i, y);                                                         \
        }                                                                                       \
    }
#define ULP_ACTIVATION(name)                                                                    \
    static void MLP_REAL(block_##name)(mlp_real * z, mlp_real * value, mlp_real * derivative) { \
        for (size_t i = 0; i < ULP_BLOCK; i += MLP_LANES) {                                     \
            mlp_vec x = v_load(z + i), y, d;                                                    \
            MLP_REAL(vec_##name)(x, &y, &d);                                                    \
            v_store(value + i, y);                                                              \
            v_store(derivative + i, d);                                                         \
        }                                                                                       \
    }
ULP_FUNCTION(exp)
ULP_FUNCTION(expm1)
ULP_FUNCTION(log)
ULP_FUNCTION(log1p)
ULP_ACTIVATION(sigmoid)
ULP_ACTIVATION(tanh)
ULP_ACTIVATION(softplus)
ULP_ACTIVATION(elu)
ULP_ACTIVATION(silu)
ULP_ACTIVATION(gelu)
ULP_ACTIVATION(relu)
ULP_ACTIVATION(leaky_relu)
#undef ULP_FUNCTION
#undef ULP_ACTIVATION

/* root: where the derivative is 0, else NaN. */
static const struct {
    const char *name;
    MLP_REAL(measured) block;
    MLP_REAL(reference) reference;
    int has_derivative;
    double root;
} MLP_REAL(functions)[] = {
#define ULP_ROW(name, has_derivative, root) \
    {#name, MLP_REAL(block_##name), MLP_REAL(name##_reference), has_derivative, root}
    ULP_ROW(exp, 0, NAN),      ULP_ROW(expm1, 0, NAN),       ULP_ROW(log, 0, NAN),
    ULP_ROW(log1p, 0, NAN),    ULP_ROW(sigmoid, 1, NAN),     ULP_ROW(tanh, 1, NAN),
    ULP_ROW(softplus, 1, NAN), ULP_ROW(elu, 1, NAN),         ULP_ROW(silu, 1, -1.2784645),
    ULP_ROW(relu, 1, NAN),     ULP_ROW(gelu, 1, -0.7517916), ULP_ROW(leaky_relu, 1, NAN),
#undef ULP_ROW
};

static void MLP_REAL(compare)(ulp_report *report, mlp_real z, mlp_real computed, ULP_WIDE exact,
                              double root) {
    const int digits = sizeof(mlp_real) == 4 ? FLT_MANT_DIG : DBL_MANT_DIG;
    const int lowest = (sizeof(mlp_real) == 4 ? FLT_MIN_EXP : DBL_MIN_EXP) - digits;
    const mlp_real nearest = (mlp_real)exact;
    ULP_BITS bits = 0;
    if (!isnan(computed)) memcpy(&bits, &computed, sizeof bits);
    report->checksum = (report->checksum ^ bits) * 1099511628211u;
    if (isnan(nearest) || isinf(nearest) || isnan(computed) || isinf(computed)) {
        if (isnan(nearest) ? !isnan(computed) : computed != nearest) report->n_wrong++;
        return;
    }
    const int near_root = fabs((double)z - root) < 0.5;
    int exponent = -1000000;
    if (exact != 0) ULP_LIBM(frexp)(exact, &exponent);
    int unit = exponent - digits < lowest ? lowest : exponent - digits;
    if (near_root) unit = -2 - digits; /* the last place of 1/8 */
    const ULP_WIDE difference = ULP_LIBM(fabs)((ULP_WIDE)computed - exact);
    const double error = (double)ULP_LIBM(ldexp)(difference, -unit);
    if (near_root) {
        if (error > report->worst_root) report->worst_root = error;
        return;
    }
    if (error > report->worst) {
        report->worst = error;
        report->at = (double)z;
    }
    if (z > -2 && error > report->worst_right) {
        report->worst_right = error;
        report->at_right = (double)z;
    }
}

/* float32: the number of this bit pattern. float64: that number with more digits behind. */
static mlp_real MLP_REAL(sample)(uint32_t pattern) {
    float z;
    memcpy(&z, &pattern, sizeof z);
    if (sizeof(mlp_real) == 4 || !isfinite(z)) return (mlp_real)z;
    const uint32_t hash = (pattern ^ (pattern >> 15)) * 2654435761u;
    return (mlp_real)((double)z * (1.0 + (double)hash * 0x1p-55));
}

static int MLP_REAL(measure_all)(uint64_t stride, uint64_t first, const char *only) {
    const size_t n_functions = sizeof MLP_REAL(functions) / sizeof MLP_REAL(functions)[0];
    static mlp_real z[ULP_BLOCK], value[ULP_BLOCK], derivative[ULP_BLOCK];
    int status = 0;
    for (size_t k = 0; k < n_functions; k++) {
        if (*only && strcmp(only, MLP_REAL(functions)[k].name) != 0) continue;
        ulp_report values = {.checksum = 1}, derivatives = {.checksum = 1};
        uint64_t pattern = first;
        while (pattern <= UINT32_MAX) {
            size_t n = 0;
            for (; n < ULP_BLOCK && pattern <= UINT32_MAX; n++, pattern += stride)
                z[n] = MLP_REAL(sample)((uint32_t)pattern);
            for (size_t i = n; i < ULP_BLOCK; i++)
                z[i] = 0;
            MLP_REAL(functions)[k].block(z, value, derivative);
            for (size_t i = 0; i < n; i++) {
                ULP_WIDE exact, exact_derivative;
                MLP_REAL(functions)[k].reference((ULP_WIDE)z[i], &exact, &exact_derivative);
                MLP_REAL(compare)(&values, z[i], value[i], exact, NAN);
                if (MLP_REAL(functions)[k].has_derivative)
                    MLP_REAL(compare)(&derivatives, z[i], derivative[i], exact_derivative,
                                      MLP_REAL(functions)[k].root);
            }
        }
        print_report(MLP_REAL(functions)[k].name, "value", &values);
        if (MLP_REAL(functions)[k].has_derivative)
            print_report(MLP_REAL(functions)[k].name, "derivative", &derivatives);
        if (values.n_wrong + derivatives.n_wrong) status = 1;
    }
    return status;
}
