/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parallel.c - the thread pool of parallel.h.
 *
 * One region runs at a time; `busy` belongs to its caller, and so does everything below it that is
 * not atomic. Each thread of the team has a share, the tasks whose index leaves its own when divided
 * by the size of the team, so that what a task wrote lies in the caches of the thread that runs the
 * task of that index in the next region; who is done with its share takes from those of others. A
 * share is published in an atomic word:
 *
 *     bits 63..48  team, the threads that may take part: workers with index < team
 *     bits 47..0   tasks of the share that nobody has claimed yet
 *
 * A thread claims a task by decrementing the word. To have claimed one of a region is to keep that
 * region from ending, so only after a claim is the description of the region read; and whatever a
 * late worker saw before, a successful decrement is a claim in the region of that moment. No
 * generation counter is needed, and nobody waits for a worker that has claimed nothing.
 *
 * Sleeping: a thread that goes to sleep first says so, then looks again; a thread that has work for
 * it first publishes, then looks who sleeps. These four accesses are sequentially consistent, so at
 * least one of the two sees the other.
 */
#if !defined(_WIN32) && !defined(_POSIX_C_SOURCE)
#define _POSIX_C_SOURCE 200809L /* clock_gettime, pthread_sigmask */
#endif
#include "parallel.h"

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include "compiler.h"
#include "cpu.h"
#include "system_threads.h"
#if MLP_ARCH_X86_64
#include <xmmintrin.h>
#endif

/* ---- the pool ------------------------------------------------------------------------------- */

/* The regions of a training step follow each other within microseconds. A worker that sleeps costs
 * its caller a system call and begins some 20 microseconds late (Linux on an AMD EPYC). */
#define SPIN_NANOSECONDS 50000
/* The clock is read once in so many spins; it costs as much as a few pauses. */
#define SPINS_PER_CLOCK 64
/* A system that refused a thread is not asked again for so many regions. */
#define REGIONS_PER_RETRY 1000

#define TEAM_SHIFT 48
#define TASKS_MASK (((uint64_t)1 << TEAM_SHIFT) - 1)

struct worker {
    MLP_ALIGNED(MLP_ALIGNMENT) thread_handle thread;
    condition wake;
    _Atomic bool asleep;
};

static struct pool {
    MLP_ALIGNED(MLP_ALIGNMENT) _Atomic uint64_t shares[MLP_PARALLEL_MAX];
    MLP_ALIGNED(MLP_ALIGNMENT) _Atomic size_t unfinished; /* tasks of the region not yet done */
    _Atomic bool caller_asleep;
    MLP_ALIGNED(MLP_ALIGNMENT) _Atomic bool busy;
    _Atomic bool stopping;
    _Atomic int caller_cpu;      /* where the caller of the region runs */
    _Atomic size_t n_workers;    /* workers[1 .. n_workers] are alive */
    size_t regions_before_retry; /* of thread creation, after a failure */

    /* The region: written by its caller before `shares`, read after a claim. */
    mlp_task run;
    void *context;
    size_t n_tasks;
    uint32_t floating_point_state;

    mutex lock; /* for going to sleep and waking alone */
    condition finished;
    struct worker workers[MLP_PARALLEL_MAX]; /* the caller is worker 0 */
} pool = {.lock = MUTEX_INITIALIZER, .finished = CONDITION_INITIALIZER};

static size_t team_of(uint64_t share) { return (size_t)(share >> TEAM_SHIFT); }

static uint64_t unclaimed_of(uint64_t share) { return share & TASKS_MASK; }

static bool is_for(uint64_t share, size_t worker_index) {
    return unclaimed_of(share) > 0 && worker_index < team_of(share);
}

/* Tasks of the share `owner` of n_tasks. */
static size_t share_size(size_t n_tasks, size_t team, size_t owner) {
    return (n_tasks - owner + team - 1) / team;
}

static void pause_briefly(void) {
#if MLP_ARCH_X86_64
    _mm_pause();
#elif MLP_ARCH_AARCH64 && defined(__GNUC__)
    /* yield is a no-op on most cores; isb waits about as long as x86's pause. */
    __asm__ volatile("isb");
#endif
}

