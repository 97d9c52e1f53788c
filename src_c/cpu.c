/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * cpu.c - CPUID, the choice of an instruction set, caches and CPU counts; see cpu.h.
 */
#if defined(__linux__) && !defined(_GNU_SOURCE)
#define _GNU_SOURCE /* sched_getaffinity */
#endif
#include "cpu.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "compiler.h"
#if MLP_ARCH_X86_64
#include <xmmintrin.h>
#if defined(_MSC_VER)
#include <intrin.h>
#else
#include <cpuid.h>
#endif
#endif
#if defined(_WIN32)
#include <windows.h>
#else
#include <unistd.h>
#endif
#if defined(__linux__)
#include <sched.h>
#endif

/* ---- detection ------------------------------------------------------------------------------ */

static const char *const isa_names[MLP_ISA_COUNT] = {
    [MLP_ISA_GENERIC] = "generic",
    [MLP_ISA_AVX2] = "avx2",
    [MLP_ISA_AVX512] = "avx512",
    [MLP_ISA_NEON] = "neon",
};

#define ISA_BIT(isa) (1u << (isa))

#if MLP_ARCH_X86_64

typedef struct cpuid_registers {
    uint32_t eax, ebx, ecx, edx;
} cpuid_registers;

static cpuid_registers cpuid(uint32_t leaf) {
    cpuid_registers r = {0, 0, 0, 0};
#if defined(_MSC_VER)
    int raw[4];
    __cpuid(raw, 0);
    if ((uint32_t)raw[0] >= leaf) {
        __cpuidex(raw, (int)leaf, 0);
        r = (cpuid_registers){(uint32_t)raw[0], (uint32_t)raw[1], (uint32_t)raw[2],
                              (uint32_t)raw[3]};
    }
#else
    /* Leaves r at zero, no feature, when the processor has no such leaf. */
    __get_cpuid_count(leaf, 0, &r.eax, &r.ebx, &r.ecx, &r.edx);
#endif
    return r;
}

