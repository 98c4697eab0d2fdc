/* test_tls.c -- server and client over TLS, with certificates made on the spot. */
#include "syncline_client.h"
#include "on_loops.h"
#include "syncline_server.h"

#include <arpa/inet.h>
#include <check.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 60000

struct world {
    syn_server *server;
    char folder[64], cert[96], key[96], other_cert[96], other_key[96], url[96];
    atomic_int reloads, failures;
};

/* ---- Certificates ---------------------------------------------------------------------------- */

static void add_extension(X509 *cert, int nid, const char *value)
{
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, NULL, nid, value);
    ck_assert_ptr_nonnull(extension);
    X509_add_ext(cert, extension, -1);
    X509_EXTENSION_free(extension);
}

/* Signed by itself, for this machine, good from an hour ago to an hour from now. */
static void make_certificate(const char *cert_file, const char *key_file, EVP_PKEY *key,
                             long serial)
{
    X509 *cert = X509_new();
    X509_set_version(cert, 2);
    ASN1_INTEGER_set(X509_get_serialNumber(cert), serial);
    X509_gmtime_adj(X509_getm_notBefore(cert), -3600);
    X509_gmtime_adj(X509_getm_notAfter(cert), 3600);
    X509_set_pubkey(cert, key);
    X509_NAME *name = X509_get_subject_name(cert);
    X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC, (const unsigned char *)"localhost", -1, -1,
                               0);
    X509_set_issuer_name(cert, name);
    add_extension(cert, NID_subject_alt_name, "DNS:localhost,IP:127.0.0.1");
    add_extension(cert, NID_basic_constraints, "critical,CA:TRUE");
    ck_assert_int_gt(X509_sign(cert, key, EVP_sha256()), 0);
    FILE *file = fopen(cert_file, "w");
    ck_assert_int_eq(PEM_write_X509(file, cert), 1);
    fclose(file);
    file = fopen(key_file, "w");
    ck_assert_int_eq(PEM_write_PrivateKey(file, key, NULL, NULL, 0, NULL, NULL), 1);
    fclose(file);
    X509_free(cert);
    EVP_PKEY_free(key);
}

/* ---- The world ------------------------------------------------------------------------------- */

static void count_reloads(void *user, const char *line)
{
    struct world *w = user;
    if (strstr(line, "reload failed") != NULL)
        atomic_fetch_add(&w->failures, 1);
    else if (strstr(line, "reload") != NULL)
        atomic_fetch_add(&w->reloads, 1);
}

