/* SPDX-License-Identifier: BSD-3-Clause */
/* test_memory.c - blocks, arenas, size arithmetic, injected failures. */
#include "memory.h"

#include <pthread.h>
#include <stdatomic.h>
#include <stdint.h>
#include <string.h>

#include "check.h"
#include "compiler.h"
#if MLP_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

static bool aligned(const void *pointer) { return (uintptr_t)pointer % MLP_ALIGNMENT == 0; }

static void test_blocks(void) {
    const size_t sizes[] = {0, 1, 63, 64, 65, 1000, 1 << 20};
    enum { N = sizeof sizes / sizeof sizes[0] };
    void *blocks[N];
    for (size_t i = 0; i < N; i++) {
        blocks[i] = mlp_allocate(sizes[i]);
        CHECK(blocks[i] != NULL && aligned(blocks[i]));
        memset(blocks[i], 0xa5, sizes[i]);
        CHECK(mlp_memory_live_blocks() == i + 1);
    }
    for (size_t i = 0; i < N; i++) {
        mlp_release(blocks[i]);
    }
    mlp_release(NULL);
    CHECK(mlp_memory_live_blocks() == 0);
}

static void test_too_large(void) {
    CHECK(mlp_allocate(SIZE_MAX) == NULL);
    CHECK(mlp_allocate((size_t)PTRDIFF_MAX) == NULL);
    CHECK(mlp_allocate((size_t)PTRDIFF_MAX + 1) == NULL);
    CHECK(mlp_memory_live_blocks() == 0);
}

static void test_sizes(void) {
    size_t result = 7;
    CHECK(mlp_size_multiply(0, SIZE_MAX, &result) && result == 0);
    CHECK(mlp_size_multiply(SIZE_MAX, 0, &result) && result == 0);
    CHECK(mlp_size_multiply(SIZE_MAX, 1, &result) && result == SIZE_MAX);
    CHECK(mlp_size_multiply(SIZE_MAX / 2, 2, &result) && result == SIZE_MAX - 1);
    result = 7;
    CHECK(!mlp_size_multiply(SIZE_MAX / 2 + 1, 2, &result) && result == 7);
    CHECK(!mlp_size_multiply(SIZE_MAX, SIZE_MAX, &result) && result == 7);
    CHECK(mlp_size_add(SIZE_MAX - 1, 1, &result) && result == SIZE_MAX);
    result = 7;
    CHECK(!mlp_size_add(SIZE_MAX, 1, &result) && result == 7);
}

enum { N_ARRAYS = 5 };
static const size_t array_counts[N_ARRAYS] = {1, 0, 16, 17, 1000};

static void lay_out(mlp_arena *arena, unsigned char *arrays[N_ARRAYS]) {
    for (size_t i = 0; i < N_ARRAYS; i++) {
        arrays[i] = mlp_arena_carve(arena, array_counts[i], sizeof(float));
    }
}

static void test_arena(void) {
    unsigned char *arrays[N_ARRAYS];
    mlp_arena arena = {0};
    lay_out(&arena, arrays);
    CHECK(mlp_memory_live_blocks() == 0);
    CHECK(mlp_arena_reserve(&arena));
    CHECK(mlp_memory_live_blocks() == 1);
    lay_out(&arena, arrays);
    CHECK(arena.used == arena.capacity);
    for (size_t i = 0; i < N_ARRAYS; i++) {
        CHECK(arrays[i] != NULL && aligned(arrays[i]));
        memset(arrays[i], (int)i + 1, array_counts[i] * sizeof(float));
    }
    for (size_t i = 0; i < N_ARRAYS; i++) {
        for (size_t j = 0; j < array_counts[i] * sizeof(float); j++) {
            CHECK(arrays[i][j] == i + 1);
        }
    }
#if MLP_ADDRESS_SANITIZER
    for (size_t i = 0; i < N_ARRAYS; i++) {
        const unsigned char *end = arrays[i] + array_counts[i] * sizeof(float);
        CHECK(__asan_address_is_poisoned(end));
    }
#endif
    mlp_arena_release(&arena);
    CHECK(mlp_memory_live_blocks() == 0);
    mlp_arena_release(&arena);

    /* Released, it counts again; nothing counted is a valid arena too. */
    CHECK(mlp_arena_reserve(&arena));
    mlp_arena_release(&arena);
    CHECK(mlp_memory_live_blocks() == 0);
}

static void test_arena_overflow(void) {
    mlp_arena arena = {0};
    CHECK(mlp_arena_carve(&arena, SIZE_MAX / 2, 4) == NULL);
    CHECK(mlp_arena_carve(&arena, 1, 4) == NULL);
    CHECK(!mlp_arena_reserve(&arena));

    mlp_arena_carve(&arena, SIZE_MAX, 1); /* fits in size_t, but not when rounded up */
    CHECK(!mlp_arena_reserve(&arena));

    mlp_arena_carve(&arena, SIZE_MAX / 2, 1);
    mlp_arena_carve(&arena, SIZE_MAX / 2, 1);
    mlp_arena_carve(&arena, SIZE_MAX / 2, 1);
    CHECK(!mlp_arena_reserve(&arena));
    CHECK(mlp_memory_live_blocks() == 0);
}

static void test_injected_failures(void) {
    void *blocks[4];
    for (long n = 0; n < 4; n++) {
        for (int once = 0; once < 2; once++) {
            mlp_memory_fail_after(n, once);
            for (long i = 0; i < 4; i++) {
                blocks[i] = mlp_allocate(8);
                CHECK((blocks[i] == NULL) == (once ? i == n : i >= n));
            }
            mlp_memory_fail_after(-1, false);
            for (long i = 0; i < 4; i++) {
                mlp_release(blocks[i]);
            }
            CHECK(mlp_memory_live_blocks() == 0);
        }
    }

    mlp_arena arena = {0};
    mlp_arena_carve(&arena, 10, 8);
    mlp_memory_fail_after(0, true);
    CHECK(!mlp_arena_reserve(&arena));
    CHECK(mlp_memory_live_blocks() == 0 && arena.block == NULL);

    void *block = mlp_allocate(8);
    CHECK(block != NULL);
    mlp_release(block);
}

static _Atomic int n_failures;

static void *allocate_many(void *unused) {
    for (int i = 0; i < 1000; i++) {
        void *block = mlp_allocate(8);
        if (block == NULL) atomic_fetch_add(&n_failures, 1);
        mlp_release(block);
    }
    return unused;
}

/* Whichever thread it hits, a failure that comes once comes once. */
static void test_injected_failure_among_threads(void) {
    enum { N = 4 };
    pthread_t threads[N];
    mlp_memory_fail_after(1500, true);
    for (int i = 0; i < N; i++) {
        CHECK(pthread_create(&threads[i], NULL, allocate_many, NULL) == 0);
    }
    for (int i = 0; i < N; i++) {
        CHECK(pthread_join(threads[i], NULL) == 0);
    }
    CHECK(n_failures == 1);
    CHECK(mlp_memory_live_blocks() == 0);
}

int main(void) {
    test_blocks();
    test_too_large();
    test_sizes();
    test_arena();
    test_arena_overflow();
    test_injected_failures();
    test_injected_failure_among_threads();
    return 0;
}
