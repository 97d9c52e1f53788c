/* SPDX-License-Identifier: BSD-3-Clause */
/* math_coefficients.h - printed by tools/fit_polynomials.py; do not edit. */
#ifndef MLP_MATH_COEFFICIENTS_H
#define MLP_MATH_COEFFICIENTS_H

/* The constant for the dtype of the inclusion. */
#define MLP_PICK_f32(single, twice) single
#define MLP_PICK_f64(single, twice) twice
#define MLP_PICK(single, twice)     V_(MLP_PICK)(single, twice)

/* ln 2 = high + low. */
#define MLP_LN2_HIGH MLP_PICK(0x1.63p-1f, 0x1.62e42fefa4p-1)
#define MLP_LN2_LOW  MLP_PICK(-0x1.bd0106p-13f, -0x1.8432a1b0e2634p-43)

#define MLP_LOG_SPLIT  1.5
#define MLP_GELU_LIMIT MLP_PICK(0x1.ep+3f, 0x1.38p+5)

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2; error relative to e^r - 1; 2^-26.1. */
static const float exp_terms_f32[5] = {
    0x1.fffffep-2f, 0x1.5554bp-3f, 0x1.555716p-5f, 0x1.122792p-7f, 0x1.6b7342p-10f,
};

/* (log(1 + f) - f + f^2 / 2) / f^3 for MLP_LOG_SPLIT / 2 <= 1 + f <= MLP_LOG_SPLIT; 2^-27.59. */
static const float log_terms_f32[8] = {
    0x1.5555a4p-2f, -0x1.000044p-2f, 0x1.99697p-3f,  -0x1.54eea6p-3f,
    0x1.288552p-3f, -0x1.0d964p-3f,  0x1.acb87ap-4f, -0x1.716968p-5f,
};

/* (2 atanh(s) / s - 2) / s^2 in s^2 for |s| <= 1 / 3; error relative to 2 atanh(s); 2^-27.74. */
static const float log1p_terms_f32[4] = {
    0x1.555502p-1f,
    0x1.99d1c8p-2f,
    0x1.1ec09ep-2f,
    0x1.1ec808p-2f,
};

/* exp(a^2 / 2) Phi(-a) = n(a) / (2 n(a) + a m(a)) for 0 <= a <= MLP_GELU_LIMIT; 2^-26.96. */
static const float gelu_n_f32[5] = {
    0x1.74p-1f, 0x1.4658d8p-1f, 0x1.11004ep-2f, 0x1.e48fdp-5f, 0x1.88da72p-8f,
};
static const float gelu_m_f32[5] = {
    0x1.28d02cp+0f, 0x1.373556p+0f, 0x1.212b94p-1f, 0x1.171e8ap-3f, 0x1.ec5cf8p-7f,
};

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2; error relative to e^r - 1; 2^-55.53. */
static const double exp_terms_f64[10] = {
    0x1.0000000000005p-1,  0x1.555555555554p-3,   0x1.5555555552118p-5,  0x1.11111111173ddp-7,
    0x1.6c16c17f2b67bp-10, 0x1.a01a017edfc33p-13, 0x1.a019a6acac4d1p-16, 0x1.71de7185cc861p-19,
    0x1.28a28470b5fcdp-22, 0x1.ae90092fb5846p-26,
};

/* (log(1 + f) - f + f^2 / 2) / f^3 for MLP_LOG_SPLIT / 2 <= 1 + f <= MLP_LOG_SPLIT; 2^-56.58. */
static const double log_terms_f64[19] = {
    0x1.55555555555a1p-2, -0x1.0000000000772p-2, 0x1.999999998c51cp-3, -0x1.55555554591d6p-3,
    0x1.2492492980c3fp-3, -0x1.00000063edfa3p-3, 0x1.c71c70d9c4b03p-4, -0x1.999972befc2d8p-4,
    0x1.745ceca390bc6p-4, -0x1.55593b3accd8fp-4, 0x1.3b1efcaa080bbp-4, -0x1.24655014d120ap-4,
    0x1.101cbaff2d2e2p-4, -0x1.ffffa2f7dc3fep-5, 0x1.f256e227160fp-5,  -0x1.e8e103382ead9p-5,
    0x1.9f2fed78dfd4cp-5, -0x1.e1402eae59a73p-6, 0x1.08e9b8e18c232p-7,
};

/* (2 atanh(s) / s - 2) / s^2 in s^2 for |s| <= 1 / 3; error relative to 2 atanh(s); 2^-59.41. */
static const double log1p_terms_f64[10] = {
    0x1.5555555555535p-1, 0x1.99999999a0723p-2, 0x1.249249208ea33p-2, 0x1.c71c741b05a16p-3,
    0x1.745cb43b39bep-3,  0x1.3b1dd5ebd3c27p-3, 0x1.106814501da0fp-3, 0x1.efd30b7defc0fp-4,
    0x1.55c958c35870ep-4, 0x1.5c6149fd387cp-3,
};

/* exp(a^2 / 2) Phi(-a) = n(a) / (2 n(a) + a m(a)) for 0 <= a <= MLP_GELU_LIMIT; 2^-58.18. */
static const double gelu_n_f64[11] = {
    0x1p-1,
    0x1.a7eb896628fa8p-1,
    0x1.5bfe9b65f4239p-1,
    0x1.6df9598bc15ecp-2,
    0x1.0e7b4a00efe92p-3,
    0x1.244237b1b7fc5p-5,
    0x1.d2ef0b107b5fap-8,
    0x1.10a44e73ed93dp-10,
    0x1.bf28557ef34d6p-14,
    0x1.d454d93c272f6p-18,
    0x1.e1a0a46eebdd7p-23,
};
static const double gelu_m_f64[11] = {
    0x1.9884533d43652p-1,  0x1.7536c4908b634p+0,  0x1.497021d8c4087p+0,  0x1.6ea56b19ce5f1p-1,
    0x1.1bae1eed58b5ep-2,  0x1.3e75cfa3d3193p-4,  0x1.06e315563dce9p-6,  0x1.3c0d24a64ac04p-9,
    0x1.0a2b27433d46bp-12, 0x1.1df530e5aa073p-16, 0x1.2dd0b6631ffa1p-21,
};

#endif