/* Runs one task of the share of `owner` if there is one for this worker. */
static bool run_one_task_of(size_t owner, size_t worker_index) {
    uint64_t share = atomic_load_explicit(&pool.shares[owner], memory_order_relaxed);
    do {
        if (!is_for(share, worker_index)) return false;
    } while (!atomic_compare_exchange_weak_explicit(&pool.shares[owner], &share, share - 1,
                                                    memory_order_acquire, memory_order_relaxed));
    if (worker_index != 0 && mlp_cpu_floating_point_state() != pool.floating_point_state) {
        mlp_cpu_set_floating_point_state(pool.floating_point_state);
    }
    const size_t team = team_of(share), n_own = share_size(pool.n_tasks, team, owner);
    pool.run(pool.context, owner + (n_own - (size_t)unclaimed_of(share)) * team, worker_index);
    /* The last one may not look at the region again: it is over. */
    if (atomic_fetch_sub(&pool.unfinished, 1) == 1 && atomic_load(&pool.caller_asleep)) {
        mutex_lock(&pool.lock);
        condition_signal(&pool.finished);
        mutex_unlock(&pool.lock);
    }
    return true;
}

/* The share of a worker is looked at first; those of the others are below this. */
static size_t n_owners(void) {
    return atomic_load_explicit(&pool.n_workers, memory_order_relaxed) + 1;
}

static void run_tasks(size_t worker_index) {
    while (run_one_task_of(worker_index, worker_index)) {
    }
    for (size_t owner = 0; owner < n_owners(); owner++) {
        while (run_one_task_of(owner, worker_index)) {
        }
    }
}

/* True when a worker need not wait any longer. */
static bool worker_is_wanted(size_t worker_index) {
    if (is_for(atomic_load(&pool.shares[worker_index]), worker_index)) return true;
    for (size_t owner = 0; owner < n_owners(); owner++) {
        if (is_for(atomic_load(&pool.shares[owner]), worker_index)) return true;
    }
    return atomic_load(&pool.stopping);
}

static bool region_is_finished(size_t unused) {
    (void)unused;
    return atomic_load(&pool.unfinished) == 0;
}

/* Waits, running, until the condition holds; false when it still does not after a moment. */
static bool spin_until(bool (*holds)(size_t), size_t worker_index) {
    uint64_t begin = 0;
    for (;;) {
        for (int i = 0; i < SPINS_PER_CLOCK; i++) {
            if (holds(worker_index)) return true;
            pause_briefly();
        }
        const uint64_t now = nanoseconds();
        if (begin == 0) begin = now;
        if (now - begin >= SPIN_NANOSECONDS) return false;
    }
}

static void sleep_until(bool (*holds)(size_t), size_t worker_index, condition *signalled,
                        _Atomic bool *asleep) {
    mutex_lock(&pool.lock);
    atomic_store(asleep, true);
    while (!holds(worker_index)) {
        condition_wait(signalled, &pool.lock);
    }
    atomic_store(asleep, false);
    mutex_unlock(&pool.lock);
}

/* A woken worker often finds itself on the CPU of the thread that woke it (Linux wakes near the
 * waker). It would then take tasks that it cannot run before the scheduler's next tick, and the
 * caller would wait for them: milliseconds instead of microseconds. */
static void step_aside(void) {
    const int cpu = mlp_cpu_current();
    if (cpu >= 0 && cpu == atomic_load_explicit(&pool.caller_cpu, memory_order_relaxed))
        mlp_cpu_leave(cpu);
}

static void worker_main(size_t worker_index) {
    struct worker *self = &pool.workers[worker_index];
    for (;;) {
        step_aside();
        run_tasks(worker_index);
        if (atomic_load(&pool.stopping)) return;
        if (!spin_until(worker_is_wanted, worker_index)) {
            sleep_until(worker_is_wanted, worker_index, &self->wake, &self->asleep);
        }
    }
}

/* Wakes the sleepers among workers 1 .. team - 1. */
static void wake_workers(size_t team) {
    bool locked_once = false;
    for (size_t i = 1; i < team; i++) {
        if (!atomic_load(&pool.workers[i].asleep)) continue;
        if (!locked_once) {
            /* A worker that said it sleeps holds the lock until it really waits for the signal. */
            mutex_lock(&pool.lock);
            mutex_unlock(&pool.lock);
            locked_once = true;
        }
        condition_signal(&pool.workers[i].wake);
    }
}

#if !defined(_WIN32)

/* Runs in the child of a fork, where no thread but the forking one exists: the workers, and perhaps
 * the caller of a region, are gone, and the lock may have been held by one of them. Their lock and
 * conditions cannot be destroyed properly, only written over. */
