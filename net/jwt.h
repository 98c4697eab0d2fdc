/* jwt.h -- signed tokens: who somebody is, until when, and what they may do to which documents.
 *
 * A token is a JWT (RFC 7519) in compact form; keys are a JWK Set (RFC 7517), each with a `kid` and
 * exactly one `alg`:
 *
 *     HS256  kty oct, k of 32 bytes or more      RS256  kty RSA, 2048 to 8192 bits
 *     ES256  kty EC, crv P-256
 *
 * The algorithm is the key's, never the token's: the token's header only says which key, and must
 * agree.  Otherwise a public RSA key could be used as the secret of an HS256 token.  There is no
 * "none".  What the token claims:
 *
 *     sub       the user, 1 to 255 bytes           exp   seconds since 1970; must be there
 *     nbf       not before                         iss, aud   must match when the server demands it
 *     syncline  {"documents": {"team-*": "read write create", "notes": "read"}, "server": "list"}
 *
 * In a pattern `*` stands for any bytes, also none; all that match a name count together.  Words:
 * read write create relay; of the server: list, admin.  A word that is not known gives nothing. */
#ifndef SYN_JWT_H
#define SYN_JWT_H

#include "syncline.h"

enum {
    JWT_READ = 1,
    JWT_WRITE = 2,
    JWT_CREATE = 4,
    JWT_RELAY = 8,
    JWT_LIST = 16,
    JWT_ADMIN = 32,
};
enum { JWT_USER_BYTES = 255, JWT_TOKEN_BYTES = 4096, JWT_LEEWAY_S = 30 };

typedef struct jwt_keys jwt_keys;
typedef struct jwt_claims jwt_claims;

/* From a JWK Set, or one JWK.  SYN_EMISUSE: it is none, or a key is not as above; detail (256
 * bytes) says which and why. */
syn_err jwt_keys_new(jwt_keys **out, syn_str json, char *detail);
void jwt_keys_free(jwt_keys *keys); /* NULL is fine */

struct jwt_demand {
    const char *issuer, *audience; /* NULL: any */
    int64_t now;                   /* seconds since 1970 */
};

/* Everything is checked before anything is told.  SYN_EDENIED: detail (256 bytes) says why, without
 * a byte of the token.  SYN_ENOMEM. */
syn_err jwt_check(const jwt_keys *keys, syn_str token, const struct jwt_demand *demand,
                  jwt_claims **out, char *detail);
void jwt_claims_free(jwt_claims *claims);             /* NULL is fine */
syn_str jwt_user(const jwt_claims *claims);           /* borrowed */
int64_t jwt_expires(const jwt_claims *claims);        /* seconds since 1970 */
uint32_t jwt_server_rights(const jwt_claims *claims); /* JWT_LIST, JWT_ADMIN */
uint32_t jwt_rights(const jwt_claims *claims, syn_str document);

/* ---- Making them (`syncline token`) */

/* A new private JWK as JSON text; from malloc.  alg: one of the above. */
syn_err jwt_key_new(const char *alg, const char *kid, char **json);
/* The JWK Set for those who only check: private parts left out (of an oct key there is nothing to
 * leave out, it is the same secret).  From malloc. */
syn_err jwt_key_public(syn_str json, char **set, char *detail);
/* Signs claims (JSON text) with a private JWK.  From malloc. */
syn_err jwt_sign(syn_str private_jwk, const char *claims, char **token, char *detail);

/* Does `*` in the pattern stretch so that it is the text? */
bool jwt_pattern_matches(syn_str pattern, syn_str text);

#endif
