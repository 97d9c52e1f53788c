/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * system_threads.h - threads, locks and a clock of the system, in the words of parallel.c, which alone
 * includes it.
 */
#ifndef MLP_SYSTEM_THREADS_H
#define MLP_SYSTEM_THREADS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for any kernel in a debug build: the defaults go from 128 KiB (musl) over what the program's
 * linker chose (Windows) to 8 MiB. */
#define WORKER_STACK_BYTES ((size_t)2 << 20)

/* parallel.c: what a worker runs. */
static void worker_main(size_t worker_index);

#if defined(_WIN32)

/* Tested with mingw-w64 under Wine, not yet on Windows itself. */
#include <windows.h>

typedef HANDLE thread_handle;
typedef SRWLOCK mutex;
typedef CONDITION_VARIABLE condition;
#define MUTEX_INITIALIZER     SRWLOCK_INIT
#define CONDITION_INITIALIZER CONDITION_VARIABLE_INIT

static void mutex_lock(mutex *m) { AcquireSRWLockExclusive(m); }
static void mutex_unlock(mutex *m) { ReleaseSRWLockExclusive(m); }
static bool condition_initialize(condition *c) {
    InitializeConditionVariable(c);
    return true;
}
static void condition_destroy(condition *c) { (void)c; }
static void condition_wait(condition *c, mutex *m) { SleepConditionVariableSRW(c, m, INFINITE, 0); }
static void condition_signal(condition *c) { WakeConditionVariable(c); }
static void thread_yield(void) { SwitchToThread(); }

static uint64_t nanoseconds(void) {
    LARGE_INTEGER now, frequency;
    QueryPerformanceCounter(&now);
    QueryPerformanceFrequency(&frequency);
    return (uint64_t)((double)now.QuadPart * 1e9 / (double)frequency.QuadPart);
}

static DWORD WINAPI thread_entry(LPVOID worker_index) {
    worker_main((size_t)worker_index);
    return 0;
}

static bool thread_create(thread_handle *thread, size_t worker_index) {
    *thread = CreateThread(NULL, WORKER_STACK_BYTES, thread_entry, (LPVOID)worker_index,
                           STACK_SIZE_PARAM_IS_A_RESERVATION, NULL);
    return *thread != NULL;
}

static void thread_join(thread_handle thread) {
    WaitForSingleObject(thread, INFINITE);
    CloseHandle(thread);
}

#else

#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <time.h>

typedef pthread_t thread_handle;
typedef pthread_mutex_t mutex;
typedef pthread_cond_t condition;
#define MUTEX_INITIALIZER     PTHREAD_MUTEX_INITIALIZER
#define CONDITION_INITIALIZER PTHREAD_COND_INITIALIZER

static void mutex_lock(mutex *m) { pthread_mutex_lock(m); }
static void mutex_unlock(mutex *m) { pthread_mutex_unlock(m); }
static bool condition_initialize(condition *c) { return pthread_cond_init(c, NULL) == 0; }
static void condition_destroy(condition *c) { pthread_cond_destroy(c); }
static void condition_wait(condition *c, mutex *m) { pthread_cond_wait(c, m); }
static void condition_signal(condition *c) { pthread_cond_signal(c); }
static void thread_yield(void) { sched_yield(); }

static uint64_t nanoseconds(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static void *thread_entry(void *worker_index) {
    worker_main((size_t)worker_index);
    return NULL;
}

static bool thread_create(thread_handle *thread, size_t worker_index) {
    /* A worker inherits a mask in which everything is blocked but faults: those end the process
     * wherever they happen, and a handler such as Python's faulthandler should report them. */
    const int faults[] = {SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT, SIGTRAP, SIGSYS};
    sigset_t blocked, before;
    sigfillset(&blocked);
    for (size_t i = 0; i < sizeof faults / sizeof faults[0]; i++) {
        sigdelset(&blocked, faults[i]);
    }
    pthread_attr_t attributes;
    if (pthread_attr_init(&attributes) != 0) return false;
    pthread_attr_setstacksize(&attributes, WORKER_STACK_BYTES);
    pthread_sigmask(SIG_SETMASK, &blocked, &before);
    const int error = pthread_create(thread, &attributes, thread_entry, (void *)worker_index);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    return error == 0;
}

static void thread_join(thread_handle thread) { pthread_join(thread, NULL); }

#endif

#endif
