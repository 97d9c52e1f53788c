/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.c - aligned blocks, arenas and injected failures; see memory.h.
 */
#if !defined(_DEFAULT_SOURCE)
#define _DEFAULT_SOURCE /* posix_memalign, madvise */
#endif
#include "memory.h"

#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#if defined(_WIN32)
#include <malloc.h>
#elif defined(__linux__)
#include <sys/mman.h>
#endif

#include "compiler.h"
#if MLP_ADDRESS_SANITIZER
#include <sanitizer/asan_interface.h>
#endif

/* Blocks of at least so many bytes ask for pages of that size: with pages of 4 KiB, the panels of a
 * wide net are beyond the reach of the translation buffers (4096 entries on Zen 5: 16 MiB). */
#define LARGE_PAGE ((size_t)2 << 20)

static _Atomic size_t live_blocks;
static _Atomic long allocations_before_failure = -1;
static _Atomic bool fail_only_once;

/* Counts down; true when this allocation must fail. */
static bool injected_failure(void) {
    long left = atomic_load_explicit(&allocations_before_failure, memory_order_relaxed);
    while (left >= 0) {
        const bool fails = left == 0;
        const bool once = atomic_load_explicit(&fail_only_once, memory_order_relaxed);
        if (fails && !once) {
            return true;
        }
        /* From 0 this goes to -1, the state without failures. */
        if (atomic_compare_exchange_weak_explicit(&allocations_before_failure, &left, left - 1,
                                                  memory_order_relaxed, memory_order_relaxed)) {
            return fails;
        }
    }
    return false;
}

void *mlp_allocate(size_t bytes) {
    if (bytes > (size_t)PTRDIFF_MAX - MLP_ALIGNMENT || injected_failure()) {
        return NULL;
    }
    bytes += bytes == 0;
#if defined(_WIN32)
    void *block = _aligned_malloc(bytes, MLP_ALIGNMENT);
#else
    /* Not C11's aligned_alloc: that wants the size rounded up, and AddressSanitizer would then miss
     * the first bytes past the end. */
    void *block = NULL;
    const bool large = bytes >= 2 * LARGE_PAGE;
    if (posix_memalign(&block, large ? LARGE_PAGE : MLP_ALIGNMENT, bytes) != 0) {
        return NULL;
    }
#if defined(MADV_HUGEPAGE)
    /* A wish: where it is refused, all goes on with small pages. */
    if (large) madvise(block, bytes, MADV_HUGEPAGE);
#endif
#endif
    if (block != NULL) {
        atomic_fetch_add_explicit(&live_blocks, 1, memory_order_relaxed);
    }
    return block;
}

void mlp_release(void *block) {
    if (block == NULL) {
        return;
    }
    atomic_fetch_sub_explicit(&live_blocks, 1, memory_order_relaxed);
#if defined(_WIN32)
    _aligned_free(block);
#else
    free(block);
#endif
}

bool mlp_size_multiply(size_t a, size_t b, size_t *product) {
    if (b != 0 && a > SIZE_MAX / b) {
        return false;
    }
    *product = a * b;
    return true;
}

bool mlp_size_add(size_t a, size_t b, size_t *sum) {
    if (a > SIZE_MAX - b) {
        return false;
    }
    *sum = a + b;
    return true;
}

/* Bytes that an array takes in an arena: whole cache lines, so that the next one is aligned and no
 * line is shared by two arrays that two threads write; with AddressSanitizer a red zone of at least
 * one more line. */
static bool room_for(size_t count, size_t item_bytes, size_t *bytes, size_t *room) {
    const size_t extra = MLP_ALIGNMENT - 1 + (MLP_ADDRESS_SANITIZER ? MLP_ALIGNMENT : 0);
    if (!mlp_size_multiply(count, item_bytes, bytes) || !mlp_size_add(*bytes, extra, room)) {
        return false;
    }
    *room -= *room % MLP_ALIGNMENT;
    return true;
}

void *mlp_arena_carve(mlp_arena *arena, size_t count, size_t item_bytes) {
    size_t bytes = 0;
    size_t room = 0;
    const size_t offset = arena->used;
    if (arena->overflow || !room_for(count, item_bytes, &bytes, &room) ||
        !mlp_size_add(offset, room, &arena->used)) {
        arena->overflow = true;
        return NULL;
    }
    if (arena->block == NULL) {
        return NULL;
    }
    MLP_ASSERT(arena->used <= arena->capacity);
#if MLP_ADDRESS_SANITIZER
    /* An arena that is carved anew still has the red zones of its former layout. */
    __asan_unpoison_memory_region(arena->block + offset, bytes);
    __asan_poison_memory_region(arena->block + offset + bytes, room - bytes);
#endif
    return arena->block + offset;
}

bool mlp_arena_reserve(mlp_arena *arena) {
    const size_t counted = arena->used;
    const bool overflow = arena->overflow;
    *arena = (mlp_arena){0};
    if (overflow) {
        return false;
    }
    arena->block = mlp_allocate(counted);
    if (arena->block == NULL) {
        return false;
    }
    arena->capacity = counted;
    return true;
}

void mlp_arena_release(mlp_arena *arena) {
#if MLP_ADDRESS_SANITIZER
    __asan_unpoison_memory_region(arena->block, arena->capacity);
#endif
    mlp_release(arena->block);
    *arena = (mlp_arena){0};
}

size_t mlp_memory_live_blocks(void) {
    return atomic_load_explicit(&live_blocks, memory_order_relaxed);
}

void mlp_memory_fail_after(long n, bool once) {
    atomic_store_explicit(&fail_only_once, once, memory_order_relaxed);
    atomic_store_explicit(&allocations_before_failure, n < 0 ? -1 : n, memory_order_relaxed);
}
