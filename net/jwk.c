/* jwk.c -- keys from JSON (RFC 7517, RFC 7518), and base64url. */
#include "jwt_impl.h"

#include <openssl/core_names.h>
#include <openssl/hmac.h>
#include <openssl/param_build.h>
#include <stdio.h>
#include <string.h>

/* ---- base64url ------------------------------------------------------------------------------- */

static int digit_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z') return c - 'A';
    if (c >= 'a' && c <= 'z') return c - 'a' + 26;
    if (c >= '0' && c <= '9') return c - '0' + 52;
    if (c == '-') return 62;
    return c == '_' ? 63 : -1;
}

bool base64_decode(const char *text, size_t len, unsigned char *out, size_t cap, size_t *out_len)
{
    uint32_t bits = 0;
    unsigned have = 0;
    size_t n = 0;
    if (len % 4 == 1) return false;
    for (size_t i = 0; i < len; i++) {
        int digit = digit_of((unsigned char)text[i]);
        if (digit < 0) return false;
        bits = (bits << 6 | (uint32_t)digit) & 0xffffff;
        have += 6;
        if (have < 8) continue;
        have -= 8;
        if (n == cap) return false;
        out[n++] = (unsigned char)(bits >> have);
    }
    *out_len = n;
    return (bits & ((1u << have) - 1)) == 0;
}

size_t base64_encode(const unsigned char *bytes, size_t len, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n = 0;
    for (size_t i = 0; i < len; i += 3) {
        uint32_t have = len - i >= 3 ? 3 : (uint32_t)(len - i);
        uint32_t bits = (uint32_t)bytes[i] << 16;
        if (have > 1) bits |= (uint32_t)bytes[i + 1] << 8;
        if (have > 2) bits |= bytes[i + 2];
        for (uint32_t k = 0; k <= have; k++) out[n++] = digits[bits >> (18 - 6 * k) & 63];
    }
    out[n] = '\0';
    return n;
}

/* ---- Keys ------------------------------------------------------------------------------------ */

enum jwt_alg alg_named(const char *name)
{
    if (name == NULL) return ALG_NONE;
    if (strcmp(name, "HS256") == 0) return ALG_HS256;
    if (strcmp(name, "RS256") == 0) return ALG_RS256;
    return strcmp(name, "ES256") == 0 ? ALG_ES256 : ALG_NONE;
}

static const char *member(const json_t *object, const char *name)
{
    return json_string_value(json_object_get(object, name));
}

/* A base64url member as a number; NULL: it is missing or wrong. */
static BIGNUM *number(const json_t *jwk, const char *name)
{
    unsigned char bytes[1100];
    size_t len;
    const char *text = member(jwk, name);
    if (text == NULL || !base64_decode(text, strlen(text), bytes, sizeof bytes, &len)) return NULL;
    return BN_bin2bn(bytes, (int)len, NULL);
}

static EVP_PKEY *key_from(const char *type, OSSL_PARAM_BLD *parts, int selection)
{
    EVP_PKEY *key = NULL;
    OSSL_PARAM *params = OSSL_PARAM_BLD_to_param(parts);
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(NULL, type, NULL);
    if (params != NULL && context != NULL && EVP_PKEY_fromdata_init(context) == 1 &&
        EVP_PKEY_fromdata(context, &key, selection, params) != 1)
        key = NULL;
    EVP_PKEY_CTX_free(context);
    OSSL_PARAM_free(params);
    return key;
}

static EVP_PKEY *rsa_key(const json_t *jwk)
{
    OSSL_PARAM_BLD *parts = OSSL_PARAM_BLD_new();
    BIGNUM *n = number(jwk, "n"), *e = number(jwk, "e"), *d = number(jwk, "d");
    EVP_PKEY *key = NULL;
    bool good = parts != NULL && n != NULL && e != NULL && BN_num_bits(n) >= 2048 &&
                BN_num_bits(n) <= 8192 &&
                OSSL_PARAM_BLD_push_BN(parts, OSSL_PKEY_PARAM_RSA_N, n) == 1 &&
                OSSL_PARAM_BLD_push_BN(parts, OSSL_PKEY_PARAM_RSA_E, e) == 1 &&
                (d == NULL || OSSL_PARAM_BLD_push_BN(parts, OSSL_PKEY_PARAM_RSA_D, d) == 1);
    if (good) key = key_from("RSA", parts, d != NULL ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY);
    OSSL_PARAM_BLD_free(parts);
    BN_free(n);
    BN_free(e);
    BN_clear_free(d);
    return key;
}

