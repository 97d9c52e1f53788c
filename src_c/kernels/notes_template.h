/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * notes_template.h - what is noted of numbers in passing: that one is not finite, their largest
 * magnitude, their squares.
 *
 * Included once for each dtype, after simd.h.
 */

/* Notes are taken in so many registers in turn, or each would wait for the one before it. */
#define MLP_NOTES 4

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

MLP_INLINE int MLP_REAL(found_none)(const mlp_vec *found) {
    const mlp_vec all = v_add(v_add(found[0], found[1]), v_add(found[2], found[3]));
    return v_all(v_eq(all, v_zero()));
}

/* Sums of MLP_NOTES registers are added to those in memory. */
MLP_INLINE void MLP_REAL(add_notes)(const mlp_vec *notes, mlp_real *sums) {
    const mlp_vec all = v_add(v_add(notes[0], notes[1]), v_add(notes[2], notes[3]));
    v_store(sums, v_add(v_load(sums), all));
}

/* The largest magnitudes so far, and what was not finite. */
#define mlp_extremes MLP_REAL(extremes)
typedef struct mlp_extremes {
    mlp_vec largest[MLP_NOTES], found[MLP_NOTES];
} mlp_extremes;

MLP_INLINE void MLP_REAL(note_extreme)(mlp_extremes *so_far, size_t i, mlp_vec x) {
    so_far->largest[i] = v_max(so_far->largest[i], v_abs(x));
    so_far->found[i] = MLP_REAL(note_not_finite)(x, so_far->found[i]);
}

static double MLP_REAL(largest)(size_t n_rows, size_t n_columns, const void *a, size_t stride) {
    mlp_extremes extremes;
    for (size_t i = 0; i < MLP_NOTES; i++)
        extremes.largest[i] = extremes.found[i] = v_zero();
    if (n_columns == stride) { /* whole rows are one long row */
        n_columns *= n_rows;
        n_rows = n_columns > 0;
    }
    const mlp_real *from = a;
    for (size_t row = 0; row < n_rows; row++, from += stride) {
        size_t j = 0;
        for (; j + MLP_NOTES * MLP_LANES <= n_columns; j += MLP_NOTES * MLP_LANES) {
            MLP_UNROLL
            for (size_t i = 0; i < MLP_NOTES; i++)
                MLP_REAL(note_extreme)(&extremes, i, v_load(from + j + i * MLP_LANES));
        }
        for (; j < n_columns; j += MLP_LANES) {
            const mlp_tail tail = v_tail(n_columns - j < MLP_LANES ? n_columns - j : MLP_LANES);
            MLP_REAL(note_extreme)(&extremes, 0, v_load_tail(from + j, tail));
        }
    }
    if (!MLP_REAL(found_none)(extremes.found)) return (double)INFINITY;
    mlp_real lanes[MLP_LANES];
    v_store(lanes, v_max(v_max(extremes.largest[0], extremes.largest[1]),
                         v_max(extremes.largest[2], extremes.largest[3])));
    mlp_real result = 0;
    for (size_t lane = 0; lane < MLP_LANES; lane++)
        result = lanes[lane] > result ? lanes[lane] : result;
    return (double)result;
}
