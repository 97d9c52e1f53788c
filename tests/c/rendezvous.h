/* SPDX-License-Identifier: BSD-3-Clause */
/* rendezvous.h - threads that wait for each other; needs _POSIX_C_SOURCE before any header. */
#ifndef MLP_TESTS_RENDEZVOUS_H
#define MLP_TESTS_RENDEZVOUS_H

#include <sched.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

typedef struct rendezvous {
    size_t expected;
    _Atomic size_t arrived;
} rendezvous;

/* Returns when `expected` threads have called it; a test that hangs here is ended by its alarm. */
static inline void meet(rendezvous *r) {
    atomic_fetch_add(&r->arrived, 1);
    while (atomic_load(&r->arrived) < r->expected) {
        sched_yield();
    }
}

static inline void usleep_at_least(long microseconds) {
    const struct timespec pause = {0, microseconds * 1000};
    nanosleep(&pause, NULL);
}

#endif
