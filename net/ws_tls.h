/* ws_tls.h -- what both sides agree on about TLS, and a server's certificate that can be renewed.
 *
 * The encryption itself is libwebsockets' on OpenSSL.  Its own way to renew a certificate keeps the
 * old one beside a new one of another kind (RSA after EC) and may stop half way; so each connection
 * is given, when it begins, the pair that is current then. */
#ifndef SYN_WS_TLS_H
#define SYN_WS_TLS_H

#include "syncline.h"

/* Options of OpenSSL for a context: TLS 1.2 and 1.3 only, no compression, no renegotiation. */
long ws_tls_options(void);

/* A certificate chain with its private key. */
typedef struct ws_tls ws_tls;

/* From PEM files.  SYN_EMISUSE: they are no pair; detail (256 bytes) says why. */
syn_err ws_tls_new(ws_tls **out, const char *cert, const char *key, char *detail);
void ws_tls_free(ws_tls *tls); /* NULL is fine */
/* Another pair for the connections to come; on an error the old one stays. */
syn_err ws_tls_renew(ws_tls *tls, const char *cert, const char *key, char *detail);
/* From now on the context (an SSL_CTX) gives its connections this pair; tls must outlive it. */
void ws_tls_serve(ws_tls *tls, void *ssl_context);
/* An SSL_CTX for connections that the server never makes.  Without it libwebsockets would make one
 * with all of the system's authorities, and not free it. */
void *ws_tls_idle(ws_tls *tls);

/* What a client's connections are made from (an SSL_CTX): it trusts the authorities in that PEM
 * file, or, with NULL, the system's.  Ours, because of several contexts in one process
 * libwebsockets frees only the last one's.  SYN_EMISUSE: the file; detail (256 bytes, may be NULL)
 * says why. */
syn_err ws_tls_client_new(void **out, const char *ca, char *detail);
void ws_tls_client_free(void *ssl_context); /* NULL is fine */

#endif
