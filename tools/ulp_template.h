/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ulp_template.h - what tools/ulp.c does, for one dtype.
 *
 * Parameters: those of real.h, ULP_WIDE (the type of the reference), ULP_LIBM(name) (libm's name in
 * that type), ULP_MANTISSA (the bits of its significand), ULP_BITS (the unsigned integer of the
 * dtype's size). The inclusion for double comes first.
 */
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
static void MLP_REAL(phi_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    const ULP_WIDE sqrt_half = (ULP_WIDE)0.70710678118654752440084436210484903928L;
    const ULP_WIDE sqrt_half_low =
        (ULP_WIDE)(ULP_MANTISSA == 53 ? -4.83364665672645652e-17L
                                      : (ULP_MANTISSA == 64 ? 1.89503255889325708e-20L : 0.0L));
    const ULP_WIDE two_over_sqrt_pi = (ULP_WIDE)1.1283791670955125738961589031215451717L;
    const ULP_WIDE inverse_sqrt_two_pi = (ULP_WIDE)0.39894228040143267793994605993438186848L;
    const ULP_WIDE limit = 200; /* beyond it, 0 or 1 */
    const ULP_WIDE inside = z > limit ? limit : (z < -limit ? -limit : z);

    const ULP_WIDE square = inside * inside;
    const ULP_WIDE square_low = ULP_LIBM(fma)(inside, inside, -square);
    const ULP_WIDE gauss = ULP_LIBM(exp)(-square / 2) * (1 - square_low / 2);
    const ULP_WIDE x = inside * -sqrt_half;
    const ULP_WIDE x_low = ULP_LIBM(fma)(inside, -sqrt_half, -x) - inside * sqrt_half_low;
    *value = (ULP_LIBM(erfc)(x) - two_over_sqrt_pi * gauss * x_low) / 2;
    *derivative = inverse_sqrt_two_pi * gauss;
}

static void MLP_REAL(gelu_reference)(ULP_WIDE z, ULP_WIDE *value, ULP_WIDE *derivative) {
    ULP_WIDE cdf, density;
    MLP_REAL(phi_reference)(z, &cdf, &density);
    *value = z == -INFINITY ? (ULP_WIDE)0 : z * cdf;
    *derivative = ULP_LIBM(fabs)(z) == INFINITY ? cdf : cdf + z * density;
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

typedef void (*MLP_REAL(measured))(const mlp_real *z, mlp_real *value, mlp_real *derivative);

/* No function of the kernels, but what gelu is made of. */
MLP_INLINE mlp_vec MLP_REAL(vec_phi)(mlp_vec z) {
    mlp_vec ratio, rest, n;
    mlp_vec magnitude = v_min(v_set1(MLP_GELU_LIMIT), v_abs(z));
    mlp_vec tail = MLP_REAL(normal_tail)(magnitude, &ratio, &rest, &n);
    mlp_vec below = v_ldexp(tail, n);
    return v_select(v_lt(z, v_zero()), below, v_sub(v_set1(MLP_C(1)), below));
}

#define ULP_FUNCTION(name)                                                                         \
    static void MLP_REAL(block_##name)(const mlp_real *z, mlp_real *value, mlp_real *derivative) { \
        for (size_t i = 0; i < ULP_BLOCK; i += MLP_LANES)                                          \
            v_store(value + i, MLP_REAL(vec_##name)(v_load(z + i)));                               \
        (void)derivative;                                                                          \
    }
#define ULP_ACTIVATION(name)                                                                       \
    static void MLP_REAL(block_##name)(const mlp_real *z, mlp_real *value, mlp_real *derivative) { \
        for (size_t i = 0; i < ULP_BLOCK; i += MLP_LANES) {                                        \
            mlp_vec y, d;                                                                          \
            MLP_REAL(vec_##name)(v_load(z + i), &y, &d);                                           \
            v_store(value + i, y);                                                                 \
            v_store(derivative + i, d);                                                            \
        }                                                                                          \
    }
ULP_FUNCTION(exp)
ULP_FUNCTION(expm1)
ULP_FUNCTION(log)
ULP_FUNCTION(log1p)
ULP_FUNCTION(phi)
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
    ULP_ROW(exp, 0, NAN),         ULP_ROW(expm1, 0, NAN),       ULP_ROW(log, 0, NAN),
    ULP_ROW(log1p, 0, NAN),       ULP_ROW(phi, 0, NAN),         ULP_ROW(sigmoid, 1, NAN),
    ULP_ROW(tanh, 1, NAN),        ULP_ROW(softplus, 1, NAN),    ULP_ROW(elu, 1, NAN),
    ULP_ROW(silu, 1, -1.2784645), ULP_ROW(gelu, 1, -0.7517916), ULP_ROW(relu, 1, NAN),
    ULP_ROW(leaky_relu, 1, NAN),
#undef ULP_ROW
};
#define ULP_N_FUNCTIONS (sizeof MLP_REAL(functions) / sizeof MLP_REAL(functions)[0])

/* float32: the number of this bit pattern. float64: that number with more digits behind. */
MLP_INLINE mlp_real MLP_REAL(sample)(uint32_t pattern) {
    float z;
    memcpy(&z, &pattern, sizeof z);
    if (sizeof(mlp_real) == 4 || !isfinite(z)) return (mlp_real)z;
    const uint32_t hash = (pattern ^ (pattern >> 15)) * 2654435761u;
    return (mlp_real)((double)z * (1.0 + (double)hash * 0x1p-55));
}

/* The exact results of a block: by our own float64 functions for float32, which takes a fiftieth of
 * libm's time; by libm for float64. */
static void MLP_REAL(reference_block)(size_t k, const mlp_real *z, ULP_WIDE *value,
                                      ULP_WIDE *derivative) {
#if MLP_DTYPE_BITS == 32
    static double wide[ULP_BLOCK];
    for (size_t i = 0; i < ULP_BLOCK; i++)
        wide[i] = (double)z[i];
    MLP_NAME(functions, f64, MLP_ISA)[k].block(wide, value, derivative);
#else
    for (size_t i = 0; i < ULP_BLOCK; i++)
        MLP_REAL(functions)[k].reference((ULP_WIDE)z[i], value + i, derivative + i);
#endif
}

/* 1 / the last place of the dtype at exact. */
MLP_INLINE ULP_WIDE MLP_REAL(places)(ULP_WIDE exact) {
#if MLP_DTYPE_BITS == 32
    const uint64_t smallest = (uint64_t)(1023 + FLT_MIN_EXP - 1) << 52;
    uint64_t bits;
    memcpy(&bits, &exact, sizeof bits);
    bits &= UINT64_C(0x7FF) << 52;
    bits = ((uint64_t)(2046 + FLT_MANT_DIG - 1) << 52) - (bits < smallest ? smallest : bits);
    memcpy(&exact, &bits, sizeof bits);
    return exact;
#else
    int exponent = DBL_MIN_EXP;
    if (exact != 0) ULP_LIBM(frexp)(exact, &exponent);
    return ULP_LIBM(ldexp)(1, DBL_MANT_DIG - (exponent < DBL_MIN_EXP ? DBL_MIN_EXP : exponent));
#endif
}

/* The error in last places of the exact result, near a root in those of 1 / 8; 0 where either is not
 * finite. */
MLP_INLINE double MLP_REAL(error)(mlp_real computed, ULP_WIDE exact, int near_root) {
    const mlp_real largest = sizeof(mlp_real) == 4 ? (mlp_real)FLT_MAX : (mlp_real)DBL_MAX;
    const mlp_real nearest = (mlp_real)exact;
    const ULP_WIDE places = MLP_REAL(places)(near_root ? (ULP_WIDE)0.125 : exact);
    const ULP_WIDE difference = ((ULP_WIDE)computed - exact) * places;
    const double error = (double)(difference < 0 ? -difference : difference);
    return nearest >= -largest && nearest <= largest && computed >= -largest && computed <= largest
               ? error
               : 0.0;
}

/* What is finite where it should not be, or not equal where either is not finite. */
MLP_INLINE int MLP_REAL(is_wrong)(mlp_real computed, ULP_WIDE exact) {
    const mlp_real infinity = (mlp_real)INFINITY;
    const mlp_real nearest = (mlp_real)exact;
    const int both_nan = (nearest != nearest) & (computed != computed);
    const int both_finite = (nearest > -infinity) & (nearest < infinity) & (computed > -infinity) &
                            (computed < infinity);
    return !(both_nan | both_finite | (nearest == computed));
}

/* Adds results [0, n) of a block to the report. The largest errors, and one of each block, are
 * measured against libm: a reference of our own cannot hide behind itself. */
static void MLP_REAL(compare)(ulp_report *report, size_t k, int is_derivative, size_t n,
                              const mlp_real *z, const mlp_real *computed, const ULP_WIDE *exact) {
    static double errors[ULP_BLOCK];
    const double root = is_derivative ? MLP_REAL(functions)[k].root : (double)NAN;
    uint64_t checksum = 0;
    int n_wrong = 0;
    for (size_t i = 0; i < n; i++)
        errors[i] = MLP_REAL(error)(computed[i], exact[i], ulp_is_near((double)z[i], root));
    for (size_t i = 0; i < n; i++)
        n_wrong += MLP_REAL(is_wrong)(computed[i], exact[i]);
    /* Bits of numbers that are not negative are in their order, and compilers vectorize their
     * largest. */
    int64_t all = 0, right = 0, near = 0;
    for (size_t i = 0; i < n; i++) {
        const int near_root = ulp_is_near((double)z[i], root);
        int64_t bits;
        memcpy(&bits, errors + i, sizeof bits);
        const int64_t away_bits = near_root ? 0 : bits;
        const int64_t right_bits = z[i] > -2 ? away_bits : 0;
        const int64_t near_bits = near_root ? bits : 0;
        all = all > away_bits ? all : away_bits;
        right = right > right_bits ? right : right_bits;
        near = near > near_bits ? near : near_bits;
    }
    for (size_t i = 0; i < n; i++) {
        ULP_BITS argument, result;
        memcpy(&argument, z + i, sizeof argument);
        memcpy(&result, computed + i, sizeof result);
        result = computed[i] == computed[i] ? result : 0;
        checksum += ((uint64_t)argument * 2 + 1) * result;
    }
    report->n_wrong += (uint64_t)n_wrong;
    report->checksum += checksum;
    const double worst[ULP_N_CLASSES] = {ulp_double(all), ulp_double(right), ulp_double(near)};
    int is_worse = 0;
    for (size_t c = 0; c < ULP_N_CLASSES; c++)
        is_worse |= worst[c] > report->worst[c];
    for (size_t i = 0; i < (is_worse ? n : 1); i++) {
        const int near_root = ulp_is_near((double)z[i], root);
        const size_t class = near_root ? ULP_ROOT : ULP_ALL;
        const int is_right = !near_root && z[i] > -2;
        if (i > 0 && !(errors[i] > report->worst[class]) &&
            !(is_right && errors[i] > report->worst[ULP_RIGHT]))
            continue;
        ULP_WIDE value, derivative;
        MLP_REAL(functions)[k].reference((ULP_WIDE)z[i], &value, &derivative);
        const ULP_WIDE by_libm = is_derivative ? derivative : value;
        const double error = MLP_REAL(error)(computed[i], by_libm, near_root);
        report->n_wrong += (uint64_t)MLP_REAL(is_wrong)(computed[i], by_libm);
        if (!(fabs(error - errors[i]) < 1e-3)) report->n_disputed++;
        ulp_note(report, class, error, (double)z[i]);
        if (is_right) ulp_note(report, ULP_RIGHT, error, (double)z[i]);
    }
}

static int MLP_REAL(measure_all)(uint64_t stride, const char *only) {
    static mlp_real z[ULP_BLOCK], value[ULP_BLOCK], derivative[ULP_BLOCK];
    static ULP_WIDE exact[ULP_BLOCK], exact_derivative[ULP_BLOCK];
    int status = 0;
    for (size_t k = 0; k < ULP_N_FUNCTIONS; k++) {
        if (*only && strcmp(only, MLP_REAL(functions)[k].name) != 0) continue;
        ulp_report reports[2] = {0};
        uint64_t pattern = 0;
        while (pattern <= UINT32_MAX) {
            const uint64_t left = (UINT32_MAX - pattern) / stride + 1;
            const size_t n = left < ULP_BLOCK ? (size_t)left : ULP_BLOCK;
            for (size_t i = 0; i < n; i++)
                z[i] = MLP_REAL(sample)((uint32_t)(pattern + i * stride));
            for (size_t i = n; i < ULP_BLOCK; i++)
                z[i] = 0;
            MLP_REAL(functions)[k].block(z, value, derivative);
            MLP_REAL(reference_block)(k, z, exact, exact_derivative);
            MLP_REAL(compare)(&reports[0], k, 0, n, z, value, exact);
            if (MLP_REAL(functions)[k].has_derivative)
                MLP_REAL(compare)(&reports[1], k, 1, n, z, derivative, exact_derivative);
            pattern += n * stride;
        }
        print_report(MLP_REAL(functions)[k].name, "value", &reports[0]);
        if (MLP_REAL(functions)[k].has_derivative)
            print_report(MLP_REAL(functions)[k].name, "derivative", &reports[1]);
        for (size_t part = 0; part < 2; part++)
            if (reports[part].n_wrong + reports[part].n_disputed) status = 1;
    }
    return status;
}
#undef ULP_N_FUNCTIONS