static void world_open(struct world *w)
{
    char detail[256] = "";
    memset(w, 0, sizeof *w);
    snprintf(w->folder, sizeof w->folder, "/tmp/syn-test-tls-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w->folder));
    snprintf(w->cert, sizeof w->cert, "%s/cert.pem", w->folder);
    snprintf(w->key, sizeof w->key, "%s/key.pem", w->folder);
    snprintf(w->other_cert, sizeof w->other_cert, "%s/other-cert.pem", w->folder);
    snprintf(w->other_key, sizeof w->other_key, "%s/other-key.pem", w->folder);
    make_certificate(w->cert, w->key, EVP_EC_gen("P-256"), 1);
    make_certificate(w->other_cert, w->other_key, EVP_RSA_gen(2048), 2);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.listen = "127.0.0.1:0";
    config.tls_cert = w->cert;
    config.tls_key = w->key;
    config.log = count_reloads;
    config.user = w;
    config.loops = loops_tried;
    syn_err err = syn_server_start(&w->server, &config, detail);
    ck_assert_msg(err == SYN_OK, "%s: %s", syn_errname(err), detail);
    snprintf(w->url, sizeof w->url, "wss://localhost:%u", syn_server_port(w->server));
}

static void world_close(struct world *w)
{
    char command[128];
    syn_server_stop(w->server, 1000);
    snprintf(command, sizeof command, "rm -rf %s", w->folder);
    ck_assert_int_eq(system(command), 0);
}

static syn_client *client_of(const struct world *w, const char *ca)
{
    char detail[256] = "";
    syn_client *client;
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    config.url = w->url;
    config.ca = ca;
    config.backoff_min_ms = 20;
    config.backoff_max_ms = 200;
    syn_err err = syn_client_new(&client, &config, detail);
    ck_assert_msg(err == SYN_OK, "%s: %s", syn_errname(err), detail);
    return client;
}

static void type(syn_client *client, syn_client_doc *cd, const char *what)
{
    syn_obj text;
    syn_client_lock(client);
    syn_doc *doc = syn_client_doc_state(cd);
    ck_assert_int_eq(syn_client_edit(cd), SYN_OK);
    ck_assert_int_eq(syn_root(doc, syn_s(""), SYN_TEXT, &text), SYN_OK);
    ck_assert_int_eq(syn_text_insert(doc, text, 0, syn_s(what)), SYN_OK);
    ck_assert_int_eq(syn_client_edited(cd), SYN_OK);
    syn_client_unlock(client);
}

static void save(syn_client *client, syn_client_doc *cd, const char *what)
{
    type(client, cd, what);
    syn_err err = syn_client_wait(cd, WAIT_MS);
    ck_assert_msg(err == SYN_OK, "%s (%s)", syn_strerror(err), syn_client_doc_reason(cd));
}

/* What a bare TLS connection gets: the serial number of the certificate, or 0 if it is refused. */
static long serial_of(const struct world *w, int most_version)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_port = htons(syn_server_port(w->server))};
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    ck_assert_int_eq(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL_CTX_set_min_proto_version(context, TLS1_VERSION);
    SSL_CTX_set_max_proto_version(context, most_version);
    SSL_CTX_set_cipher_list(context, "DEFAULT:@SECLEVEL=0");
    SSL *ssl = SSL_new(context);
    SSL_set_fd(ssl, fd);
    long serial = 0;
    if (SSL_connect(ssl) == 1) {
        X509 *cert = SSL_get1_peer_certificate(ssl);
        serial = ASN1_INTEGER_get(X509_get0_serialNumber(cert));
        X509_free(cert);
    }
    SSL_free(ssl);
    SSL_CTX_free(context);
    close(fd);
    return serial;
}

/* ---- Tests ----------------------------------------------------------------------------------- */

START_TEST(two_clients_meet_over_tls)
{
    struct world w;
    syn_client_doc *a_doc, *b_doc;
    size_t len;
    static char large[300000];
    world_open(&w);
    memset(large, 'x', sizeof large - 1);
    syn_client *a = client_of(&w, w.cert), *b = client_of(&w, w.cert);
    ck_assert_int_eq(syn_client_open(a, syn_s("notes"), &a_doc), SYN_OK);
    save(a, a_doc, large);
    ck_assert_int_eq(syn_client_open(b, syn_s("notes"), &b_doc), SYN_OK);
    ck_assert_int_eq(syn_client_wait_live(b_doc, WAIT_MS), SYN_OK);
    save(b, b_doc, "hello");
    syn_client_lock(b);
    syn_obj text;
    ck_assert_int_eq(syn_root(syn_client_doc_state(b_doc), syn_s(""), SYN_TEXT, &text), SYN_OK);
    len = syn_text_len(syn_client_doc_state(b_doc), text);
    syn_client_unlock(b);
    ck_assert_uint_eq(len, sizeof large - 1 + 5);
    syn_client_free(a);
    syn_client_free(b);
    world_close(&w);
}
END_TEST

/* Neither the system's authorities nor another one vouch for the server. */
START_TEST(an_unknown_certificate_gets_nothing)
{
    struct world w;
    world_open(&w);
    const char *authorities[] = {NULL, w.other_cert};
    for (int i = 0; i < 2; i++) {
        syn_client *client = client_of(&w, authorities[i]);
        syn_client_doc *doc;
        ck_assert_int_eq(syn_client_open(client, syn_s("notes"), &doc), SYN_OK);
        type(client, doc, "secret");
        ck_assert_int_eq(syn_client_wait(doc, 1000), SYN_EBUSY);
        syn_client_free(client);
    }
    syn_client *good = client_of(&w, w.cert);
    syn_client_doc *doc;
    ck_assert_int_eq(syn_client_open(good, syn_s("notes"), &doc), SYN_OK);
    ck_assert_int_eq(syn_client_wait_live(doc, WAIT_MS), SYN_ENOTFOUND); /* nothing came through */
    syn_client_free(good);
    world_close(&w);
}
END_TEST

