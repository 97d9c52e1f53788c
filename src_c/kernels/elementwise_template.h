/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * elementwise_template.h - plain work on vectors: products, the sum of a row and of squares in a
 * fixed order, its largest entry, a block turned, softmax's backward pass.
 *
 * Included once for each dtype, after simd.h.
 *
 * A row is summed in 16 lanes of double, element j in lane j % 16, and the lanes are added
 * pairwise: lane l + lane l + 8, then + 4, + 2, + 1. The sum then does not know the width of a
 * register, and an error of the sum does not show in float results.
 */
#define MLP_SUM_LANES 16
/* Terms made before they are summed: a multiple of the sum's lanes and of every register. */
#define MLP_SUM_BLOCK 256

/* The sum of a row with a term in each lane at most, which then all stay in registers. */
MLP_INLINE double MLP_REAL(short_row_sum)(size_t n, const mlp_real *terms) {
    double lanes[8];
    if (n == 1) return 0.0 + (double)terms[0];
    MLP_UNROLL
    for (size_t lane = 0; lane < 8; lane++)
        lanes[lane] = lane < n ? 0.0 + (double)terms[lane] : 0.0; /* 0 + -0 is 0: as long rows do */
    if (n > 8) {
        MLP_UNROLL
        for (size_t lane = 0; lane < 8; lane++)
            if (lane + 8 < n) lanes[lane] += (double)terms[lane + 8];
    }
    const double sum_04 = lanes[0] + lanes[4], sum_15 = lanes[1] + lanes[5];
    const double sum_26 = lanes[2] + lanes[6], sum_37 = lanes[3] + lanes[7];
    return (sum_04 + sum_26) + (sum_15 + sum_37);
}

/* The next n_terms of a row of n; all but the last call bring a multiple of MLP_SUM_LANES. */
MLP_INLINE void MLP_REAL(add_terms)(size_t n, size_t n_terms, const mlp_real *terms,
                                    double *lanes) {
    if (n <= MLP_SUM_LANES) return;
    size_t j = 0;
    for (; j + MLP_SUM_LANES <= n_terms; j += MLP_SUM_LANES)
        for (size_t lane = 0; lane < MLP_SUM_LANES; lane++)
            lanes[lane] += (double)terms[j + lane];
    for (size_t lane = 0; j + lane < n_terms; lane++)
        lanes[lane] += (double)terms[j + lane];
}

/* The sum of a row of n whose terms were added; terms are the last that were. */
MLP_INLINE double MLP_REAL(sum_of_terms)(size_t n, const mlp_real *terms, double *lanes) {
    if (n <= MLP_SUM_LANES) return MLP_REAL(short_row_sum)(n, terms);
    for (size_t width = MLP_SUM_LANES / 2; width > 0; width /= 2)
        for (size_t lane = 0; lane < width; lane++)
            lanes[lane] += lanes[lane + width];
    return lanes[0];
}

MLP_INLINE double MLP_REAL(row_sum)(size_t n, const mlp_real *terms) {
    if (n <= MLP_SUM_LANES) return MLP_REAL(short_row_sum)(n, terms);
    double lanes[MLP_SUM_LANES] = {0};
    MLP_REAL(add_terms)(n, n, terms, lanes);
    return MLP_REAL(sum_of_terms)(n, terms, lanes);
}

/* The first rows and columns of a matrix, at most MLP_LANES of each, turned. */
MLP_INLINE void MLP_REAL(turn_rest)(size_t n_rows, size_t n_columns, const mlp_real *from,
                                    size_t stride, mlp_vec column[MLP_LANES]) {
    v_turn_part(n_rows < MLP_LANES ? n_rows : MLP_LANES,
                n_columns < MLP_LANES ? n_columns : MLP_LANES, from, stride, column);
}

/* Rows of n numbers, at most MLP_SUM_LANES, side by side: column[k] has the k-th of each row, and 0
 * for rows that are not there. */
MLP_INLINE void MLP_REAL(turn_rows)(size_t n_rows, size_t n, const mlp_real *from,
                                    mlp_vec column[MLP_SUM_LANES]) {
    size_t k = 0;
    do {
        MLP_REAL(turn_rest)(n_rows, n - k, from + k, n, column + k);
        k += MLP_LANES;
    } while (k < n);
}

/* A loop of so many rounds, of what does not overlap, is one that compilers put into registers. */
MLP_INLINE void MLP_REAL(add_turned)(double *restrict sum, const double *restrict terms) {
    for (size_t i = 0; i < MLP_LANES; i++)
        sum[i] += terms[i];
}

/* The sums of such rows, terms (n, MLP_LANES): each that of short_row_sum, to the bit. */
MLP_INLINE void MLP_REAL(sums_of_turned)(size_t n, const mlp_real *terms, double sums[MLP_LANES]) {
    double lanes[MLP_SUM_LANES * MLP_LANES];
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < MLP_LANES; i++)
            lanes[k * MLP_LANES + i] = 0.0 + (double)terms[k * MLP_LANES + i];
    for (size_t half = MLP_SUM_LANES / 2; half > 0; half /= 2)
        for (size_t k = 0; k < half && k + half < n; k++)
            MLP_REAL(add_turned)(lanes + k * MLP_LANES, lanes + (k + half) * MLP_LANES);
    memcpy(sums, lanes, MLP_LANES * sizeof *sums);
}