static void forget_workers(void) {
    for (size_t i = 0; i < MLP_PARALLEL_MAX; i++) {
        atomic_store(&pool.shares[i], 0);
    }
    atomic_store(&pool.unfinished, 0);
    atomic_store(&pool.caller_asleep, false);
    atomic_store(&pool.busy, false);
    atomic_store(&pool.stopping, false);
    for (size_t i = 1; i < MLP_PARALLEL_MAX; i++) {
        atomic_store(&pool.workers[i].asleep, false);
    }
    atomic_store(&pool.n_workers, 0);
    pool.regions_before_retry = 0;
    pthread_mutex_init(&pool.lock, NULL);
    condition_initialize(&pool.finished);
}

/* True when the child of a fork will drop the pool; without that promise no worker may be made.
 * Called by the owner of the pool alone. Handlers are inherited: once is enough. */
static bool prepare_for_fork(void) {
    static bool registered = false;
    if (!registered) registered = pthread_atfork(NULL, NULL, forget_workers) == 0;
    return registered;
}

#else

static bool prepare_for_fork(void) { return true; }

#endif

/* Brings the workers alive to `wanted` if the system allows it. */
static void make_workers(size_t wanted) {
    size_t n_workers = atomic_load_explicit(&pool.n_workers, memory_order_relaxed);
    if (n_workers >= wanted) return;
    if (pool.regions_before_retry > 0) {
        pool.regions_before_retry--;
        return;
    }
    for (; n_workers < wanted; n_workers++) {
        struct worker *next = &pool.workers[n_workers + 1];
        if (!prepare_for_fork() || !condition_initialize(&next->wake)) break;
        if (!thread_create(&next->thread, n_workers + 1)) {
            condition_destroy(&next->wake);
            break;
        }
    }
    if (n_workers < wanted) pool.regions_before_retry = REGIONS_PER_RETRY;
    atomic_store_explicit(&pool.n_workers, n_workers, memory_order_relaxed);
}

/* ---- the interface -------------------------------------------------------------------------- */

void mlp_parallel_for(size_t n_threads, size_t n_tasks, mlp_task run, void *context) {
    size_t team = n_threads < n_tasks ? n_threads : n_tasks;
    if (team > MLP_PARALLEL_MAX) team = MLP_PARALLEL_MAX;
    if (team <= 1 || (uint64_t)n_tasks > TASKS_MASK ||
        atomic_load_explicit(&pool.busy, memory_order_relaxed) ||
        atomic_exchange_explicit(&pool.busy, true, memory_order_acquire)) {
        for (size_t i = 0; i < n_tasks; i++) {
            run(context, i, 0);
        }
        return;
    }
    make_workers(team - 1);
    const size_t n_workers = atomic_load_explicit(&pool.n_workers, memory_order_relaxed);
    if (team > n_workers + 1) team = n_workers + 1;

    pool.run = run;
    pool.context = context;
    pool.n_tasks = n_tasks;
    pool.floating_point_state = mlp_cpu_floating_point_state();
    atomic_store_explicit(&pool.caller_cpu, mlp_cpu_current(), memory_order_relaxed);
    atomic_store_explicit(&pool.unfinished, n_tasks, memory_order_relaxed);
    for (size_t owner = team; owner-- > 0;) {
        atomic_store(&pool.shares[owner],
                     (uint64_t)team << TEAM_SHIFT | share_size(n_tasks, team, owner));
    }
    wake_workers(team);

    run_tasks(0);
    if (!spin_until(region_is_finished, 0)) {
        sleep_until(region_is_finished, 0, &pool.finished, &pool.caller_asleep);
    }
    atomic_store_explicit(&pool.busy, false, memory_order_release);
}

void mlp_parallel_shutdown(void) {
    while (atomic_exchange_explicit(&pool.busy, true, memory_order_acquire)) {
        thread_yield();
    }
    const size_t n_workers = atomic_load_explicit(&pool.n_workers, memory_order_relaxed);
    atomic_store(&pool.stopping, true);
    wake_workers(n_workers + 1);
    for (size_t i = 1; i <= n_workers; i++) {
        thread_join(pool.workers[i].thread);
        condition_destroy(&pool.workers[i].wake);
    }
    atomic_store(&pool.stopping, false);
    atomic_store_explicit(&pool.n_workers, 0, memory_order_relaxed);
    pool.regions_before_retry = 0;
    atomic_store_explicit(&pool.busy, false, memory_order_release);
}

size_t mlp_parallel_n_workers(void) {
    return atomic_load_explicit(&pool.n_workers, memory_order_relaxed);
}

size_t mlp_default_n_threads(void) {
    const size_t quota = mlp_cpu_quota("");
    size_t n_threads = mlp_cpu_count();
    if (n_threads > quota) n_threads = quota;
    return n_threads < MLP_PARALLEL_MAX ? n_threads : MLP_PARALLEL_MAX;
}
