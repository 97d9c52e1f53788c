/* SPDX-License-Identifier: BSD-3-Clause */
/* test_parallel_fork.c - the child of a fork has a pool of its own, whatever the parent was doing. */
#define _POSIX_C_SOURCE 200809L
#include "parallel.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/types.h>
#include <sys/wait.h>
#include <unistd.h>

#include "check.h"
#include "rendezvous.h"

static void meet_in_task(void *context, size_t task_index, size_t worker_index) {
    (void)task_index, (void)worker_index;
    meet(context);
}

/* Ends only if three threads, two of them workers, take part. */
static void use_pool(void) {
    rendezvous r = {.expected = 3};
    mlp_parallel_for(3, 3, meet_in_task, &r);
    CHECK(mlp_parallel_n_workers() >= 2);
}

static void check_child(bool fork_again);

static void fork_and_check(bool fork_again) {
    const pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        check_child(fork_again);
        _exit(0);
    }
    int status = 0;
    CHECK(waitpid(child, &status, 0) == child);
    CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void check_child(bool fork_again) {
    alarm(20); /* not inherited; a child that hangs is killed and counts as failed */
    CHECK(mlp_parallel_n_workers() == 0);
    use_pool();
    if (fork_again) fork_and_check(false);
    usleep_at_least(1000); /* asleep when they are told to end */
    mlp_parallel_shutdown();
    CHECK(mlp_parallel_n_workers() == 0);
    use_pool();
}

static void test_fork_before_and_after_use(void) {
    fork_and_check(true);
    use_pool();
    fork_and_check(true); /* the workers spin */
    usleep_at_least(2000);
    fork_and_check(true); /* the workers sleep */
    use_pool();
}

static _Atomic size_t n_blocked;
static _Atomic bool released;

static void block_in_task(void *context, size_t task_index, size_t worker_index) {
    (void)context, (void)task_index, (void)worker_index;
    atomic_fetch_add(&n_blocked, 1);
    while (!atomic_load(&released)) {
        sched_yield();
    }
}

static void *run_blocked_region(void *unused) {
    mlp_parallel_for(3, 3, block_in_task, NULL);
    return unused;
}

/* All three threads of a region are inside their tasks while this one forks. */
static void test_fork_during_a_region(void) {
    pthread_t caller;
    CHECK(pthread_create(&caller, NULL, run_blocked_region, NULL) == 0);
    while (atomic_load(&n_blocked) < 3) {
        sched_yield();
    }
    fork_and_check(true);
    atomic_store(&released, true);
    CHECK(pthread_join(caller, NULL) == 0);
    use_pool();
}

static _Atomic bool finished;

static void add_task(void *context, size_t task_index, size_t worker_index) {
    ((size_t *)context)[worker_index] += task_index;
}

static void *run_regions(void *unused) {
    for (int i = 0; !atomic_load(&finished); i++) {
        size_t sums[3] = {0, 0, 0};
        mlp_parallel_for(3, 10, add_task, sums);
        CHECK(sums[0] + sums[1] + sums[2] == 45);
        if (i % 8 == 0) usleep_at_least(100); /* so that forks meet waking and falling asleep too */
        if (i % 64 == 0) mlp_parallel_shutdown();
    }
    return unused;
}

/* Forks at any moment of another thread's regions. */
static void test_fork_at_any_moment(int n_forks) {
    pthread_t caller;
    CHECK(pthread_create(&caller, NULL, run_regions, NULL) == 0);
    for (int i = 0; i < n_forks; i++) {
        fork_and_check(false);
    }
    atomic_store(&finished, true);
    CHECK(pthread_join(caller, NULL) == 0);
    use_pool();
}

int main(int argc, char **argv) {
    CHECK(argc == 2);
    alarm(60);
    test_fork_before_and_after_use();
    test_fork_during_a_region();
    test_fork_at_any_moment(atoi(argv[1]));
    return 0;
}
