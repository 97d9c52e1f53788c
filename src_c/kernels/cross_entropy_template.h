/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cross_entropy_template.h - cross entropy of logits: a softmax and the loss of it in one.
 *
 * Included once for each dtype, after loss_rows_template.h.
 */
/* ---- cross entropy of logits ------------------------------------------------------------------ */

/*
 * With m = max z, e_k = exp(z_k - m), and others the sum of e over all classes but one of those
 * whose z is m and hence e is 1:
 *
 *     p_k = e_k / (1 + others)      -log p_k = log1p(others) - (z_k - m)      term_k = -y_k log p_k
 *     d(sum of the terms) / dz_k = p_k sum_{j != k} y_j - y_k (1 - p_k)
 *
 * where 1 - p_k of the likeliest class is others / (1 + others). So neither the loss nor the
 * gradient of a confident and right prediction rounds to 0, as log(sum e) - z_k and p_k - y_k do.
 *
 * The rows go through in groups, because log1p and the division of one row alone would fill one
 * lane. In between, e waits in the rows of the gradient.
 */
#define MLP_SOFTMAX_GROUP 64

#define mlp_softmax_group MLP_REAL(softmax_group)
typedef struct mlp_softmax_group {
    mlp_real largest[MLP_SOFTMAX_GROUP]; /* m */
    mlp_real others[MLP_SOFTMAX_GROUP];  /* NaN if a logit is NaN or the largest is infinite */
    mlp_real log_sum[MLP_SOFTMAX_GROUP]; /* log1p(others) */
    mlp_real inverse[MLP_SOFTMAX_GROUP]; /* 1 / (1 + others) */
} mlp_softmax_group;

/* e, with 0 in place of each 1 of a largest logit; and the first half of the group's row i. */
MLP_INLINE void MLP_REAL(softmax_row)(size_t n, const mlp_real *z, mlp_real *e,
                                      mlp_softmax_group *group, size_t i) {
    const mlp_real largest = MLP_REAL(largest_of)(n, z);
    const mlp_vec shift = v_set1(largest);
    mlp_real block[MLP_SUM_BLOCK];
    double lanes[MLP_SUM_LANES] = {0};
    size_t n_largest = 0;
    for (size_t begin = 0; begin < n; begin += MLP_SUM_BLOCK) {
        const size_t length = n - begin < MLP_SUM_BLOCK ? n - begin : MLP_SUM_BLOCK;
        for (size_t j = 0; j < length; j += MLP_LANES) {
            const mlp_tail tail = v_tail(length - j < MLP_LANES ? length - j : MLP_LANES);
            const mlp_vec logit = v_load_tail(z + begin + j, tail);
            const mlp_vec power = MLP_REAL(vec_exp)(v_sub(logit, shift));
            const mlp_vec smaller = v_select(v_eq(logit, shift), v_zero(), power);
            v_store(block + j, smaller);
            if (e != NULL) v_store_tail(e + begin + j, tail, smaller);
        }
        for (size_t j = 0; j < length; j++)
            n_largest += z[begin + j] == largest;
        MLP_REAL(add_terms)(n, length, block, lanes);
    }
    /* The difference is 0, or NaN for an infinity. */
    const double ties = (double)n_largest - 1.0 + (double)(largest - largest);
    group->largest[i] = largest;
    group->others[i] = (mlp_real)(MLP_REAL(sum_of_terms)(n, block, lanes) + ties);
}

/* The sum of the terms of the group's row i. y NULL: class c. */
MLP_INLINE double MLP_REAL(cross_entropy_of_row)(size_t n, const mlp_real *z, const mlp_real *y,
                                                 size_t c, const mlp_softmax_group *group,
                                                 size_t i) {
    const mlp_real log_sum = group->log_sum[i], largest = group->largest[i];
    if (y == NULL) return 0.0 + (double)(log_sum - (z[c] - largest));

    mlp_real terms[MLP_SUM_BLOCK];
    double lanes[MLP_SUM_LANES] = {0};
    for (size_t begin = 0; begin < n; begin += MLP_SUM_BLOCK) {
        const size_t length = n - begin < MLP_SUM_BLOCK ? n - begin : MLP_SUM_BLOCK;
        for (size_t j = 0; j < length; j += MLP_LANES) {
            const mlp_tail tail = v_tail(length - j < MLP_LANES ? length - j : MLP_LANES);
            const mlp_vec logit = v_load_tail(z + begin + j, tail);
            const mlp_vec target = v_load_tail(y + begin + j, tail);
            /* 0 times an infinite logit is no loss; a NaN is in log_sum too. */
            const mlp_vec shifted =
                v_select(v_eq(target, v_zero()), v_zero(), v_sub(logit, v_set1(largest)));
            v_store(terms + j, v_mul(target, v_sub(v_set1(log_sum), shifted)));
        }
        MLP_REAL(add_terms)(n, length, terms, lanes);
    }
    return MLP_REAL(sum_of_terms)(n, terms, lanes);
}

