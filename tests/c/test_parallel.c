/* SPDX-License-Identifier: BSD-3-Clause */
/* test_parallel.c - each task once, workers apart, nesting, concurrent callers, shutdown. */
#define _POSIX_C_SOURCE 200809L
#include "parallel.h"

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <string.h>
#include <unistd.h>

#include "check.h"
#include "compiler.h"
#include "cpu.h"
#include "rendezvous.h"

enum { MOST_TASKS = 1000 };

typedef struct region {
    size_t n_threads;
    _Atomic int runs[MOST_TASKS];
    _Atomic bool occupied[MLP_PARALLEL_MAX + 64];
    size_t output[MOST_TASKS]; /* not atomic: the return of the region must make it visible */
} region;

static void count_run(void *context, size_t task_index, size_t worker_index) {
    region *r = context;
    CHECK(worker_index < (r->n_threads == 0 ? 1 : r->n_threads));
    CHECK(!atomic_exchange(&r->occupied[worker_index], true));
    atomic_fetch_add(&r->runs[task_index], 1);
    sched_yield(); /* so that others get a chance to collide */
    r->output[task_index] = task_index + 1;
    atomic_store(&r->occupied[worker_index], false);
}

static void test_each_task_once(void) {
    const size_t threads[] = {0, 1, 2, 3, 4, 9, MLP_PARALLEL_MAX + 50, 2};
    const size_t tasks[] = {0, 1, 2, 3, 7, 64, MOST_TASKS};
    static region r;
    for (size_t i = 0; i < sizeof threads / sizeof threads[0]; i++) {
        for (size_t j = 0; j < sizeof tasks / sizeof tasks[0]; j++) {
            memset(&r, 0, sizeof r);
            r.n_threads = threads[i];
            mlp_parallel_for(threads[i], tasks[j], count_run, &r);
            for (size_t k = 0; k < MOST_TASKS; k++) {
                CHECK(r.runs[k] == (k < tasks[j]));
                CHECK(r.output[k] == (k < tasks[j] ? k + 1 : 0));
            }
        }
    }
    CHECK(mlp_parallel_n_workers() == MLP_PARALLEL_MAX - 1);
}

static void meet_in_task(void *context, size_t task_index, size_t worker_index) {
    (void)task_index, (void)worker_index;
    meet(context);
}

/* Workers that took part in a wide region must keep out of a narrow one that follows at once. */
static void test_changing_teams(void) {
    enum { N_REGIONS = 300, N_TASKS = 16 };
    static region r = {.n_threads = 2};
    for (int i = 0; i < N_REGIONS; i++) {
        rendezvous wide = {.expected = 6};
        mlp_parallel_for(6, 6, meet_in_task, &wide);
        mlp_parallel_for(2, N_TASKS, count_run, &r);
    }
    for (size_t i = 0; i < N_TASKS; i++) {
        CHECK(r.runs[i] == N_REGIONS);
    }
    mlp_parallel_shutdown();
}

/* Tasks that wait for each other: they end only if as many threads run them, at first and again
 * when the workers have gone to sleep. */
static void test_threads_run_together(void) {
    for (size_t n_threads = 2; n_threads <= 5; n_threads++) {
        for (int repeat = 0; repeat < 2; repeat++) {
            rendezvous r = {.expected = n_threads};
            mlp_parallel_for(n_threads, n_threads, meet_in_task, &r);
            CHECK(mlp_parallel_n_workers() == n_threads - 1);
            if (repeat == 0) usleep_at_least(2000);
        }
    }
}

typedef struct nested {
    pthread_t thread;
    _Atomic size_t *total;
} nested;

static void inner_task(void *context, size_t task_index, size_t worker_index) {
    const nested *n = context;
    CHECK(worker_index == 0);
    CHECK(pthread_equal(pthread_self(), n->thread));
    atomic_fetch_add(n->total, task_index);
}

static void outer_task(void *context, size_t task_index, size_t worker_index) {
    (void)task_index, (void)worker_index;
    nested n = {pthread_self(), context};
    mlp_parallel_for(4, 10, inner_task, &n);
}

static void test_nested_regions_run_inline(void) {
    _Atomic size_t total = 0;
    mlp_parallel_for(3, 100, outer_task, &total);
    CHECK(total == 100 * 45);
}

enum { N_CALLERS = 6 };

static void add_task(void *context, size_t task_index, size_t worker_index) {
    size_t *sums = context;
    sums[worker_index] += task_index; /* not atomic: no two tasks of a region share a worker */
}

