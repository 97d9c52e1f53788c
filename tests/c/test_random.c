/* SPDX-License-Identifier: BSD-3-Clause */
/* test_random.c - Philox against its published vectors, and the order of an epoch. */
#include "random.c"

#include <string.h>

#include "check.h"

/* From the file kat_vectors of Random123 (https://github.com/DEShawResearch/random123), lines
 * "philox4x32 10": counter, key, result. */
static const uint32_t known_answers[3][10] = {
    {0, 0, 0, 0, 0, 0, 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8},
    {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff, 0x408f276d, 0x41c83b0e,
     0xa20bc7c6, 0x6d5451fd},
    {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344, 0xa4093822, 0x299f31d0, 0xd16cfe09, 0x94fdcceb,
     0x5001e420, 0x24126ea1},
};

static void test_known_answers(void) {
    for (size_t i = 0; i < 3; i++) {
        uint32_t word[4];
        memcpy(word, known_answers[i], sizeof word);
        mlp_philox(word, (uint64_t)known_answers[i][5] << 32 | known_answers[i][4]);
        CHECK(memcmp(word, known_answers[i] + 6, sizeof word) == 0);
    }
}

static void test_products(void) {
    const uint64_t factors[] = {
        0, 1, 2, 0xFFFFFFFFu, (uint64_t)1 << 32, 0x123456789ABCDEF0u, UINT64_MAX - 1, UINT64_MAX};
    enum { N = sizeof factors / sizeof factors[0] };
    stream s = {.seed = 1};
    for (size_t i = 0; i < N + 1000; i++) {
        for (size_t j = 0; j < N; j++) {
            const uint64_t a = i < N ? factors[i] : next_number(&s);
            uint64_t low = 0;
            const uint64_t high = multiply_wide(a, factors[j], &low);
            /* By long multiplication, one bit of a after the other. */
            uint64_t want_high = 0, want_low = 0;
            for (int bit = 63; bit >= 0; bit--) {
                want_high = want_high << 1 | want_low >> 63;
                want_low <<= 1;
                if (a >> bit & 1) {
                    want_low += factors[j];
                    want_high += want_low < factors[j];
                }
            }
            CHECK(high == want_high && low == want_low);
        }
    }
}

/* Of the bound 3 * 2^62 a quarter of all numbers is refused: without that, a third of the results
 * would come twice as often as the others. */
static void test_bounds(void) {
    enum { DRAWS = 30000 };
    stream s = {.seed = 2};
    size_t counts[3] = {0, 0, 0};
    const uint64_t third = (uint64_t)1 << 62;
    for (size_t i = 0; i < DRAWS; i++) {
        const uint64_t drawn = next_below(&s, 3 * third);
        CHECK(drawn < 3 * third);
        counts[drawn % 3]++;
        CHECK(next_below(&s, 1) == 0);
    }
    for (size_t i = 0; i < 3; i++)
        CHECK(counts[i] > 9600 && counts[i] < 10400); /* 5 sigma */
}

enum { MOST = 1000 };

static void check_permutation(const int64_t *order, size_t n) {
    int seen[MOST] = {0};
    for (size_t i = 0; i < n; i++) {
        CHECK(order[i] >= 0 && (size_t)order[i] < n);
        CHECK(seen[order[i]]++ == 0);
    }
}

static void test_permutations(void) {
    const size_t sizes[] = {0, 1, 2, 3, 10, 999, MOST};
    int64_t order[MOST + 1], again[MOST + 1];
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        const size_t n = sizes[i];
        order[n] = again[n] = -7;
        mlp_permutation(UINT64_MAX, 3, n, order);
        check_permutation(order, n);
        mlp_permutation(UINT64_MAX, 3, n, again);
        CHECK(memcmp(order, again, (n + 1) * sizeof order[0]) == 0 && order[n] == -7);
    }
    mlp_permutation(UINT64_MAX, 4, MOST, again);
    CHECK(memcmp(order, again, sizeof order) != 0);
    mlp_permutation((uint64_t)UINT32_MAX << 32, 3, MOST, again);
    CHECK(memcmp(order, again, sizeof order) != 0);
    mlp_permutation(UINT64_MAX, (uint64_t)1 << 32 | 3, MOST, again);
    CHECK(memcmp(order, again, sizeof order) != 0);
}

/* These orders are part of what a seed means: another one would change every trained model. */
static void test_pinned(void) {
    const int64_t first[10] = {6, 7, 3, 4, 9, 1, 0, 2, 5, 8};
    const int64_t second[10] = {7, 0, 2, 6, 4, 5, 1, 9, 3, 8};
    int64_t order[10];
    mlp_permutation(0, 0, 10, order);
    CHECK(memcmp(order, first, sizeof order) == 0);
    mlp_permutation(42, 7, 10, order);
    CHECK(memcmp(order, second, sizeof order) == 0);
}

/* All 24 orders of 4 rows, over many epochs: chi-square with 23 degrees of freedom stays below 50
 * with probability 0.9991, and the seed is fixed. */
static void test_uniform(void) {
    enum { EPOCHS = 24000 };
    size_t counts[256] = {0};
    for (uint64_t epoch = 0; epoch < EPOCHS; epoch++) {
        int64_t order[4];
        mlp_permutation(5, epoch, 4, order);
        counts[order[0] * 64 + order[1] * 16 + order[2] * 4 + order[3]]++;
    }
    size_t n_orders = 0;
    double chi_square = 0.0;
    for (size_t i = 0; i < 256; i++) {
        if (counts[i] == 0) continue;
        const double excess = (double)counts[i] - EPOCHS / 24.0;
        n_orders++;
        chi_square += excess * excess / (EPOCHS / 24.0);
    }
    CHECK(n_orders == 24);
    CHECK(chi_square < 50.0);
}

/* Keys of every purpose and index, and the first numbers of an epoch's order, all differ. */
static void test_keys(void) {
    enum { N_PURPOSES = 4, N_INDICES = 50, N = (N_PURPOSES + 1) * N_INDICES };
    uint64_t keys[N];
    for (uint64_t i = 0; i < N_INDICES; i++) {
        for (int purpose = 0; purpose < N_PURPOSES; purpose++)
            keys[i * N_PURPOSES + (uint64_t)purpose] =
                mlp_random_key(7, (mlp_key_purpose)purpose, i);
        stream s = {.seed = 7, .epoch = i};
        keys[N_PURPOSES * N_INDICES + i] = next_number(&s);
    }
    for (size_t i = 0; i < N; i++)
        for (size_t j = 0; j < i; j++)
            CHECK(keys[i] != keys[j]);
    CHECK(mlp_random_key(7, MLP_KEY_ROWS, 3) != mlp_random_key(8, MLP_KEY_ROWS, 3));
}

int main(void) {
    test_known_answers();
    test_keys();
    test_products();
    test_bounds();
    test_permutations();
    test_pinned();
    test_uniform();
    return 0;
}
