/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpu.h - what the processor can do, which instruction set is in use, how many CPUs we may load.
 *
 * The instruction set is chosen once, when the package is imported; a test may change it between
 * calls. All functions may be called from any thread.
 */
#ifndef MLP_CPU_H
#define MLP_CPU_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum mlp_isa {
    MLP_ISA_GENERIC, /* plain C: everywhere */
    MLP_ISA_AVX2,    /* x86-64 with AVX2 and FMA: Haswell (2013), Zen (2017) and later */
    MLP_ISA_AVX512,  /* x86-64 with AVX-512 F, DQ, BW, VL: Skylake-SP (2017), Zen 4 (2022) */
    MLP_ISA_NEON,    /* every AArch64 */
    MLP_ISA_COUNT
} mlp_isa;

/* "generic", "avx2", "avx512" or "neon". */
const char *mlp_isa_name(mlp_isa isa);

/* The inverse of mlp_isa_name; false, with *isa untouched, for any other name. */
bool mlp_isa_from_name(const char *name, mlp_isa *isa);

/* True when both the processor and the operating system (which must save the wide registers) allow
 * this instruction set. */
bool mlp_isa_available(mlp_isa isa);

/* The widest that is available. */
mlp_isa mlp_isa_best(void);

/* Sets the instruction set of the whole process, which must be available. */
void mlp_isa_select(mlp_isa isa);

/* The one in use: the last selected, at first mlp_isa_best(). */
mlp_isa mlp_isa_selected(void);

/* The control register of this thread's floating-point arithmetic, rounding mode and flushing of
 * subnormals among it: MXCSR without its six sticky exception flags, or FPCR; 0 on others. */
uint32_t mlp_cpu_floating_point_state(void);

/* Gives this thread a state read by the function above; exception flags are kept. */
void mlp_cpu_set_floating_point_state(uint32_t state);

/* Bytes of the data cache of a level, 1 to 3, as the C library tells it; 0 when unknown. */
size_t mlp_cache_bytes(int level);

/* CPUs that the affinity mask of this thread allows (Linux) or that are online, at least 1. */
size_t mlp_cpu_count(void);

/* The CPU that this thread runs on; -1 where the system does not tell. */
int mlp_cpu_current(void);

/* Moves this thread to another CPU of its affinity mask, which stays as it is; does nothing if there
 * is no other. */
void mlp_cpu_leave(int cpu);

/* CPUs that the Linux control groups (v1 and v2) of this process and of their ancestors allow,
 * a fraction counted as one; SIZE_MAX without a limit. Files are read beneath `file_system_root`,
 * "" outside tests. */
size_t mlp_cpu_quota(const char *file_system_root);

#endif
