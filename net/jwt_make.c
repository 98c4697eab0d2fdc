/* jwt_make.c -- new keys, and tokens signed with them. */
#include "jwt_impl.h"

#include <openssl/core_names.h>
#include <openssl/ecdsa.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- Keys ------------------------------------------------------------------------------------ */

static bool put_bytes(json_t *jwk, const char *name, const unsigned char *bytes, size_t len)
{
    char text[2048];
    if (len > 1100) return false;
    base64_encode(bytes, len, text);
    return json_object_set_new(jwk, name, json_string(text)) == 0;
}

/* fixed: so many bytes, zeros in front; 0: as many as it takes. */
static bool put_number(json_t *jwk, const char *name, EVP_PKEY *key, const char *param, int fixed)
{
    unsigned char bytes[1100];
    BIGNUM *number = NULL;
    bool good = EVP_PKEY_get_bn_param(key, param, &number) == 1;
    int len = good ? (fixed != 0 ? fixed : BN_num_bytes(number)) : 0;
    good = good && len <= (int)sizeof bytes && BN_bn2binpad(number, bytes, len) == len &&
           put_bytes(jwk, name, bytes, (size_t)len);
    BN_clear_free(number);
    OPENSSL_cleanse(bytes, sizeof bytes);
    return good;
}

static bool put_rsa(json_t *jwk)
{
    EVP_PKEY *key = EVP_RSA_gen(3072);
    bool good = key != NULL && json_object_set_new(jwk, "kty", json_string("RSA")) == 0 &&
                put_number(jwk, "n", key, OSSL_PKEY_PARAM_RSA_N, 0) &&
                put_number(jwk, "e", key, OSSL_PKEY_PARAM_RSA_E, 0) &&
                put_number(jwk, "d", key, OSSL_PKEY_PARAM_RSA_D, 0);
    EVP_PKEY_free(key);
    return good;
}

static bool put_ec(json_t *jwk)
{
    EVP_PKEY *key = EVP_EC_gen("P-256");
    bool good = key != NULL && json_object_set_new(jwk, "kty", json_string("EC")) == 0 &&
                json_object_set_new(jwk, "crv", json_string("P-256")) == 0 &&
                put_number(jwk, "x", key, OSSL_PKEY_PARAM_EC_PUB_X, ES256_HALF) &&
                put_number(jwk, "y", key, OSSL_PKEY_PARAM_EC_PUB_Y, ES256_HALF) &&
                put_number(jwk, "d", key, OSSL_PKEY_PARAM_PRIV_KEY, ES256_HALF);
    EVP_PKEY_free(key);
    return good;
}

static bool put_secret(json_t *jwk)
{
    unsigned char secret[HS256_BYTES];
    return RAND_bytes(secret, sizeof secret) == 1 &&
           json_object_set_new(jwk, "kty", json_string("oct")) == 0 &&
           put_bytes(jwk, "k", secret, sizeof secret);
}

syn_err jwt_key_new(const char *alg, const char *kid, char **json)
{
    json_t *jwk = json_pack("{s:s, s:s}", "kid", kid, "alg", alg);
    bool good = jwk != NULL;
    switch (alg_named(alg)) {
    case ALG_HS256:
        good = good && put_secret(jwk);
        break;
    case ALG_RS256:
        good = good && put_rsa(jwk);
        break;
    case ALG_ES256:
        good = good && put_ec(jwk);
        break;
    default:
        json_decref(jwk);
        return SYN_EMISUSE;
    }
    *json = good ? json_dumps(jwk, JSON_INDENT(2)) : NULL;
    json_decref(jwk);
    return *json != NULL ? SYN_OK : SYN_ENOMEM;
}

static json_t *load_key(syn_str text, struct jwt_key *key, char *detail)
{
    json_error_t error;
    json_t *jwk = json_loadb(text.data, text.len, JSON_REJECT_DUPLICATES, &error);
    if (!json_is_object(jwk) || json_object_get(jwk, "keys") != NULL) {
        snprintf(detail, 256, "one JWK is wanted, as `syncline token key` prints it");
        json_decref(jwk);
        return NULL;
    }
    if (jwk_read(key, jwk, detail) == SYN_OK) return jwk;
    json_decref(jwk);
    return NULL;
}

