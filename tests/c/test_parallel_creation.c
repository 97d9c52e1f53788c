/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * test_parallel_creation.c - workers that cannot be made, and workers that are made but do not get
 * to run, cost speed and nothing else. The pool is compiled into this file with a pthread_create
 * that the test controls.
 */
#define _POSIX_C_SOURCE 200809L
#include <pthread.h>
#include <stdatomic.h>
#include <stdbool.h>

static int controlled_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                     void *(*entry)(void *), void *argument);
#define pthread_create controlled_pthread_create
#include "parallel.c"
#undef pthread_create

#include <unistd.h>

#include "check.h"
#include "rendezvous.h"

static int n_attempts;
static int n_allowed; /* creations that succeed before one fails */
static _Atomic bool gate_is_closed;

static void *enter_through_gate(void *worker_index) {
    while (atomic_load(&gate_is_closed)) {
        sched_yield();
    }
    return thread_entry(worker_index);
}

static int controlled_pthread_create(pthread_t *thread, const pthread_attr_t *attributes,
                                     void *(*entry)(void *), void *argument) {
    CHECK(entry == thread_entry);
    n_attempts++;
    if (n_allowed-- <= 0) return 11; /* EAGAIN */
    return pthread_create(thread, attributes, enter_through_gate, argument);
}

static void add_task(void *context, size_t task_index, size_t worker_index) {
    ((size_t *)context)[worker_index] += task_index;
}

static void check_region(void) {
    size_t sums[4] = {0, 0, 0, 0};
    mlp_parallel_for(4, 100, add_task, sums);
    CHECK(sums[0] + sums[1] + sums[2] + sums[3] == 4950);
}

static void test_creation_fails(int allowed) {
    n_attempts = 0;
    n_allowed = allowed;
    check_region();
    CHECK(n_attempts == allowed + 1);
    CHECK(mlp_parallel_n_workers() == (size_t)allowed);
    for (int i = 0; i < REGIONS_PER_RETRY; i++) { /* not asked again in each region */
        check_region();
    }
    CHECK(n_attempts == allowed + 1);
    n_allowed = 3;
    check_region();
    CHECK(mlp_parallel_n_workers() == 3);
    mlp_parallel_shutdown();
}

/* Ends only if the caller waits for no worker that has not begun. */
static void test_workers_start_late(void) {
    n_allowed = 3;
    atomic_store(&gate_is_closed, true);
    for (int i = 0; i < 10; i++) {
        check_region();
    }
    CHECK(mlp_parallel_n_workers() == 3);
    atomic_store(&gate_is_closed, false);
    check_region();
    mlp_parallel_shutdown();
}

int main(void) {
    alarm(60); /* a hang is a failure */
    test_creation_fails(0);
    test_creation_fails(2);
    test_workers_start_late();
    return 0;
}
