/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * random.h - the generator of all that is drawn in C.
 *
 * Philox4x32-10 (Salmon, Moraes, Dror and Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC
 * 2011): a number is a function of a key and a counter, so that nothing has to be remembered from
 * one draw to the next. Integers alone, hence the same on every platform.
 */
#ifndef MLP_RANDOM_H
#define MLP_RANDOM_H

#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

/* The paper's constants. The increments of the key are the fractions of the golden ratio and of
 * sqrt(3), times 2^32. */
#define MLP_PHILOX_MULTIPLIER_0 0xD2511F53u
#define MLP_PHILOX_MULTIPLIER_1 0xCD9E8D57u
#define MLP_PHILOX_KEY_0        0x9E3779B9u
#define MLP_PHILOX_KEY_1        0xBB67AE85u
#define MLP_PHILOX_ROUNDS       10

MLP_INLINE void mlp_philox_round(uint32_t *a, uint32_t *b, uint32_t *c, uint32_t *d, uint32_t key_0,
                                 uint32_t key_1) {
    const uint64_t product_0 = (uint64_t)MLP_PHILOX_MULTIPLIER_0 * *a;
    const uint64_t product_1 = (uint64_t)MLP_PHILOX_MULTIPLIER_1 * *c;
    *a = (uint32_t)(product_1 >> 32) ^ *b ^ key_0;
    *b = (uint32_t)product_1;
    *c = (uint32_t)(product_0 >> 32) ^ *d ^ key_1;
    *d = (uint32_t)product_0;
}

MLP_INLINE void mlp_philox(uint32_t word[4], uint64_t key) {
    uint32_t key_0 = (uint32_t)key, key_1 = (uint32_t)(key >> 32);
    for (int round = 0; round < MLP_PHILOX_ROUNDS; round++) {
        mlp_philox_round(&word[0], &word[1], &word[2], &word[3], key_0, key_1);
        key_0 += MLP_PHILOX_KEY_0;
        key_1 += MLP_PHILOX_KEY_1;
    }
}

/* The same of so many counters, side by side in registers: the words of counter i are a[i] to d[i].
 * Four arrays, and not one of four rows: compilers must see that they do not overlap. */
#define MLP_PHILOX_COUNTERS 16

MLP_INLINE void mlp_philox_block(uint32_t *restrict a, uint32_t *restrict b, uint32_t *restrict c,
                                 uint32_t *restrict d, uint64_t key) {
    uint32_t key_0 = (uint32_t)key, key_1 = (uint32_t)(key >> 32);
    for (int round = 0; round < MLP_PHILOX_ROUNDS; round++) {
        for (size_t i = 0; i < MLP_PHILOX_COUNTERS; i++)
            mlp_philox_round(&a[i], &b[i], &c[i], &d[i], key_0, key_1);
        key_0 += MLP_PHILOX_KEY_0;
        key_1 += MLP_PHILOX_KEY_1;
    }
}

#endif