syn_err jwt_key_public(syn_str json, char **set, char *detail)
{
    static const char *const private_parts[] = {"d", "p", "q", "dp", "dq", "qi", "oth"};
    struct jwt_key key;
    json_t *jwk = load_key(json, &key, detail);
    if (jwk == NULL) return SYN_EMISUSE;
    for (size_t i = 0; i < sizeof private_parts / sizeof *private_parts; i++)
        json_object_del(jwk, private_parts[i]);
    jwk_clear(&key);
    json_t *whole = json_pack("{s:[o]}", "keys", jwk);
    *set = whole != NULL ? json_dumps(whole, JSON_INDENT(2)) : NULL;
    json_decref(whole);
    return *set != NULL ? SYN_OK : SYN_ENOMEM;
}

/* ---- Tokens ---------------------------------------------------------------------------------- */

/* DER back to r and s. */
static size_t ecdsa_raw(const unsigned char *der, size_t len, unsigned char out[2 * ES256_HALF])
{
    ECDSA_SIG *signature = d2i_ECDSA_SIG(NULL, &der, (long)len);
    bool good =
        signature != NULL &&
        BN_bn2binpad(ECDSA_SIG_get0_r(signature), out, ES256_HALF) == ES256_HALF &&
        BN_bn2binpad(ECDSA_SIG_get0_s(signature), out + ES256_HALF, ES256_HALF) == ES256_HALF;
    ECDSA_SIG_free(signature);
    return good ? 2 * ES256_HALF : 0;
}

/* 0: it could not be signed. */
static size_t sign(const struct jwt_key *key, const char *text, size_t len,
                   unsigned char out[SIGNATURE_MOST])
{
    unsigned char der[SIGNATURE_MOST];
    size_t der_len = sizeof der;
    if (key->alg == ALG_HS256) return hmac_sha256(key, text, len, out) ? HS256_BYTES : 0;
    EVP_MD_CTX *digest = EVP_MD_CTX_new();
    bool good = digest != NULL &&
                EVP_DigestSignInit(digest, NULL, EVP_sha256(), NULL, key->key) == 1 &&
                EVP_DigestSign(digest, der, &der_len, (const unsigned char *)text, len) == 1;
    EVP_MD_CTX_free(digest);
    if (!good) return 0;
    if (key->alg == ALG_ES256) return ecdsa_raw(der, der_len, out);
    memcpy(out, der, der_len);
    return der_len;
}

static size_t put_base64(char *out, const void *bytes, size_t len)
{
    return base64_encode(bytes, len, out);
}

syn_err jwt_sign(syn_str private_jwk, const char *claims, char **token, char *detail)
{
    static const char *const names[] = {"", "HS256", "RS256", "ES256"};
    unsigned char signature[SIGNATURE_MOST];
    char header[256];
    struct jwt_key key;
    json_t *jwk = load_key(private_jwk, &key, detail);
    if (jwk == NULL) return SYN_EMISUSE;
    json_t *kid = json_string(key.kid);
    char *quoted = json_dumps(kid, JSON_ENCODE_ANY);
    json_decref(kid);
    json_decref(jwk);
    int header_len = snprintf(header, sizeof header, "{\"alg\":\"%s\",\"kid\":%s,\"typ\":\"JWT\"}",
                              names[key.alg], quoted != NULL ? quoted : "\"\"");
    free(quoted);
    size_t len = strlen(claims), room = 4 * (256 + len + SIGNATURE_MOST) / 3 + 16;
    char *text = malloc(room);
    size_t at = 0, signed_len = 0;
    if (text != NULL && header_len < (int)sizeof header) {
        at = put_base64(text, header, (size_t)header_len);
        text[at++] = '.';
        at += put_base64(text + at, claims, len);
        signed_len = sign(&key, text, at, signature);
    }
    jwk_clear(&key);
    if (signed_len == 0) {
        free(text);
        snprintf(detail, 256, "it could not be signed: is this the private key?");
        return SYN_EMISUSE;
    }
    text[at++] = '.';
    put_base64(text + at, signature, signed_len);
    *token = text;
    return SYN_OK;
}