static void MLP_REAL(multiply)(size_t n, const void *da, const void *d, void *dz) {
    const mlp_real *left = da, *right = d;
    mlp_real *product = dz;
    size_t j = 0;
    for (; j + MLP_LANES <= n; j += MLP_LANES)
        v_store(product + j, v_mul(v_load(left + j), v_load(right + j)));
    if (j < n) {
        const mlp_tail tail = v_tail(n - j);
        v_store_tail(product + j, tail,
                     v_mul(v_load_tail(left + j, tail), v_load_tail(right + j, tail)));
    }
}

/* The largest of n numbers; if one of them is NaN, any of them. */
MLP_INLINE mlp_real MLP_REAL(largest_of)(size_t n, const mlp_real *z) {
    mlp_real largest = z[0];
    if (n < MLP_LANES) {
        for (size_t j = 1; j < n; j++)
            largest = z[j] > largest ? z[j] : largest;
        return largest;
    }
    mlp_real candidates[MLP_LANES];
    mlp_vec v = v_load(z);
    for (size_t j = MLP_LANES; j + MLP_LANES <= n; j += MLP_LANES)
        v = v_max(v, v_load(z + j));
    v_store(candidates, v_max(v, v_load(z + n - MLP_LANES))); /* to look twice does not matter */
    for (size_t half = MLP_LANES / 2; half > 0; half /= 2)
        for (size_t lane = 0; lane < half; lane++)
            if (candidates[lane + half] > candidates[lane])
                candidates[lane] = candidates[lane + half];
    return candidates[0];
}

/* product = p (da - origin - mean) over n reals. */
MLP_INLINE void MLP_REAL(multiply_centred)(size_t n, const mlp_real *p, const mlp_real *da,
                                           mlp_real origin, mlp_real mean, mlp_real *product) {
    const mlp_vec first = v_set1(origin), second = v_set1(mean);
    for (size_t j = 0; j < n; j += MLP_LANES) {
        const mlp_tail tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);
        const mlp_vec entry = v_sub(v_sub(v_load_tail(da + j, tail), first), second);
        v_store_tail(product + j, tail, v_mul(v_load_tail(p + j, tail), entry));
    }
}

/* <da - origin, p>, the products rounded to the dtype. */
MLP_INLINE double MLP_REAL(mean_from)(size_t n, const mlp_real *p, const mlp_real *da,
                                      mlp_real origin) {
    mlp_real products[MLP_SUM_BLOCK];
    double lanes[MLP_SUM_LANES] = {0};
    for (size_t begin = 0; begin < n; begin += MLP_SUM_BLOCK) {
        const size_t length = n - begin < MLP_SUM_BLOCK ? n - begin : MLP_SUM_BLOCK;
        MLP_REAL(multiply_centred)(length, p + begin, da + begin, origin, 0, products);
        MLP_REAL(add_terms)(n, length, products, lanes);
    }
    return MLP_REAL(sum_of_terms)(n, products, lanes);
}

/*
 * p (da - <da, p>): the Jacobian diag(p) - p p^T of softmax, applied without making it. It takes a
 * constant to 0, so that da may be looked at from that of the likeliest output: where p of that
 * rounds to 1, da would cancel against its own mean.
 */
static void MLP_REAL(softmax_backward)(size_t n_rows, size_t n_columns, const void *p,
                                       const void *da, void *dz) {
    const mlp_real *probability = p, *grad_output = da;
    mlp_real *grad_input = dz;
    for (size_t row = 0; row < n_rows; row++) {
        size_t likeliest = 0;
        for (size_t k = 1; k < n_columns; k++)
            if (probability[k] > probability[likeliest]) likeliest = k;
        const mlp_real origin = grad_output[likeliest];
        const double mean = MLP_REAL(mean_from)(n_columns, probability, grad_output, origin);
        MLP_REAL(multiply_centred)(n_columns, probability, grad_output, origin, (mlp_real)mean,
                                   grad_input);
        probability += n_columns;
        grad_output += n_columns;
        grad_input += n_columns;
    }
}

/* In double, in the lanes of a row's sum: a square of a float is exact there, and cannot overflow. */
static double MLP_REAL(sum_of_squares)(size_t n, const void *x) {
    const mlp_real *value = x;
    double lanes[MLP_SUM_LANES] = {0};
    size_t j = 0;
    for (; j + MLP_SUM_LANES <= n; j += MLP_SUM_LANES)
        for (size_t lane = 0; lane < MLP_SUM_LANES; lane++)
            lanes[lane] += (double)value[j + lane] * (double)value[j + lane];
    for (size_t lane = 0; j + lane < n; lane++)
        lanes[lane] += (double)value[j + lane] * (double)value[j + lane];
    for (size_t width = MLP_SUM_LANES / 2; width > 0; width /= 2)
        for (size_t lane = 0; lane < width; lane++)
            lanes[lane] += lanes[lane + width];
    return lanes[0];
}
