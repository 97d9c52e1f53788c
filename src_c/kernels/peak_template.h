/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * peak_template.h - multiply-adds from registers, which a user's figures are held against.
 *
 * Included once for each dtype, after tile_template.h. As many chains as a full tile of a product
 * has: so many registers there are, and enough to hide the latency of a multiply-add.
 */
static double MLP_REAL(multiply_adds)(size_t n_repeats, double *sum) {
    /* Chains tend to 1: neither an overflow nor a subnormal number makes them slow. */
    const mlp_vec half = v_set1(MLP_C(0.5));
    mlp_vec chains[MLP_TILE_ROWS][MLP_TILE_VECS], total = v_zero();
    mlp_real lanes[MLP_LANES];
    MLP_UNROLL
    for (size_t i = 0; i < MLP_TILE_ROWS; i++) {
        MLP_UNROLL
        for (size_t v = 0; v < MLP_TILE_VECS; v++) /* equal chains would be computed once */
            chains[i][v] = v_set1((mlp_real)(i * MLP_TILE_VECS + v));
    }
    for (size_t repeat = 0; repeat < n_repeats; repeat++) {
        MLP_UNROLL
        for (size_t i = 0; i < MLP_TILE_ROWS; i++) {
            MLP_UNROLL
            for (size_t v = 0; v < MLP_TILE_VECS; v++)
                chains[i][v] = v_fma(chains[i][v], half, half);
        }
    }
    MLP_UNROLL
    for (size_t i = 0; i < MLP_TILE_ROWS; i++) {
        MLP_UNROLL
        for (size_t v = 0; v < MLP_TILE_VECS; v++)
            total = v_add(total, chains[i][v]);
    }
    v_store(lanes, total);
    *sum = (double)lanes[0];
    return (double)n_repeats * MLP_TILE_ROWS * MLP_TILE_VECS * MLP_LANES;
}
