/* SPDX-License-Identifier: BSD-3-Clause */
/* check.h - what a C test needs: CHECK ends the program with the place and the text that failed. */
#ifndef MLP_TESTS_CHECK_H
#define MLP_TESTS_CHECK_H

#include <stdio.h>
#include <stdlib.h>

#define CHECK(condition)                                                                  \
    do {                                                                                  \
        if (!(condition)) {                                                               \
            fprintf(stderr, "%s:%d: CHECK(%s) failed\n", __FILE__, __LINE__, #condition); \
            exit(EXIT_FAILURE);                                                           \
        }                                                                                 \
    } while (0)

#endif
