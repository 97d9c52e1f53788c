/* SPDX-License-Identifier: BSD-3-Clause */
/* test_cpu.c - detection against the kernel's own, selection, names, floating-point state. */
#include "cpu.h"

#include <string.h>

#include "check.h"
#include "compiler.h"

static void test_names(void) {
    for (int i = 0; i < MLP_ISA_COUNT; i++) {
        mlp_isa isa = MLP_ISA_COUNT;
        CHECK(mlp_isa_from_name(mlp_isa_name((mlp_isa)i), &isa) && isa == (mlp_isa)i);
    }
    const char *const unknown[] = {"", "AVX2", "avx", "avx2 ", "sse2"};
    for (size_t i = 0; i < sizeof unknown / sizeof unknown[0]; i++) {
        mlp_isa isa = MLP_ISA_COUNT;
        CHECK(!mlp_isa_from_name(unknown[i], &isa) && isa == MLP_ISA_COUNT);
    }
}

static void test_architecture(void) {
    CHECK(mlp_isa_available(MLP_ISA_GENERIC));
    CHECK(mlp_isa_available(MLP_ISA_NEON) == MLP_ARCH_AARCH64);
    if (!MLP_ARCH_X86_64) {
        CHECK(!mlp_isa_available(MLP_ISA_AVX2) && !mlp_isa_available(MLP_ISA_AVX512));
    }
    CHECK(mlp_isa_available(mlp_isa_best()));
    for (int i = 0; i <= (int)MLP_ISA_AVX512; i++) {
        if (mlp_isa_available((mlp_isa)i)) CHECK((mlp_isa)i <= mlp_isa_best());
    }
}

#if MLP_ARCH_X86_64 && defined(__linux__)

static char kernel_flags[16384];

static bool kernel_has(const char *flag) {
    char word[32];
    snprintf(word, sizeof word, " %s ", flag);
    return strstr(kernel_flags, word) != NULL;
}

/* /proc/cpuinfo lists a wide extension only when the kernel saves its registers. */
static void test_detection(void) {
    FILE *file = fopen("/proc/cpuinfo", "r");
    CHECK(file != NULL);
    while (fgets(kernel_flags, sizeof kernel_flags, file) != NULL) {
        if (strncmp(kernel_flags, "flags", 5) == 0) break;
    }
    fclose(file);
    CHECK(strncmp(kernel_flags, "flags", 5) == 0);
    kernel_flags[strcspn(kernel_flags, "\n")] = ' ';
    const bool avx2 = kernel_has("avx2") && kernel_has("fma");
    const bool avx512 = kernel_has("avx512f") && kernel_has("avx512dq") && kernel_has("avx512bw") &&
                        kernel_has("avx512vl");
    CHECK(mlp_isa_available(MLP_ISA_AVX2) == avx2);
    CHECK(mlp_isa_available(MLP_ISA_AVX512) == (avx2 && avx512));
}

#else
static void test_detection(void) {}
#endif

static void test_selection(void) {
    CHECK(mlp_isa_selected() == mlp_isa_best());
    for (int i = 0; i < MLP_ISA_COUNT; i++) {
        if (!mlp_isa_available((mlp_isa)i)) continue;
        mlp_isa_select((mlp_isa)i);
        CHECK(mlp_isa_selected() == (mlp_isa)i);
    }
}

static void test_floating_point_state(void) {
#if MLP_ARCH_X86_64
    const uint32_t flush_to_zero = 1u << 15;
#elif MLP_ARCH_AARCH64
    const uint32_t flush_to_zero = 1u << 24;
#else
    const uint32_t flush_to_zero = 0;
#endif
    const uint32_t before = mlp_cpu_floating_point_state();
    CHECK((before & flush_to_zero) == 0);
    volatile float small = 1e-38f, tenth = 0.1f; /* the product is subnormal */
    CHECK(small * tenth > 0);
    mlp_cpu_set_floating_point_state(before | flush_to_zero);
    CHECK(mlp_cpu_floating_point_state() == (before | flush_to_zero));
    if (flush_to_zero != 0) CHECK(!(small * tenth > 0));
    mlp_cpu_set_floating_point_state(before);
    CHECK(mlp_cpu_floating_point_state() == before);
    CHECK(small * tenth > 0);
}

static void test_counts(void) {
    CHECK(mlp_cpu_count() >= 1);
    CHECK(mlp_cpu_quota("") >= 1);
    CHECK(mlp_cpu_quota("/no/such/directory") == SIZE_MAX);
    CHECK(mlp_cache_bytes(0) == 0 && mlp_cache_bytes(4) == 0);
    const size_t level_1 = mlp_cache_bytes(1), level_2 = mlp_cache_bytes(2);
    if (level_1 != 0 && level_2 != 0) CHECK(level_1 <= level_2);
}

int main(void) {
    test_names();
    test_architecture();
    test_detection();
    test_selection();
    test_floating_point_state();
    test_counts();
    return 0;
}
