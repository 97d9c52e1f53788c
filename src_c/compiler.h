/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * compiler.h - what the sources need from the compiler beyond C11, and nothing else.
 *
 * Everything in src_c/ is C11 for gcc and clang. The branches for MSVC are written from its
 * documentation; only gcc and clang are tested, for Windows too.
 */
#ifndef MLP_COMPILER_H
#define MLP_COMPILER_H

#include <assert.h>
#include <float.h>

/* The arithmetic contract: every operation rounds once, to its own type, in the order written. The
 * build says -ffp-contract=off; gcc has no other way to switch contraction off. */
#if defined(__FAST_MATH__)
#error "mlpcore promises the same bits everywhere, and -ffast-math takes that away"
#endif
#if FLT_EVAL_METHOD != 0
#error "mlpcore needs float and double arithmetic that is not carried out in a wider type"
#endif
#if defined(__clang__)
#pragma STDC FP_CONTRACT OFF
#elif defined(_MSC_VER)
#pragma fp_contract(off)
#endif

/* ---- architecture --------------------------------------------------------------------------- */

#if defined(__x86_64__) || defined(_M_X64)
#define MLP_ARCH_X86_64 1
#else
#define MLP_ARCH_X86_64 0
#endif

/* Big-endian AArch64 runs the generic kernels: the lane order of its loads is not tested. */
#if (defined(__aarch64__) && !defined(__AARCH64EB__)) || defined(_M_ARM64)
#define MLP_ARCH_AARCH64 1
#else
#define MLP_ARCH_AARCH64 0
#endif

/* Bytes: one AVX-512 register, and the cache line of every x86-64 and of nearly every AArch64. */
#define MLP_ALIGNMENT 64

/* ---- tokens --------------------------------------------------------------------------------- */

/* Join tokens after their macros were expanded, as a bare ## would not. */
#define MLP_PASTE2_RAW(a, b)    a##b
#define MLP_PASTE3_RAW(a, b, c) a##b##c
#define MLP_PASTE2(a, b)        MLP_PASTE2_RAW(a, b)
#define MLP_PASTE3(a, b, c)     MLP_PASTE3_RAW(a, b, c)

#if defined(_MSC_VER) && !defined(__clang__)
#define MLP_PRAGMA(text) __pragma(text)
#else
#define MLP_PRAGMA(text) _Pragma(#text)
#endif

/* ---- instruction sets ----------------------------------------------------------------------- */

/* What the wider paths of x86-64 need, all of which mlp_isa_available() asks the CPU for. */
#define MLP_AVX2_SETS   "avx2,fma"
#define MLP_AVX512_SETS "avx512f,avx512dq,avx512bw,avx512vl,avx2,fma"

/* MLP_TARGET_BEGIN(MLP_AVX2_SETS) ... MLP_TARGET_END: the functions defined between the two may use
 * these instruction sets, whatever the command line says, so that one plain list of sources builds
 * every path. Include system headers before it: they must keep their own target. MSVC emits any
 * intrinsic without being asked. */
#if defined(__clang__)
#define MLP_TARGET_BEGIN(sets) \
    MLP_PRAGMA(clang attribute push(__attribute__((target(sets))), apply_to = function))
#define MLP_TARGET_END MLP_PRAGMA(clang attribute pop)
#elif defined(__GNUC__)
#define MLP_TARGET_BEGIN(sets) MLP_PRAGMA(GCC push_options) MLP_PRAGMA(GCC target(sets))
#define MLP_TARGET_END         MLP_PRAGMA(GCC pop_options)
#else
#define MLP_TARGET_BEGIN(sets)
#define MLP_TARGET_END
#endif

/* ---- functions and loops ------------------------------------------------------------- */

/* A helper that must vanish into its caller: it then takes the caller's target. An external
 * inline function compiled for AVX could be the copy that the linker keeps for everybody. */
#if defined(__GNUC__)
#define MLP_INLINE static inline __attribute__((always_inline, unused))
#elif defined(_MSC_VER)
#define MLP_INLINE static __forceinline
#else
#define MLP_INLINE static inline
#endif

/* A rare way out of a hot function, which keeps it short. */
#if defined(__GNUC__)
#define MLP_NOINLINE static __attribute__((noinline))
#elif defined(_MSC_VER)
#define MLP_NOINLINE static __declspec(noinline)
#else
#define MLP_NOINLINE static
#endif

/* Before a loop over the accumulators of a register tile (a constant count, 16 at most): left
 * rolled, gcc 12 keeps the accumulators in memory. */
#if defined(__clang__)
#define MLP_UNROLL MLP_PRAGMA(clang loop unroll(full))
#elif defined(__GNUC__)
#define MLP_UNROLL MLP_PRAGMA(GCC unroll 16)
#else
#define MLP_UNROLL
#endif

/* Hints that a line is wanted soon, in L2 to be read, in L1 to be written. */
#if defined(__GNUC__)
#define MLP_PREFETCH(address)          __builtin_prefetch(address, 0, 2)
#define MLP_PREFETCH_TO_WRITE(address) __builtin_prefetch(address, 1, 3)
#else
#define MLP_PREFETCH(address)          ((void)(address))
#define MLP_PREFETCH_TO_WRITE(address) ((void)(address))
#endif

/* On a variable or a member: char scratch MLP_ALIGNED(64) does not parse, MLP_ALIGNED(64) char
 * scratch[n] does. */
#define MLP_ALIGNED(bytes) _Alignas(bytes)

/* A broken promise of our own code, never of a user's argument: those are checked in Python. With
 * NDEBUG the condition is not evaluated, but its names still count as used. */
#if defined(NDEBUG)
#define MLP_ASSERT(condition) ((void)sizeof((condition) ? 1 : 0))
#else
#define MLP_ASSERT(condition) assert(condition)
#endif

/* ---- sanitizers ----------------------------------------------------------------------------- */

#if defined(__SANITIZE_ADDRESS__)
#define MLP_ADDRESS_SANITIZER 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define MLP_ADDRESS_SANITIZER 1
#endif
#endif
#if !defined(MLP_ADDRESS_SANITIZER)
#define MLP_ADDRESS_SANITIZER 0
#endif

#endif