/* The gradient of the group's row i, in which e waits, times scale. y NULL: class c. */
MLP_INLINE void MLP_REAL(cross_entropy_row_gradient)(size_t n, const mlp_real *z, const mlp_real *y,
                                                     size_t c, const mlp_softmax_group *group,
                                                     size_t i, mlp_real scale, mlp_real *gradient) {
    const mlp_real not_largest = group->others[i] * group->inverse[i];
    const mlp_vec one = v_set1(1), shift = v_set1(group->largest[i]);
    const mlp_vec inverse = v_set1(group->inverse[i]), factor = v_set1(scale);
    const mlp_vec total = y != NULL ? v_set1((mlp_real)MLP_REAL(row_sum)(n, y)) : one;
    mlp_real hot = 0; /* 1 - p of class c */
    if (y == NULL)
        hot = z[c] == group->largest[i] ? not_largest : 1 - gradient[c] * group->inverse[i];

    for (size_t j = 0; j < n; j += MLP_LANES) {
        const mlp_tail tail = v_tail(n - j < MLP_LANES ? n - j : MLP_LANES);
        const mlp_mask is_largest = v_eq(v_load_tail(z + j, tail), shift);
        const mlp_vec e = v_select(is_largest, one, v_load_tail(gradient + j, tail));
        const mlp_vec p = v_mul(e, inverse);
        mlp_vec derivative = p;
        if (y != NULL) {
            const mlp_vec target = v_load_tail(y + j, tail);
            const mlp_vec not_p = v_select(is_largest, v_set1(not_largest), v_sub(one, p));
            derivative = v_fnma(target, not_p, v_mul(p, v_sub(total, target)));
        }
        v_store_tail(gradient + j, tail, v_mul(derivative, factor));
    }
    if (y == NULL) gradient[c] = -hot * scale;
}

/* ---- the same, side by side ------------------------------------------------------------------- */

/*
 * MLP_LANES rows at once, a register for each class, where targets are classes: a row of a few
 * numbers would leave most of a register idle, and wait for each of its additions. Number by
 * number it is the arithmetic of the rows one by one.
 */
static void MLP_REAL(narrow_cross_entropy)(const mlp_loss_rows *rows, size_t begin, size_t n_rows) {
    const size_t n = rows->n_columns;
    const mlp_vec one = v_set1(1);
    mlp_vec logit[MLP_SUM_LANES], e[MLP_SUM_LANES], turned[MLP_LANES];
    mlp_vec scale = v_set1((mlp_real)rows->factor);
    mlp_real class_of[MLP_LANES] = {0}, ties[MLP_LANES];
    double sums[MLP_LANES];
    for (size_t i = 0; i < n_rows; i++)
        class_of[i] = (mlp_real)(int)MLP_REAL(class_of)(rows, begin + i);
    if (rows->sample_weight != NULL) {
        mlp_real scale_of[MLP_LANES] = {0};
        for (size_t i = 0; i < n_rows; i++)
            scale_of[i] = MLP_REAL(row_scale)(rows, begin + i);
        scale = v_load(scale_of);
    }
    const mlp_vec hot_class = v_load(class_of);

    MLP_REAL(turn_rows)(n_rows, n, rows->prediction + begin * n, logit);
    mlp_vec largest = logit[0], n_largest = v_zero(), hot_logit = v_zero();
    for (size_t k = 1; k < n; k++)
        largest = v_max(largest, logit[k]);
    for (size_t k = 0; k < n; k++) {
        const mlp_vec shifted = v_sub(logit[k], largest);
        const mlp_mask is_largest = v_eq(logit[k], largest);
        e[k] = v_select(is_largest, v_zero(), MLP_REAL(vec_exp)(shifted));
        n_largest = v_add(n_largest, v_select(is_largest, one, v_zero()));
        hot_logit = v_select(v_eq(hot_class, v_set1((mlp_real)k)), shifted, hot_logit);
    }
    v_store(ties, v_add(v_sub(n_largest, one), v_sub(largest, largest)));
    MLP_REAL(sums_of_turned)(n, (const mlp_real *)e, sums);
    for (size_t i = 0; i < MLP_LANES; i++)
        ties[i] = (mlp_real)(sums[i] + (double)ties[i]);
    const mlp_vec others = v_load(ties);
    const mlp_vec log_sum = MLP_REAL(vec_log1p)(others);
    const mlp_vec inverse = v_div(one, v_add(one, others));
    const mlp_vec not_largest = v_mul(others, inverse);
    if (rows->row_values != NULL) {
        mlp_real values[MLP_LANES];
        v_store(values, v_sub(log_sum, hot_logit));
        for (size_t i = 0; i < n_rows; i++)
            rows->row_values[begin + i] = 0.0 + (double)values[i];
    }
    if (rows->gradient == NULL) return;
    for (size_t k = 0; k < n; k++) {
        const mlp_mask is_largest = v_eq(logit[k], largest);
        const mlp_vec p = v_mul(v_select(is_largest, one, e[k]), inverse);
        const mlp_vec hot = v_neg(v_select(is_largest, not_largest, v_sub(one, p)));
        const mlp_mask is_hot = v_eq(hot_class, v_set1((mlp_real)k));
        e[k] = v_mul(v_select(is_hot, hot, p), scale);
    }
    for (size_t k = 0; k < n; k += MLP_LANES) {
        const mlp_tail tail = v_tail(n - k < MLP_LANES ? n - k : MLP_LANES);
        MLP_REAL(turn_rest)(n - k, n_rows, (const mlp_real *)(e + k), MLP_LANES, turned);
        for (size_t i = 0; i < n_rows; i++)
            v_store_tail(rows->gradient + (begin + i) * n + k, tail, turned[i]);
    }
}