/* XCR0: the register states that the operating system saves. Needs CPUID's OSXSAVE. */
static uint32_t saved_states(void) {
#if defined(_MSC_VER)
    return (uint32_t)_xgetbv(0);
#else
    /* Not the intrinsic, which needs -mxsave. */
    uint32_t low, high;
    __asm__ volatile("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return low;
#endif
}

static bool has_all(uint32_t value, uint32_t bits) { return (value & bits) == bits; }

/* Bits: Intel SDM volume 2A, CPUID, leaves 1 and 7; volume 1, chapter 13.3, for XCR0. */
static unsigned detect(void) {
    const uint32_t fma = 1u << 12, osxsave = 1u << 27, avx = 1u << 28;
    const uint32_t avx2 = 1u << 5;
    const uint32_t avx512_f = 1u << 16, avx512_dq = 1u << 17;
    const uint32_t avx512_bw = 1u << 30, avx512_vl = 1u << 31;
    const uint32_t ymm_states = 0x06; /* SSE, AVX */
    const uint32_t zmm_states = 0xe6; /* SSE, AVX, opmask, upper halves, upper registers */

    unsigned found = ISA_BIT(MLP_ISA_GENERIC);
    if (!has_all(cpuid(1).ecx, fma | osxsave | avx)) {
        return found;
    }
    const uint32_t saved = saved_states();
    const uint32_t features = cpuid(7).ebx;
    if (!has_all(saved, ymm_states) || !has_all(features, avx2)) {
        return found;
    }
    found |= ISA_BIT(MLP_ISA_AVX2);
    if (has_all(saved, zmm_states) &&
        has_all(features, avx512_f | avx512_dq | avx512_bw | avx512_vl)) {
        found |= ISA_BIT(MLP_ISA_AVX512);
    }
    return found;
}

#else

static unsigned detect(void) {
    return ISA_BIT(MLP_ISA_GENERIC) | (MLP_ARCH_AARCH64 ? ISA_BIT(MLP_ISA_NEON) : 0);
}

#endif

const char *mlp_isa_name(mlp_isa isa) {
    MLP_ASSERT((unsigned)isa < MLP_ISA_COUNT);
    return isa_names[isa];
}

bool mlp_isa_from_name(const char *name, mlp_isa *isa) {
    for (int i = 0; i < MLP_ISA_COUNT; i++) {
        if (strcmp(name, isa_names[i]) == 0) {
            *isa = (mlp_isa)i;
            return true;
        }
    }
    return false;
}

bool mlp_isa_available(mlp_isa isa) {
    /* Asked once: in a virtual machine each CPUID is a trap of some 20 microseconds. 0 is no
     * answer yet; two threads that ask at the same time find the same one. */
    static _Atomic unsigned available;
    unsigned found = atomic_load_explicit(&available, memory_order_relaxed);
    if (found == 0) {
        found = detect();
        atomic_store_explicit(&available, found, memory_order_relaxed);
    }
    return (found & ISA_BIT(isa)) != 0;
}

mlp_isa mlp_isa_best(void) {
    static const mlp_isa widest_first[] = {MLP_ISA_AVX512, MLP_ISA_AVX2, MLP_ISA_NEON};
    for (size_t i = 0; i < sizeof widest_first / sizeof widest_first[0]; i++) {
        if (mlp_isa_available(widest_first[i])) return widest_first[i];
    }
    return MLP_ISA_GENERIC;
}

/* ---- selection ------------------------------------------------------------------------------ */

static _Atomic int selected = -1; /* -1: none yet */

void mlp_isa_select(mlp_isa isa) {
    MLP_ASSERT(mlp_isa_available(isa));
    atomic_store_explicit(&selected, (int)isa, memory_order_relaxed);
}

mlp_isa mlp_isa_selected(void) {
    const int isa = atomic_load_explicit(&selected, memory_order_relaxed);
    return isa < 0 ? mlp_isa_best() : (mlp_isa)isa;
}

/* ---- floating-point state ------------------------------------------------------------------- */

#if MLP_ARCH_X86_64
#define MXCSR_FLAGS 0x3fu
#endif

uint32_t mlp_cpu_floating_point_state(void) {
#if MLP_ARCH_X86_64
    return _mm_getcsr() & ~MXCSR_FLAGS;
#elif MLP_ARCH_AARCH64 && defined(__GNUC__)
    uint64_t fpcr;
    __asm__ volatile("mrs %0, fpcr" : "=r"(fpcr));
    return (uint32_t)fpcr;
#else
    return 0;
#endif
}

void mlp_cpu_set_floating_point_state(uint32_t state) {
#if MLP_ARCH_X86_64
    _mm_setcsr(state | (_mm_getcsr() & MXCSR_FLAGS));
#elif MLP_ARCH_AARCH64 && defined(__GNUC__)
    const uint64_t fpcr = state;
    __asm__ volatile("msr fpcr, %0" : : "r"(fpcr));
#else
    (void)state;
#endif
}

/* ---- caches and CPUs ------------------------------------------------------------------------ */

size_t mlp_cache_bytes(int level) {
    long bytes = 0;
#if defined(_SC_LEVEL1_DCACHE_SIZE)
    switch (level) {
    case 1:
        bytes = sysconf(_SC_LEVEL1_DCACHE_SIZE);
        break;
    case 2:
        bytes = sysconf(_SC_LEVEL2_CACHE_SIZE);
        break;
    case 3:
        bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
        break;
    default:
        break;
    }
#else
    (void)level;
#endif
    return bytes > 0 ? (size_t)bytes : 0;
}

size_t mlp_cpu_count(void) {
#if defined(_WIN32)
    const DWORD count = GetActiveProcessorCount(ALL_PROCESSOR_GROUPS);
    return count > 0 ? count : 1;
#else
#if defined(__linux__)
    /* 8192 CPUs is the most that Linux can be built for; one cpu_set_t holds 1024. */
    cpu_set_t mask[8];
    if (sched_getaffinity(0, sizeof mask, mask) == 0) {
        const int count = CPU_COUNT_S(sizeof mask, mask);
        return count > 0 ? (size_t)count : 1;
    }
#endif
    const long count = sysconf(_SC_NPROCESSORS_ONLN);
    return count > 0 ? (size_t)count : 1;
#endif
}

#if defined(__linux__)

int mlp_cpu_current(void) { return sched_getcpu(); }

void mlp_cpu_leave(int cpu) {
    cpu_set_t mask[8], others[8];
    if (cpu < 0 || sched_getaffinity(0, sizeof mask, mask) != 0) return;
    memcpy(others, mask, sizeof others);
    CPU_CLR_S((size_t)cpu, sizeof others, others);
    if (CPU_COUNT_S(sizeof others, others) == 0) return;
    /* The first call moves the thread, the second leaves the choice to the system again. */
    if (sched_setaffinity(0, sizeof others, others) == 0) sched_setaffinity(0, sizeof mask, mask);
}

#else

int mlp_cpu_current(void) { return -1; }

void mlp_cpu_leave(int cpu) { (void)cpu; }

#endif

#if defined(__linux__)

enum { PATH_BYTES = 4096 };

/* The numbers in the first line of a file; how many were read. */
static int read_numbers(const char *directory, const char *name, long long numbers[2]) {
    char path[PATH_BYTES];
    const int length = snprintf(path, sizeof path, "%s/%s", directory, name);
    if (length < 0 || (size_t)length >= sizeof path) return 0;
    FILE *file = fopen(path, "re");
    if (file == NULL) return 0;
    const int found = fscanf(file, "%lld %lld", &numbers[0], &numbers[1]);
    fclose(file);
    return found < 0 ? 0 : found;
}

/* CPUs per period that one group allows, rounded up; SIZE_MAX without a limit. */
static size_t group_quota(const char *directory) {
    long long v2[2], v1_quota[2], v1_period[2];
    long long quota = 0, period = 0;
    if (read_numbers(directory, "cpu.max", v2) == 2) { /* "max 100000" gives no number */
        quota = v2[0];
        period = v2[1];
    } else if (read_numbers(directory, "cpu.cfs_quota_us", v1_quota) == 1 &&
               read_numbers(directory, "cpu.cfs_period_us", v1_period) == 1) {
        quota = v1_quota[0]; /* -1: no limit */
        period = v1_period[0];
    }
    if (quota <= 0 || period <= 0) return SIZE_MAX;
    return (size_t)(quota / period + (quota % period != 0));
}

/* The tightest limit from the group `path` of the hierarchy at `mount` up to its root. A container
 * may see a path that holds on the host only: what is missing is passed over. */
static size_t hierarchy_quota(const char *root, const char *mount, const char *path) {
    char directory[PATH_BYTES];
    const int length = snprintf(directory, sizeof directory, "%s%s%s", root, mount, path);
    if (length < 0 || (size_t)length >= sizeof directory) return SIZE_MAX;
    const size_t shortest = strlen(root) + strlen(mount);
    size_t least = SIZE_MAX;
    for (;;) {
        const size_t quota = group_quota(directory);
        if (quota < least) least = quota;
        char *slash = strrchr(directory + shortest, '/');
        if (slash == NULL) return least;
        *slash = '\0';
    }
}

/* True when a comma-separated list holds the controller "cpu". */
static bool lists_cpu(const char *controllers) {
    for (const char *at = controllers; (at = strstr(at, "cpu")) != NULL; at += 3) {
        const bool begins = at == controllers || at[-1] == ',';
        if (begins && (at[3] == '\0' || at[3] == ',')) return true;
    }
    return false;
}

size_t mlp_cpu_quota(const char *file_system_root) {
    char line[PATH_BYTES];
    const int length = snprintf(line, sizeof line, "%s/proc/self/cgroup", file_system_root);
    if (length < 0 || (size_t)length >= sizeof line) return SIZE_MAX;
    FILE *file = fopen(line, "re");
    if (file == NULL) return SIZE_MAX;
    size_t least = SIZE_MAX;
    /* "0::/path" in v2, "4:cpu,cpuacct:/path" in v1; cgroups(7). */
    while (fgets(line, sizeof line, file) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        char *controllers = strchr(line, ':');
        if (controllers == NULL) continue;
        char *path = strchr(++controllers, ':');
        if (path == NULL) continue;
        *path++ = '\0';
        const char *mount = NULL;
        if (*controllers == '\0') mount = "/sys/fs/cgroup";
        if (lists_cpu(controllers)) mount = "/sys/fs/cgroup/cpu";
        if (mount == NULL) continue;
        const size_t quota = hierarchy_quota(file_system_root, mount, path);
        if (quota < least) least = quota;
    }
    fclose(file);
    return least;
}

#else

size_t mlp_cpu_quota(const char *file_system_root) {
    (void)file_system_root;
    return SIZE_MAX;
}

#endif