static void *call_often(void *unused) {
    for (int i = 0; i < 300; i++) {
        size_t sums[4] = {0, 0, 0, 0};
        mlp_parallel_for(4, 20, add_task, sums);
        CHECK(sums[0] + sums[1] + sums[2] + sums[3] == 190);
    }
    return unused;
}

static void test_concurrent_callers(void) {
    pthread_t callers[N_CALLERS];
    for (int i = 0; i < N_CALLERS; i++) {
        CHECK(pthread_create(&callers[i], NULL, call_often, NULL) == 0);
    }
    for (int i = 0; i < 20; i++) { /* ends the workers between two regions of the others */
        mlp_parallel_shutdown();
    }
    for (int i = 0; i < N_CALLERS; i++) {
        CHECK(pthread_join(callers[i], NULL) == 0);
    }
}

static void test_shutdown_and_reuse(void) {
    for (int i = 0; i < 3; i++) {
        rendezvous r = {.expected = 3};
        mlp_parallel_for(3, 3, meet_in_task, &r);
        CHECK(mlp_parallel_n_workers() >= 2);
        if (i == 1) usleep_at_least(2000); /* asleep when they are told to end */
        mlp_parallel_shutdown();
        CHECK(mlp_parallel_n_workers() == 0);
        mlp_parallel_shutdown();
    }
}

static void test_tiny_regions(long n_regions) {
    size_t sums[2] = {0, 0};
    for (long i = 0; i < n_regions; i++) {
        mlp_parallel_for(2, 2, add_task, sums);
    }
    CHECK(sums[0] + sums[1] == (size_t)n_regions);
}

/* Room for one mebibyte below a task, page by page. */
static void use_stack(size_t bytes) {
    volatile char frame[16384];
    frame[0] = 1;
    if (bytes > sizeof frame) use_stack(bytes - sizeof frame);
    frame[sizeof frame - 1] = frame[0];
}

static void inspect_thread(void *context, size_t task_index, size_t worker_index) {
    (void)task_index;
    meet(context);
#if defined(_WIN32)
    (void)worker_index;
#else
    sigset_t blocked;
    CHECK(pthread_sigmask(SIG_SETMASK, NULL, &blocked) == 0);
    CHECK(sigismember(&blocked, SIGINT) == (worker_index != 0));
    CHECK(sigismember(&blocked, SIGALRM) == (worker_index != 0));
    CHECK(sigismember(&blocked, SIGSEGV) == 0);
#endif
    use_stack((size_t)1 << 20);
}

static void test_workers_block_signals_and_have_stack(void) {
    mlp_parallel_shutdown();
    rendezvous r = {.expected = 3};
    mlp_parallel_for(3, 3, inspect_thread, &r);
}

typedef struct state_check {
    rendezvous meeting;
    uint32_t expected;
} state_check;

static void check_state(void *context, size_t task_index, size_t worker_index) {
    (void)task_index, (void)worker_index;
    state_check *c = context;
    meet(&c->meeting);
    CHECK(mlp_cpu_floating_point_state() == c->expected);
}

/* A caller that flushes subnormals must get the same bits from every worker. */
static void test_floating_point_state_is_the_callers(void) {
    const uint32_t flush_to_zero = MLP_ARCH_X86_64 ? 1u << 15 : MLP_ARCH_AARCH64 ? 1u << 24 : 0;
    const uint32_t before = mlp_cpu_floating_point_state();
    for (int i = 0; i < 3; i++) {
        state_check c = {.meeting.expected = 3,
                         .expected = i == 1 ? before | flush_to_zero : before};
        mlp_cpu_set_floating_point_state(c.expected);
        mlp_parallel_for(3, 3, check_state, &c);
        CHECK(mlp_cpu_floating_point_state() == c.expected);
    }
}

static void test_default_n_threads(void) {
    const size_t n_threads = mlp_default_n_threads();
    CHECK(n_threads >= 1 && n_threads <= mlp_cpu_count() && n_threads <= MLP_PARALLEL_MAX);
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
#if !defined(_WIN32)
    alarm(60); /* a hang is a failure */
#endif
    test_each_task_once();
    mlp_parallel_shutdown();
    test_changing_teams();
    test_threads_run_together();
    test_nested_regions_run_inline();
    test_concurrent_callers();
    test_shutdown_and_reuse();
    test_tiny_regions(atol(argv[1]));
    test_workers_block_signals_and_have_stack();
    test_floating_point_state_is_the_callers();
    test_default_n_threads();
    return 0;
}