static void MLP_REAL(cross_entropy_of_logits)(const mlp_loss_rows *rows) {
    const size_t n_columns = rows->n_columns;
    /* Side by side the time is that of the classes, one by one that of the rows: 10 classes take as
     * long as 5 or 6 rows, 3 as 2, 16 as 7 (Zen 5, AVX-512). */
    if (rows->class_index != NULL && n_columns <= MLP_SUM_LANES && rows->n_rows > 1 &&
        2 * rows->n_rows > n_columns) {
        for (size_t begin = 0; begin < rows->n_rows; begin += MLP_LANES) {
            const size_t n_left = rows->n_rows - begin;
            MLP_REAL(narrow_cross_entropy)(rows, begin, n_left < MLP_LANES ? n_left : MLP_LANES);
        }
        return;
    }
    /* Whole registers are read: without a start value the last one would be partly undefined. */
    mlp_softmax_group group = {.others = {0}};
    for (size_t begin = 0; begin < rows->n_rows; begin += MLP_SOFTMAX_GROUP) {
        const size_t n_left = rows->n_rows - begin;
        const size_t n = n_left < MLP_SOFTMAX_GROUP ? n_left : MLP_SOFTMAX_GROUP;
        const mlp_real *z = rows->prediction + begin * n_columns;
        mlp_real *gradient = rows->gradient != NULL ? rows->gradient + begin * n_columns : NULL;

        for (size_t i = 0; i < n; i++)
            MLP_REAL(softmax_row)(n_columns, z + i * n_columns,
                                  gradient != NULL ? gradient + i * n_columns : NULL, &group, i);
        for (size_t i = 0; i < n; i += MLP_LANES) {
            const mlp_vec others = v_load(group.others + i);
            v_store(group.log_sum + i, MLP_REAL(vec_log1p)(others));
            v_store(group.inverse + i, v_div(v_set1(1), v_add(v_set1(1), others)));
        }
        for (size_t i = 0; i < n; i++) {
            const size_t row = begin + i;
            const mlp_real *logits = z + i * n_columns, *y = NULL;
            size_t c = 0;
            if (rows->class_index != NULL)
                c = MLP_REAL(class_of)(rows, row);
            else
                y = rows->target + row * n_columns;
            if (rows->row_values != NULL)
                rows->row_values[row] =
                    MLP_REAL(cross_entropy_of_row)(n_columns, logits, y, c, &group, i);
            if (gradient != NULL)
                MLP_REAL(cross_entropy_row_gradient)(n_columns, logits, y, c, &group, i,
                                                     MLP_REAL(row_scale)(rows, row),
                                                     gradient + i * n_columns);
        }
    }
}
