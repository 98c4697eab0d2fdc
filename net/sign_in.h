/* sign_in.h -- how `syncline serve` knows who somebody is: a shared secret, signed tokens (jwt.h),
 * or not at all. */
#ifndef SYN_SIGN_IN_H
#define SYN_SIGN_IN_H

#include "jwt.h"
#include "syncline_server.h"

typedef struct sign_in sign_in;

/* From config's secret, keys, issuer, audience.  SYN_EMISUSE: the file of keys; detail (256 bytes)
 * says what is wrong. */
syn_err sign_in_new(sign_in **out, const syn_server_config *config, char *detail);
void sign_in_free(sign_in *s); /* NULL is fine */
/* Is there anything to bring, or does everyone come in? */
bool sign_in_needed(const sign_in *s);
/* Reads the file of keys again; on an error the old ones stay. */
syn_err sign_in_reload(sign_in *s, char *detail);

struct signed_in {
    char user[JWT_USER_BYTES + 1];
    uint32_t expires_ms; /* 0: never */
    jwt_claims *claims;  /* the caller's; NULL: no token, so no rights of its own */
    uint32_t server;     /* SYN_MAY_LIST: sees the names of documents; SYN_MAY_ADMIN */
};
/* SYN_EDENIED: detail (256 bytes) says why, without a byte of the token. */
syn_err sign_in_check(const sign_in *s, syn_str token, struct signed_in *out, char *detail);

#endif
