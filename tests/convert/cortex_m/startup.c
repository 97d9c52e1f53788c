/* SPDX-License-Identifier: BSD-3-Clause */
/* startup.c - what a Cortex-M needs before the C library's _start: two vectors, and its FPU. */
#include <stdint.h>

extern void _start(void);
void reset(void);

void reset(void) {
#if defined(__ARM_FP)
    *(volatile uint32_t *)0xE000ED88u |= 0xFu << 20; /* CPACR: the coprocessors 10 and 11 */
#endif
    _start();
}

__attribute__((section(".vectors"), used)) static const void *const vectors[2] = {
    (void *)0x20100000, /* the stack's end, as in layout.ld */
    (const void *)reset,
};
