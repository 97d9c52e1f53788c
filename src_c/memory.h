/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memory.h - every byte that the C side owns comes from here.
 *
 * Nothing on the hot path allocates: a workspace is laid out in one arena before the first batch
 * and reused. All functions may be called from any thread; an arena belongs to one thread at a
 * time.
 */
#ifndef MLP_MEMORY_H
#define MLP_MEMORY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "compiler.h"

/* A new block of `bytes`, uninitialised, aligned to MLP_ALIGNMENT. Zero bytes give a valid block.
 * NULL when there is no memory or `bytes` is above PTRDIFF_MAX. */
void *mlp_allocate(size_t bytes);

/* Gives back a block of mlp_allocate; NULL is allowed. */
void mlp_release(void *block);

/* *product = a * b; false, with *product untouched, when that is above SIZE_MAX. */
bool mlp_size_multiply(size_t a, size_t b, size_t *product);

/* a * b, or a number that no allocation grants: the arena reports the failure. */
MLP_INLINE size_t mlp_product_or_huge(size_t a, size_t b) {
    size_t product;
    return mlp_size_multiply(a, b, &product) ? product : SIZE_MAX;
}

/* *sum = a + b; false, with *sum untouched, when that is above SIZE_MAX. */
bool mlp_size_add(size_t a, size_t b, size_t *sum);

/* ---- arena: many arrays in one block ----------------------------------------------------------
 *
 * The same layout function runs twice: first it counts, then, once the arena is reserved, it
 * carves. There is no second list of sizes to keep in step with the first.
 *
 *     static void lay_out(workspace *w, mlp_arena *arena)
 *     {
 *         w->output = mlp_arena_carve(arena, n_samples * n_outputs, sizeof(float));
 *         w->column = mlp_arena_carve(arena, n_samples, sizeof(double));
 *     }
 *
 *     mlp_arena arena = {0};
 *     lay_out(w, &arena);
 *     if (!mlp_arena_reserve(&arena)) return MLP_NO_MEMORY;
 *     lay_out(w, &arena);
 *     ...
 *     mlp_arena_release(&arena);
 */
typedef struct mlp_arena {
    unsigned char *block; /* NULL while counting */
    size_t capacity;      /* bytes in block */
    size_t used;          /* bytes counted, then bytes carved */
    bool overflow;        /* a size did not fit in size_t while counting */
} mlp_arena;

/* Counting: adds room for `count` items of `item_bytes` and returns NULL. Carving: returns the
 * array, uninitialised, aligned to MLP_ALIGNMENT. Zero items give a pointer that is not NULL.
 * Built with AddressSanitizer, arrays are parted by memory that may not be touched. */
void *mlp_arena_carve(mlp_arena *arena, size_t count, size_t item_bytes);

/* Ends counting: allocates what was counted. False when there is no memory or a size overflowed;
 * the arena then owns nothing. */
bool mlp_arena_reserve(mlp_arena *arena);

/* Gives the block back; the arena is empty and counts again. Allowed on an empty arena. */
void mlp_arena_release(mlp_arena *arena);

/* ---- for tests ------------------------------------------------------------------------------ */

/* Blocks allocated and not yet released, in the whole process. */
size_t mlp_memory_live_blocks(void);

/* The next n allocations of the process succeed and the one after them fails: that one alone when
 * `once`, else it and all that follow. n < 0: no injected failure, the state at the start.
 * A test calls the code under test with n = 0, 1, 2, ... until it succeeds. */
void mlp_memory_fail_after(long n, bool once);

#endif