START_TEST(old_versions_are_refused)
{
    struct world w;
    world_open(&w);
    ck_assert_int_eq(serial_of(&w, TLS1_1_VERSION), 0);
    ck_assert_int_eq(serial_of(&w, TLS1_2_VERSION), 1);
    ck_assert_int_eq(serial_of(&w, TLS1_3_VERSION), 1);
    world_close(&w);
}
END_TEST

static void copy_file(const char *from, const char *to)
{
    char command[256];
    snprintf(command, sizeof command, "cp %s %s", from, to);
    ck_assert_int_eq(system(command), 0);
}

static void wait_for(const atomic_int *what, int value)
{
    while (atomic_load(what) < value) usleep(1000);
}

/* From an elliptic curve to RSA, so that the old pair could stay beside the new one. */
START_TEST(a_renewed_certificate_drops_nobody)
{
    struct world w;
    syn_client_doc *doc;
    world_open(&w);
    syn_client *client = client_of(&w, w.cert);
    ck_assert_int_eq(syn_client_open(client, syn_s("notes"), &doc), SYN_OK);
    save(client, doc, "before");
    copy_file(w.other_cert, w.cert); /* and not its key yet */
    syn_server_reload(w.server);
    wait_for(&w.failures, 1);
    ck_assert_int_eq(serial_of(&w, TLS1_3_VERSION), 1);
    copy_file(w.other_key, w.key);
    syn_server_reload(w.server);
    wait_for(&w.reloads, 1);
    ck_assert_int_eq(serial_of(&w, TLS1_3_VERSION), 2);
    ck_assert_int_eq(serial_of(&w, TLS1_2_VERSION), 2);
    save(client, doc, "after"); /* it could not connect anew: it trusts the old one alone */
    syn_client_free(client);
    world_close(&w);
}
END_TEST

START_TEST(bad_files_are_named)
{
    struct world w;
    syn_server *server = NULL;
    syn_client *client = NULL;
    char detail[256] = "";
    world_open(&w);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.listen = "127.0.0.1:0";
    config.tls_cert = w.cert;
    ck_assert_int_eq(syn_server_start(&server, &config, detail), SYN_EMISUSE);
    config.tls_key = w.other_key;
    ck_assert_int_eq(syn_server_start(&server, &config, detail), SYN_EMISUSE);
    ck_assert_ptr_nonnull(strstr(detail, w.other_key));
    config.tls_key = "/nonexistent/key.pem";
    ck_assert_int_eq(syn_server_start(&server, &config, detail), SYN_EMISUSE);
    ck_assert_ptr_nonnull(strstr(detail, "/nonexistent/key.pem"));
    config.tls_cert = w.key;
    ck_assert_int_eq(syn_server_start(&server, &config, detail), SYN_EMISUSE);
    ck_assert_ptr_nonnull(strstr(detail, w.key));
    syn_client_config wrong = SYN_CLIENT_CONFIG_INIT;
    wrong.url = w.url;
    wrong.ca = w.key;
    ck_assert_int_eq(syn_client_new(&client, &wrong, detail), SYN_EMISUSE);
    ck_assert_ptr_nonnull(strstr(detail, w.key));
    world_close(&w);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, two_clients_meet_over_tls);
    tcase_add_test(tests, an_unknown_certificate_gets_nothing);
    tcase_add_test(tests, old_versions_are_refused);
    tcase_add_test(tests, a_renewed_certificate_drops_nobody);
    tcase_add_test(tests, bad_files_are_named);
}

int main(void)
{
    Suite *suite = suite_create("tls");
    add_on_loops(suite, "tls", 0, add_tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
