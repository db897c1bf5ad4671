/* Measures CPU microseconds of one multiplication modulo a 4096-bit number: with GMP (product and remainder) and with OpenSSL
   (Montgomery product). */
#include <gmp.h>
#include <openssl/bn.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define BITS 4096
#define TIMES 50000

static double us(clock_t began) { return (double)(clock() - began) / CLOCKS_PER_SEC / TIMES * 1e6; }

static double with_gmp(void) {
    mpz_t modulus, a, b, product;
    gmp_randstate_t state;
    clock_t began;
    mpz_inits(modulus, a, b, product, NULL);
    gmp_randinit_default(state);
    mpz_urandomb(modulus, state, BITS);
    mpz_setbit(modulus, BITS - 1);
    mpz_setbit(modulus, 0);
    mpz_urandomm(a, state, modulus);
    mpz_urandomm(b, state, modulus);
    began = clock();
    for (int i = 0; i < TIMES; i++) {
        mpz_mul(product, a, b);
        mpz_mod(a, product, modulus);
    }
    return us(began);
}

static double with_openssl(void) {
    BN_CTX *context = BN_CTX_new();
    BN_MONT_CTX *montgomery = BN_MONT_CTX_new();
    BIGNUM *modulus = BN_new(), *a = BN_new(), *b = BN_new();
    clock_t began;
    if (!BN_rand(modulus, BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ODD) || !BN_rand_range(a, modulus) || !BN_rand_range(b, modulus) ||
        !BN_MONT_CTX_set(montgomery, modulus, context))
        exit(1);
    began = clock();
    for (int i = 0; i < TIMES; i++)
        if (!BN_mod_mul_montgomery(a, a, b, montgomery, context)) exit(1);
    return us(began);
}

int main(void) {
    printf("{\"gmp_us\": %.4f, \"openssl_us\": %.4f}\n", with_gmp(), with_openssl());
    return 0;
}
