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

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2; error relative to e^r - 1; 2^-25.84 */
static const float exp_terms_f32[5] = {
    0x1.fffffep-2f,
    0x1.5554bp-3f,
    0x1.555678p-5f,
    0x1.122776p-7f,
    0x1.6becf4p-10f,
};

/* (log(1 + f) - f) / f^2 for MLP_LOG_SPLIT / 2 <= 1 + f <= MLP_LOG_SPLIT; 2^-26.94 */
static const float log_terms_f32[9] = {
    -0x1.000004p-1f,
    0x1.55557ap-2f,
    -0x1.fff8aap-3f,
    0x1.9975b2p-3f,
    -0x1.561e84p-3f,
    0x1.29d5e4p-3f,
    -0x1.0114b2p-3f,
    0x1.62b142p-4f,
    -0x1.f92b38p-6f,
};

/* (tanh(x) / x - 1) / x^2 in x^2 for |x| <= MLP_TANH_SPLIT; 2^-27.42 */
static const float tanh_terms_f32[5] = {
    -0x1.555532p-2f,
    0x1.110722p-3f,
    -0x1.b83c5p-5f,
    0x1.52262cp-6f,
    -0x1.75dfeep-8f,
};

/* (a + k) exp(a^2 / 2) Phi(-a) in (a - k) / (a + k), k = MLP_GELU_POLE, a <= MLP_GELU_LIMIT; 2^-24.96 */
static const float gelu_terms_f32[10] = {
    0x1.7d241ap-1f,
    -0x1.21914ep-1f,
    0x1.42feccp-2f,
    -0x1.db5a98p-4f,
    0x1.1d2d54p-6f,
    0x1.a992ap-8f,
    -0x1.9fde4ep-9f,
    -0x1.038ae2p-11f,
    0x1.b6a3ap-12f,
    0x1.c7e19ep-14f,
};

/* (e^r - 1 - r) / r^2 for |r| <= ln 2 / 2; error relative to e^r - 1; 2^-54.84 */
static const double exp_terms_f64[10] = {
    0x1.0000000000005p-1,
    0x1.555555555553ap-3,
    0x1.55555555522b8p-5,
    0x1.1111111118f24p-7,
    0x1.6c16c17edbb02p-10,
    0x1.a01a01754af6ep-13,
    0x1.a019a76f0fee9p-16,
    0x1.71de877f04fep-19,
    0x1.28a1e0404e887p-22,
    0x1.ae6c918e9284fp-26,
};

/* (log(1 + f) - f) / f^2 for MLP_LOG_SPLIT / 2 <= 1 + f <= MLP_LOG_SPLIT; 2^-57.36 */
static const double log_terms_f64[22] = {
    -0x1p-1,
    0x1.555555555555ap-2,
    -0x1.000000000006bp-2,
    0x1.9999999998c47p-3,
    -0x1.555555554784cp-3,
    0x1.24924924ef468p-3,
    -0x1.0000000663a57p-3,
    0x1.c71c71b010f4ep-4,
    -0x1.9999969305599p-4,
    0x1.745d137eca53ep-4,
    -0x1.5555b2c9b7f8ep-4,
    0x1.3b150b70eafc3p-4,
    -0x1.248dd99d0318bp-4,
    0x1.10ed4408ba938p-4,
    -0x1.ffbffbd324b4cp-5,
    0x1.e47e3bba67fc7p-5,
    -0x1.d0a3ddf6dcec9p-5,
    0x1.b54f5a252d8a2p-5,
    -0x1.6f8c1a4a482b3p-5,
    0x1.dfde7b402b1d2p-6,
    -0x1.984878b5b7f99p-7,
    0x1.48ea9e862f103p-9,
};

/* (tanh(x) / x - 1) / x^2 in x^2 for |x| <= MLP_TANH_SPLIT; 2^-55.7 */
static const double tanh_terms_f64[11] = {
    -0x1.55555555554ffp-2,
    0x1.111111110acc9p-3,
    -0x1.ba1ba1b506095p-5,
    0x1.664f477acf574p-6,
    -0x1.226e162ae0cbfp-7,
    0x1.d6cf27ee7f403p-9,
    -0x1.7d68a1ff6b8fdp-10,
    0x1.33660bb893512p-11,
    -0x1.df55440c0683p-13,
    0x1.4390affa48a76p-14,
    -0x1.0da658c2d95f2p-16,
};

/* (a + k) exp(a^2 / 2) Phi(-a) in (a - k) / (a + k), k = MLP_GELU_POLE, a <= MLP_GELU_LIMIT; 2^-53.31 */
static const double gelu_terms_f64[23] = {
    0x1.89d3abe1f95aep-1,
    -0x1.54ad03f27ca17p-1,
    0x1.fb31653876f9fp-2,
    -0x1.410ed5f8759e4p-2,
    0x1.51f6329f011d3p-3,
    -0x1.1b1c254c9ec0fp-4,
    0x1.54b4d4f4f9981p-6,
    -0x1.88590ea29cc71p-9,
    -0x1.a250381c72d37p-11,
    0x1.1daf1c3956ceep-11,
    -0x1.f2144a69a347fp-15,
    -0x1.a1707cd3e8fep-15,
    0x1.17dc86bb5a668p-16,
    0x1.0b1e7c6f96da7p-18,
    -0x1.73a47ab1cba89p-19,
    -0x1.6847ae23aeb11p-22,
    0x1.d0ce3f9a0ed94p-22,
    0x1.5f284bc455cebp-25,
    -0x1.1b846cca8cbe5p-24,
    -0x1.1cff6fd0bd3ffp-27,
    0x1.10e4a4d50b33fp-27,
    0x1.89981fdc7addbp-30,
    -0x1.4d139fcc9f62dp-32,
};

#ifndef MLP_EXP_LOW
#define MLP_EXP_LOW MLP_PICK(-104.0f, -746.0)
#define MLP_EXP_HIGH MLP_PICK(89.0f, 710.0)
#define MLP_EXPONENT_HIGH MLP_PICK(127.0f, 1023.0)
#define MLP_EXPONENT_LOW MLP_PICK(-126.0f, -1022.0)
#define MLP_EXPONENT_SAFE MLP_PICK(-100.0f, -960.0)
#define MLP_SMALLEST_NORMAL MLP_PICK(FLT_MIN, DBL_MIN)
#define MLP_LOG_LIFT MLP_PICK(0x1p24f, 0x1p54)
#define MLP_LOG_LIFT_EXPONENT MLP_PICK(24.0f, 54.0)
#endif

#endif
