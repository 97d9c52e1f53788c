/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * parallel.h - one thread pool for the process.
 *
 * The workers are made when first needed, wait for the next region by spinning for a moment and
 * then asleep, and are dropped in the child of a fork, which makes its own. Signals are left to the
 * other threads. Tasks run with the floating-point state (rounding, flushing of subnormals) of
 * the caller, whichever thread runs them.
 *
 * A task may call mlp_parallel_for, but neither fork nor mlp_parallel_shutdown.
 */
#ifndef MLP_PARALLEL_H
#define MLP_PARALLEL_H

#include <stddef.h>

/* The most threads that work on one region, the caller among them. */
#define MLP_PARALLEL_MAX 256

/*
 * One task of a region. worker_index is below the n_threads of the call and no two tasks of the
 * region that run at the same time share it: it chooses the scratch of the thread.
 */
typedef void (*mlp_task)(void *context, size_t task_index, size_t worker_index);

/*
 * Runs run(context, i, ...) for i = 0 .. n_tasks - 1, once each, in any order, on at most
 * max(1, n_threads) threads, the caller being worker 0, and returns when all are done. What the
 * tasks wrote is visible to the caller. Cannot fail: the caller takes tasks like any worker and
 * waits only for tasks that a worker has begun, so that fewer workers mean less speed and nothing
 * else.
 *
 * One thread, one task, a call from within a task and a call while another thread has the pool are
 * a plain loop on the calling thread with worker_index 0.
 */
void mlp_parallel_for(size_t n_threads, size_t n_tasks, mlp_task run, void *context);

/* Ends and joins the workers, after the region of another thread if one is running; the next region
 * makes new ones. For the end of the process, and for tests. */
void mlp_parallel_shutdown(void);

/* Workers alive, callers not counted. */
size_t mlp_parallel_n_workers(void);

/* The CPUs of the affinity mask, cut by the quota of the control groups, at least 1 and at most
 * MLP_PARALLEL_MAX. Read anew by each call. */
size_t mlp_default_n_threads(void);

#endif
