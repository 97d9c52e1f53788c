/* SPDX-License-Identifier: BSD-3-Clause */
/* math_coefficients.h - printed by tools/fit_polynomials.py; do not edit. */
#ifndef MLP_MATH_COEFFICIENTS_H
#define MLP_MATH_COEFFICIENTS_H

/* The constant for the dtype of the inclusion. */
#define MLP_PICK_f32(single, twice) single
#define MLP_PICK_f64(single, twice) twice
#define MLP_PICK(single, twice) V_(MLP_PICK)(single, twice)

/* ln 2 = high + low. */
#define MLP_LN2_HIGH MLP_PICK(0x1.63p-1f, 0x1.62e42fefa4p-1)
#define MLP_LN2_LOW MLP_PICK(-0x1.bd0106p-13f, -0x1.8432a1b0e2634p-43)
#define MLP_LOG_SPLIT 1.5625
#define MLP_TANH_SPLIT 0.625
#define MLP_GELU_POLE MLP_PICK(0x1.cp+1f, 0x1.4p+2)
#define MLP_GELU_LIMIT MLP_PICK(0x1.ep+3f, 0x1.38p+5)

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2; error relative to e^r - 1; 2^-26.11 */
static const float exp_terms_f32[5] = {
    0x1.fffffep-2f,
    0x1.5554b2p-3f,
    0x1.555708p-5f,
    0x1.12267p-7f,
    0x1.6b837ap-10f,
};

/* (log(1 + f) - f) / f^2 for MLP_LOG_SPLIT / 2 <= 1 + f <= MLP_LOG_SPLIT; 2^-27.61 */
static const float log_terms_f32[9] = {
    -0x1.000004p-1f,
    0x1.555572p-2f,
    -0x1.fff818p-3f,
    0x1.99775p-3f,
    -0x1.562e8ap-3f,
    0x1.29d95ep-3f,
    -0x1.00854p-3f,
    0x1.604182p-4f,
    -0x1.f2f986p-6f,
};

/* (tanh(x) / x - 1) / x^2 in x^2 for |x| <= MLP_TANH_SPLIT; 2^-27.71 */
static const float tanh_terms_f32[5] = {
    -0x1.555532p-2f,
    0x1.110704p-3f,
    -0x1.b8389cp-5f,
    0x1.52118cp-6f,
    -0x1.758e32p-8f,
};

/* (a + k) exp(a^2 / 2) Phi(-a) in (a - k) / (a + k), k = MLP_GELU_POLE, a <= MLP_GELU_LIMIT; 2^-25.33 */
static const float gelu_terms_f32[10] = {
    0x1.7d241ap-1f,
    -0x1.219152p-1f,
    0x1.42fefap-2f,
    -0x1.db58d4p-4f,
    0x1.1d171ap-6f,
    0x1.a901fep-8f,
    -0x1.9e309cp-9f,
    -0x1.f507e2p-12f,
    0x1.ad2862p-12f,
    0x1.999248p-14f,
};

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2; error relative to e^r - 1; 2^-55.54 */
static const double exp_terms_f64[10] = {
    0x1.0000000000005p-1,
    0x1.5555555555541p-3,
    0x1.555555555211cp-5,
    0x1.1111111117012p-7,
    0x1.6c16c17f2a767p-10,
    0x1.a01a01801aa87p-13,
    0x1.a019a6aeb8a63p-16,
    0x1.71de6ede859efp-19,
    0x1.28a2833c4f2d7p-22,
    0x1.ae941dcca275ap-26,
};

/* (log(1 + f) - f) / f^2 for MLP_LOG_SPLIT / 2 <= 1 + f <= MLP_LOG_SPLIT; 2^-61.69 */
static const double log_terms_f64[22] = {
    -0x1p-1,
    0x1.5555555555559p-2,
    -0x1.000000000003dp-2,
    0x1.9999999998d61p-3,
    -0x1.555555554abbbp-3,
    0x1.24924924eea41p-3,
    -0x1.0000000588b23p-3,
    0x1.c71c71ac9e8f1p-4,
    -0x1.999996cda7d72p-4,
    0x1.745d146fa6d2cp-4,
    -0x1.5555af881fe81p-4,
    0x1.3b14f191f507bp-4,
    -0x1.248dcc0cf2174p-4,
    0x1.10ee5fdef8a55p-4,
    -0x1.ffc691ab233p-5,
    0x1.e47da0edca831p-5,
    -0x1.d07a72b2bc32ap-5,
    0x1.b4e886ba24548p-5,
    -0x1.6f116ecbd7596p-5,
    0x1.df49a9ce59e1ap-6,
    -0x1.980455ae005f4p-7,
    0x1.48fe8e7e446f9p-9,
};

/* (tanh(x) / x - 1) / x^2 in x^2 for |x| <= MLP_TANH_SPLIT; 2^-56.44 */
static const double tanh_terms_f64[11] = {
    -0x1.55555555554ffp-2,
    0x1.111111110aca1p-3,
    -0x1.ba1ba1b5049b1p-5,
    0x1.664f477a975a6p-6,
    -0x1.226e1625c8f3ep-7,
    0x1.d6cf2758bd617p-9,
    -0x1.7d689c6dec53p-10,
    0x1.3365e97cd143cp-11,
    -0x1.df543db4de7aep-13,
    0x1.438e7671cc1e1p-14,
    -0x1.0da22ae7649aep-16,
};

/* (a + k) exp(a^2 / 2) Phi(-a) in (a - k) / (a + k), k = MLP_GELU_POLE, a <= MLP_GELU_LIMIT; 2^-55.6 */
static const double gelu_terms_f64[23] = {
    0x1.89d3abe1f95aep-1,
    -0x1.54ad03f27ca18p-1,
    0x1.fb31653876f4ep-2,
    -0x1.410ed5f875941p-2,
    0x1.51f6329f02d9ap-3,
    -0x1.1b1c254ca3b77p-4,
    0x1.54b4d4f406601p-6,
    -0x1.88590e9abb4cbp-9,
    -0x1.a2503706f59b2p-11,
    0x1.1daf1b73fff5dp-11,
    -0x1.f214a79b87af3p-15,
    -0x1.a170554824a87p-15,
    0x1.17def67f7e493p-16,
    0x1.0b1cd59450f99p-18,
    -0x1.73cda8332ef93p-19,
    -0x1.6859cc7567b54p-22,
    0x1.d279465d10d62p-22,
    0x1.6280f2fa42af9p-25,
    -0x1.20578e720f94p-24,
    -0x1.2d501fb521f9dp-27,
    0x1.1c8363befbc7ap-27,
    0x1.c090a1c0f5a94p-30,
    -0x1.42ae0ebcbecf1p-32,
};

#endif
