#include "ws_tls.h"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdio.h>
#include <stdlib.h>

struct ws_tls {
    SSL_CTX *pair; /* holds certificate, chain and key; serves nobody */
    SSL_CTX *idle;
};

long ws_tls_options(void)
{
    return (long)(SSL_OP_NO_SSLv3 | SSL_OP_NO_TLSv1 | SSL_OP_NO_TLSv1_1 | SSL_OP_NO_COMPRESSION |
                  SSL_OP_NO_RENEGOTIATION | SSL_OP_CIPHER_SERVER_PREFERENCE);
}

static syn_err refuse(char *detail, const char *file, const char *what)
{
    unsigned long error = ERR_peek_last_error();
    const char *reason = error != 0 ? ERR_reason_error_string(error) : NULL;
    snprintf(detail, 256, "%.120s: %s%s%.60s", file, what, reason != NULL ? ": " : "",
             reason != NULL ? reason : "");
    ERR_clear_error();
    return SYN_EMISUSE;
}

static syn_err load_pair(SSL_CTX **out, const char *cert, const char *key, char *detail)
{
    SSL_CTX *pair = SSL_CTX_new(TLS_server_method());
    syn_err err = SYN_OK;
    if (pair == NULL) return SYN_ENOMEM;
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(pair, cert) != 1)
        err = refuse(detail, cert, "no certificate chain in PEM form can be read from it");
    else if (SSL_CTX_use_PrivateKey_file(pair, key, SSL_FILETYPE_PEM) != 1)
        err = refuse(detail, key, "no private key of that certificate can be read from it");
    else if (SSL_CTX_check_private_key(pair) != 1)
        err = refuse(detail, key, "it is not the key of that certificate");
    if (err)
        SSL_CTX_free(pair);
    else
        *out = pair;
    return err;
}

syn_err ws_tls_new(ws_tls **out, const char *cert, const char *key, char *detail)
{
    ws_tls *tls = calloc(1, sizeof *tls);
    if (tls == NULL) return SYN_ENOMEM;
    tls->idle = SSL_CTX_new(TLS_client_method());
    syn_err err = tls->idle != NULL ? load_pair(&tls->pair, cert, key, detail) : SYN_ENOMEM;
    if (err)
        ws_tls_free(tls);
    else
        *out = tls;
    return err;
}

void ws_tls_free(ws_tls *tls)
{
    if (tls == NULL) return;
    SSL_CTX_free(tls->pair);
    SSL_CTX_free(tls->idle);
    free(tls);
}

void *ws_tls_idle(ws_tls *tls)
{
    return tls->idle;
}

syn_err ws_tls_renew(ws_tls *tls, const char *cert, const char *key, char *detail)
{
    SSL_CTX *pair;
    syn_err err = load_pair(&pair, cert, key, detail);
    if (err) return err;
    SSL_CTX_free(tls->pair);
    tls->pair = pair;
    return SYN_OK;
}

/* Called by OpenSSL at the beginning of each handshake; 0: it fails. */
static int give_pair(SSL *ssl, void *user)
{
    const ws_tls *tls = user;
    STACK_OF(X509) *chain = NULL;
    SSL_CTX_get0_chain_certs(tls->pair, &chain);
    SSL_certs_clear(ssl);
    return SSL_use_cert_and_key(ssl, SSL_CTX_get0_certificate(tls->pair),
                                SSL_CTX_get0_privatekey(tls->pair), chain, 1);
}

void ws_tls_serve(ws_tls *tls, void *ssl_context)
{
    SSL_CTX_set_cert_cb(ssl_context, give_pair, tls);
}

syn_err ws_tls_client_new(void **out, const char *ca, char *detail)
{
    char unused[256];
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    if (context == NULL) return SYN_ENOMEM;
    SSL_CTX_set_options(context, (uint64_t)ws_tls_options());
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    SSL_CTX_set_mode(context, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    ERR_clear_error();
    bool good = ca != NULL ? SSL_CTX_load_verify_locations(context, ca, NULL) == 1
                           : SSL_CTX_set_default_verify_paths(context) == 1;
    if (good) {
        *out = context;
        return SYN_OK;
    }
    SSL_CTX_free(context);
    return refuse(detail != NULL ? detail : unused, ca != NULL ? ca : "the system's authorities",
                  "no certificates in PEM form can be read from it");
}

void ws_tls_client_free(void *ssl_context)
{
    SSL_CTX_free(ssl_context);
}
