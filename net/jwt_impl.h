/* jwt_impl.h -- keys as jwt.c (checking) and jwt_make.c (making) see them.
 *
 * OpenSSL's EVP is included by net/jwt* alone. */
#ifndef SYN_JWT_IMPL_H
#define SYN_JWT_IMPL_H

#include "jwt.h"

#include <jansson.h>
#include <openssl/evp.h>

enum jwt_alg { ALG_NONE, ALG_HS256, ALG_RS256, ALG_ES256 };

struct jwt_key {
    char kid[128];
    enum jwt_alg alg;
    EVP_PKEY *key; /* RS256, ES256 */
    unsigned char secret[512];
    size_t secret_len; /* HS256 */
};

enum { SIGNATURE_MOST = 1024, HS256_BYTES = 32, ES256_HALF = 32 };

enum jwt_alg alg_named(const char *name);

/* base64url without padding (RFC 7515), strictly: no other character, no stray bits. */
bool base64_decode(const char *text, size_t len, unsigned char *out, size_t cap, size_t *out_len);
/* Needs 4 characters for 3 bytes, and one; returns the length. */
size_t base64_encode(const unsigned char *bytes, size_t len, char *out);

/* A key of JSON, private if `d` is there.  SYN_EMISUSE with detail. */
syn_err jwk_read(struct jwt_key *key, const json_t *jwk, char *detail);
void jwk_clear(struct jwt_key *key);

bool hmac_sha256(const struct jwt_key *key, const char *text, size_t len,
                 unsigned char out[HS256_BYTES]);

#endif
