/* SPDX-License-Identifier: BSD-3-Clause */
/* random.c - the order in which an epoch visits the rows, and keys for what else is drawn. */
#include "random.h"

#include "mlpcore.h"

/* The numbers of one (seed, epoch), two for each value of the counter, some made in advance. */
#define MLP_NUMBERS_MADE (2 * MLP_PHILOX_COUNTERS)

typedef struct stream {
    uint64_t seed, epoch, counter;
    uint64_t number[MLP_NUMBERS_MADE];
    size_t n_left; /* of these */
} stream;

static void make_numbers(stream *s) {
    uint32_t a[MLP_PHILOX_COUNTERS], b[MLP_PHILOX_COUNTERS];
    uint32_t c[MLP_PHILOX_COUNTERS], d[MLP_PHILOX_COUNTERS];
    for (size_t i = 0; i < MLP_PHILOX_COUNTERS; i++) {
        a[i] = (uint32_t)(s->counter + i);
        b[i] = (uint32_t)((s->counter + i) >> 32);
        c[i] = (uint32_t)s->epoch;
        d[i] = (uint32_t)(s->epoch >> 32);
    }
    mlp_philox_block(a, b, c, d, s->seed);
    for (size_t i = 0; i < MLP_PHILOX_COUNTERS; i++) {
        s->number[2 * i] = (uint64_t)b[i] << 32 | a[i];
        s->number[2 * i + 1] = (uint64_t)d[i] << 32 | c[i];
    }
    s->counter += MLP_PHILOX_COUNTERS;
    s->n_left = MLP_NUMBERS_MADE;
}

static uint64_t next_number(stream *s) {
    if (s->n_left == 0) make_numbers(s);
    return s->number[MLP_NUMBERS_MADE - s->n_left--];
}

/* The 128-bit product of a and b. */
static uint64_t multiply_wide(uint64_t a, uint64_t b, uint64_t *low) {
    const uint64_t a_low = a & 0xFFFFFFFFu, a_high = a >> 32;
    const uint64_t b_low = b & 0xFFFFFFFFu, b_high = b >> 32;
    const uint64_t middle = a_high * b_low + (a_low * b_low >> 32);
    const uint64_t other = a_low * b_high + (middle & 0xFFFFFFFFu);
    *low = a * b;
    return a_high * b_high + (middle >> 32) + (other >> 32);
}

/* Each of 0 .. bound - 1 with the same probability: Lemire, "Fast random integer generation in an
 * interval", ACM Transactions on Modeling and Computer Simulation 29 (2019), algorithm 5. */
static uint64_t next_below(stream *s, uint64_t bound) {
    uint64_t low;
    uint64_t result = multiply_wide(next_number(s), bound, &low);
    if (low < bound) {
        const uint64_t surplus = (0u - bound) % bound; /* 2^64 mod bound */
        while (low < surplus)
            result = multiply_wide(next_number(s), bound, &low);
    }
    return result;
}

/* Fisher and Yates, in Durstenfeld's form. */
void mlp_permutation(uint64_t seed, uint64_t epoch, size_t n, int64_t *order) {
    stream s = {.seed = seed, .epoch = epoch};
    for (size_t i = 0; i < n; i++)
        order[i] = (int64_t)i;
    for (size_t n_left = n; n_left > 1; n_left--) {
        const size_t drawn = (size_t)next_below(&s, n_left);
        const int64_t row = order[drawn];
        order[drawn] = order[n_left - 1];
        order[n_left - 1] = row;
    }
}

/* The upper half of the counter is that of an epoch which no training comes to. */
uint64_t mlp_random_key(uint64_t seed, mlp_key_purpose purpose, uint64_t index) {
    uint32_t word[4] = {(uint32_t)index, (uint32_t)(index >> 32), (uint32_t)purpose, UINT32_MAX};
    mlp_philox(word, seed);
    return (uint64_t)word[1] << 32 | word[0];
}