/* A coordinate has exactly 32 bytes (RFC 7518, 6.2.1.2). */
static bool coordinate(const json_t *jwk, const char *name, unsigned char out[ES256_HALF])
{
    size_t len;
    const char *text = member(jwk, name);
    return text != NULL && base64_decode(text, strlen(text), out, ES256_HALF, &len) &&
           len == ES256_HALF;
}

static EVP_PKEY *ec_key(const json_t *jwk)
{
    unsigned char point[1 + 2 * ES256_HALF] = {4};
    const char *curve = member(jwk, "crv");
    OSSL_PARAM_BLD *parts = OSSL_PARAM_BLD_new();
    BIGNUM *d = number(jwk, "d");
    EVP_PKEY *key = NULL;
    bool good =
        parts != NULL && curve != NULL && strcmp(curve, "P-256") == 0 &&
        coordinate(jwk, "x", point + 1) && coordinate(jwk, "y", point + 1 + ES256_HALF) &&
        OSSL_PARAM_BLD_push_utf8_string(parts, OSSL_PKEY_PARAM_GROUP_NAME, "P-256", 0) == 1 &&
        OSSL_PARAM_BLD_push_octet_string(parts, OSSL_PKEY_PARAM_PUB_KEY, point, sizeof point) ==
            1 &&
        (d == NULL || OSSL_PARAM_BLD_push_BN(parts, OSSL_PKEY_PARAM_PRIV_KEY, d) == 1);
    if (good) key = key_from("EC", parts, d != NULL ? EVP_PKEY_KEYPAIR : EVP_PKEY_PUBLIC_KEY);
    OSSL_PARAM_BLD_free(parts);
    BN_clear_free(d);
    return key;
}

static bool oct_key(struct jwt_key *key, const json_t *jwk)
{
    const char *text = member(jwk, "k");
    return text != NULL &&
           base64_decode(text, strlen(text), key->secret, sizeof key->secret, &key->secret_len) &&
           key->secret_len >= HS256_BYTES;
}

syn_err jwk_read(struct jwt_key *key, const json_t *jwk, char *detail)
{
    const char *kid = member(jwk, "kid"), *alg = member(jwk, "alg"), *kty = member(jwk, "kty");
    memset(key, 0, sizeof *key);
    if (kid == NULL || kid[0] == '\0' || strlen(kid) >= sizeof key->kid) {
        snprintf(detail, 256, "a key has no \"kid\" of 1 to %zu bytes", sizeof key->kid - 1);
        return SYN_EMISUSE;
    }
    snprintf(key->kid, sizeof key->kid, "%s", kid);
    key->alg = alg_named(alg);
    if (key->alg == ALG_NONE) {
        snprintf(detail, 256, "key %.100s: \"alg\" must be HS256, RS256 or ES256", kid);
        return SYN_EMISUSE;
    }
    const char *types[] = {NULL, "oct", "RSA", "EC"};
    bool good = kty != NULL && strcmp(kty, types[key->alg]) == 0;
    if (good && key->alg == ALG_HS256) good = oct_key(key, jwk);
    if (good && key->alg == ALG_RS256) good = (key->key = rsa_key(jwk)) != NULL;
    if (good && key->alg == ALG_ES256) good = (key->key = ec_key(jwk)) != NULL;
    if (good) return SYN_OK;
    snprintf(detail, 256,
             "key %.100s is no %s key: HS256 wants kty oct and 32 bytes, RS256 kty RSA and 2048 to "
             "8192 bits, ES256 kty EC and crv P-256",
             kid, alg);
    jwk_clear(key);
    return SYN_EMISUSE;
}

void jwk_clear(struct jwt_key *key)
{
    EVP_PKEY_free(key->key);
    OPENSSL_cleanse(key, sizeof *key);
}

bool hmac_sha256(const struct jwt_key *key, const char *text, size_t len,
                 unsigned char out[HS256_BYTES])
{
    unsigned out_len = 0;
    return HMAC(EVP_sha256(), key->secret, (int)key->secret_len, (const unsigned char *)text, len,
                out, &out_len) != NULL &&
           out_len == HS256_BYTES;
}
