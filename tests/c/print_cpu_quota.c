/* SPDX-License-Identifier: BSD-3-Clause */
/* print_cpu_quota.c - prints mlp_cpu_quota(argv[1]), or "none"; the test builds the tree it reads. */
#include "cpu.h"

#include "check.h"

int main(int argc, char **argv) {
    CHECK(argc == 2);
    const size_t quota = mlp_cpu_quota(argv[1]);
    if (quota == SIZE_MAX) {
        puts("none");
    } else {
        printf("%zu\n", quota);
    }
    return 0;
}
