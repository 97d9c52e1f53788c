/* SPDX-License-Identifier: BSD-3-Clause
 *
 * What this machine can do at most: fused multiply-adds from registers, and reading or updating a
 * stretch of memory. Every figure of the benchmarks is a share of one of these.
 *
 * Compiled for the machine it runs on (-march=native), since a peak that leaves out the widest
 * vectors would flatter everything that is compared with it. Vectors are the compiler's own
 * (vector_size), so that one source serves AVX-512, AVX2 and NEON. Needs POSIX threads.
 */

#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#if defined(__AVX512F__)
#define VECTOR_BYTES   64
#define N_ACCUMULATORS 24 /* of 32 registers */
#elif defined(__AVX__)
#define VECTOR_BYTES   32
#define N_ACCUMULATORS 12 /* of 16 registers; two units with a latency of 5 need 10 */
#else
#define VECTOR_BYTES   16
#define N_ACCUMULATORS 24 /* of NEON's 32; four units with a latency of 4 need 16 */
#endif
#define N_FLOATS    (VECTOR_BYTES / 4)
#define MAX_THREADS 256

typedef float vector __attribute__((vector_size(VECTOR_BYTES)));

typedef struct job job;
typedef float (*work_function)(const job *);

/* What one thread does, and when it did it. */
struct job {
    work_function work;
    vector *data; /* its own stretch */
    size_t n_vectors;
    size_t n_repeats;
    volatile int *n_waiting; /* threads that have yet to arrive; the start is common */
    double start, end;
    float result; /* kept, so that no work can be optimised away */
    pthread_t thread;
};

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static float sum_of(vector v) {
    float sum = 0.0f;
    for (int i = 0; i < N_FLOATS; i++) {
        sum += v[i];
    }
    return sum;
}

static vector filled(float value) {
    vector v;
    for (int i = 0; i < N_FLOATS; i++) {
        v[i] = value;
    }
    return v;
}

/* Independent chains of a = a * m + c, which tend to 1: neither overflow nor subnormal numbers. */
static float multiply_add(const job *own) {
    vector factor = filled(0.5f);
    vector term = filled(0.5f);
    vector chains[N_ACCUMULATORS];
    for (int i = 0; i < N_ACCUMULATORS; i++) {
        chains[i] = filled((float)i);
    }
    for (size_t repeat = 0; repeat < own->n_repeats; repeat++) {
#pragma GCC unroll 24
        for (int i = 0; i < N_ACCUMULATORS; i++) {
            chains[i] = chains[i] * factor + term;
        }
    }
    float sum = 0.0f;
    for (int i = 0; i < N_ACCUMULATORS; i++) {
        sum += sum_of(chains[i]);
    }
    return sum;
}

/* A sum over the stretch in eight chains, so that loads and not additions are what it waits for. */
static float read_all(const job *own) {
    vector sums[8];
    for (int i = 0; i < 8; i++) {
        sums[i] = filled(0.0f);
    }
    for (size_t repeat = 0; repeat < own->n_repeats; repeat++) {
        const vector *data = own->data;
        __asm__ volatile("" : "+r"(data) : : "memory"); /* read it again each time */
        for (size_t j = 0; j < own->n_vectors; j += 8) {
#pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++) {
                sums[i] += data[j + i];
            }
        }
    }
    float sum = 0.0f;
    for (int i = 0; i < 8; i++) {
        sum += sum_of(sums[i]);
    }
    return sum;
}

/* Reads and writes every number once: what an optimizer does with a moment. */
static float update_all(const job *own) {
    vector factor = filled(0.999f);
    for (size_t repeat = 0; repeat < own->n_repeats; repeat++) {
        vector *data = own->data;
        __asm__ volatile("" : "+r"(data) : : "memory");
        for (size_t j = 0; j < own->n_vectors; j += 8) {
#pragma GCC unroll 8
            for (size_t i = 0; i < 8; i++) {
                data[j + i] *= factor;
            }
        }
    }
    return own->n_vectors > 0 ? sum_of(own->data[0]) : 0.0f;
}

static void *run_job(void *argument) {
    job *own = argument;
    __atomic_sub_fetch(own->n_waiting, 1, __ATOMIC_ACQ_REL);
    while (__atomic_load_n(own->n_waiting, __ATOMIC_ACQUIRE) > 0) {
    }
    own->start = now();
    own->result = own->work(own);
    own->end = now();
    return NULL;
}

/* Seconds from the first thread's start to the last one's end; below zero on failure. */
static double run(work_function work, vector *data, size_t n_vectors, size_t n_repeats,
                  int n_threads) {
    static volatile float sink;
    job jobs[MAX_THREADS];
    volatile int n_waiting = n_threads;
    if (n_threads < 1 || n_threads > MAX_THREADS) {
        return -1.0;
    }
    size_t share = n_vectors / (size_t)n_threads / 8 * 8;
    for (int i = 0; i < n_threads; i++) {
        jobs[i] = (job){.work = work,
                        .data = data == NULL ? NULL : data + (size_t)i * share,
                        .n_vectors = share,
                        .n_repeats = n_repeats,
                        .n_waiting = &n_waiting};
    }
    int n_started = 1;
    while (n_started < n_threads &&
           pthread_create(&jobs[n_started].thread, NULL, run_job, &jobs[n_started]) == 0) {
        n_started++;
    }
    /* Threads that could not be created must not be waited for. */
    __atomic_sub_fetch(&n_waiting, n_threads - n_started, __ATOMIC_ACQ_REL);
    run_job(&jobs[0]);
    double start = jobs[0].start;
    double end = jobs[0].end;
    for (int i = 1; i < n_started; i++) {
        pthread_join(jobs[i].thread, NULL);
        start = jobs[i].start < start ? jobs[i].start : start;
        end = jobs[i].end > end ? jobs[i].end : end;
        jobs[0].result += jobs[i].result;
    }
    sink = jobs[0].result;
    (void)sink;
    return n_started == n_threads ? end - start : -1.0;
}

/* Bytes of one vector of float32. */
int machine_vector_bytes(void) { return VECTOR_BYTES; }

/* Multiplications and additions of one repeat on one thread. */
int machine_flops_per_repeat(void) { return 2 * N_ACCUMULATORS * N_FLOATS; }

double machine_multiply_add(size_t n_repeats, int n_threads) {
    return run(multiply_add, NULL, 0, n_repeats, n_threads);
}

/* n_bytes: of the stretch, shared among the threads; a multiple of 512 each, 64-byte aligned. */
double machine_read(float *data, size_t n_bytes, size_t n_repeats, int n_threads) {
    return run(read_all, (vector *)(void *)data, n_bytes / VECTOR_BYTES, n_repeats, n_threads);
}

double machine_update(float *data, size_t n_bytes, size_t n_repeats, int n_threads) {
    return run(update_all, (vector *)(void *)data, n_bytes / VECTOR_BYTES, n_repeats, n_threads);
}
