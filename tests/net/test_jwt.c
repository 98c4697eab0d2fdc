/* test_jwt.c -- tokens: vectors of RFC 7515, everything forged and stale, and a server that wants
 * them. */
#include "../core/random.h"
#include "jwt.h"
#include "on_loops.h"
#include "raw_ws.h"
#include "syncline_server.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

enum { NOW = 1800000000 };

static jwt_keys *keys_of(const char *json)
{
    char detail[256] = "";
    jwt_keys *keys = NULL;
    syn_err err = jwt_keys_new(&keys, syn_s(json), detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
    return keys;
}

/* A new private key, and the set that checks it. */
struct pair {
    char *private, *public;
};

static struct pair new_pair(const char *alg, const char *kid)
{
    struct pair pair;
    char detail[256] = "";
    ck_assert_int_eq(jwt_key_new(alg, kid, &pair.private), SYN_OK);
    syn_err err = jwt_key_public(syn_s(pair.private), &pair.public, detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
    return pair;
}

static void free_pair(struct pair *pair)
{
    free(pair->private);
    free(pair->public);
}

static char *signed_by(const char *key, const char *claims)
{
    char detail[256] = "", *token = NULL;
    syn_err err = jwt_sign(syn_s(key), claims, &token, detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
    return token;
}

/* "" if the token is good, else what is said of it. */
static const char *verdict(const jwt_keys *keys, syn_str token, const struct jwt_demand *demand)
{
    static char detail[256];
    jwt_claims *claims = NULL;
    detail[0] = '\0';
    syn_err err = jwt_check(keys, token, demand, &claims, detail);
    ck_assert_int_eq(err == SYN_OK, detail[0] == '\0');
    jwt_claims_free(claims);
    return detail;
}

static void expect(const jwt_keys *keys, const char *token, const struct jwt_demand *demand,
                   const char *part)
{
    const char *said = verdict(keys, syn_s(token), demand);
    if (part[0] == '\0')
        ck_assert_str_eq(said, "");
    else
        ck_assert_msg(strstr(said, part) != NULL, "\"%s\" has no \"%s\"", said, part);
}

/* ---- Vectors --------------------------------------------------------------------------------- */

#define RFC_PAYLOAD                                                                                \
    "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0cnVl" \
    "f"                                                                                            \
    "Q"

/* Appendices A.1 and A.3.  They name no user, which is found out only behind the signature. */
START_TEST(vectors_of_rfc_7515)
{
    const struct jwt_demand demand = {.now = 1300819000};
    jwt_keys *hs = keys_of(
        "{\"kty\":\"oct\",\"kid\":\"a\",\"alg\":\"HS256\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMk"
        "oqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow\"}");
    expect(hs,
           "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9." RFC_PAYLOAD
           ".dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
           &demand, "(sub)");
    jwt_keys *es = keys_of("{\"kty\":\"EC\",\"crv\":\"P-256\",\"kid\":\"b\",\"alg\":\"ES256\","
                           "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
                           "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}");
    expect(
        es,
        "eyJhbGciOiJFUzI1NiJ9." RFC_PAYLOAD
        ".DtEhU3ljbEg8L38VWAfUAqOyKAM6-Xx-F4GawxaepmXFCgfTjDxw5djxLa8ISlSApmWQxfKTUJqPP3-Kg6NU1Q",
        &demand, "(sub)");
    jwt_keys_free(hs);
    jwt_keys_free(es);
}
END_TEST

static const char *const algs[] = {"HS256", "RS256", "ES256"};

START_TEST(signed_and_read_again)
{
    struct pair pair = new_pair(algs[_i], "k1");
    jwt_keys *keys = keys_of(pair.public);
    const struct jwt_demand demand = {.now = NOW, .issuer = "me", .audience = "here"};
    char detail[256];
    char *token = signed_by(
        pair.private,
        "{\"sub\":\"ann\",\"exp\":1800000060,\"nbf\":1799999999,\"iss\":\"me\",\"aud\":[\"x\","
        "\"here"
        "\"],\"syncline\":{\"documents\":{\"team/*\":\"read write\",\"*/new\":\"create nonsense\"},"
        "\"server\":\"list\"}}");
    jwt_claims *claims;
    ck_assert_int_eq(jwt_check(keys, syn_s(token), &demand, &claims, detail), SYN_OK);
    syn_str user = jwt_user(claims);
    ck_assert_int_eq(user.len == 3 && memcmp(user.data, "ann", 3) == 0, 1);
    ck_assert_int_eq(jwt_expires(claims), NOW + 60);
    ck_assert_uint_eq(jwt_server_rights(claims), JWT_LIST);
    ck_assert_uint_eq(jwt_rights(claims, syn_s("team/a")), JWT_READ | JWT_WRITE);
    ck_assert_uint_eq(jwt_rights(claims, syn_s("team/new")), JWT_READ | JWT_WRITE | JWT_CREATE);
    ck_assert_uint_eq(jwt_rights(claims, syn_s("teams/a")), 0);
    jwt_claims_free(claims);
    free(token);
    jwt_keys_free(keys);
    free_pair(&pair);
}
END_TEST

/* ---- Forged ---------------------------------------------------------------------------------- */

START_TEST(no_byte_may_differ)
{
    static const char other[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.=+/ ";
    struct pair pair = new_pair(algs[_i], "k1");
    jwt_keys *keys = keys_of(pair.public);
    const struct jwt_demand demand = {.now = NOW};
    struct random r = random_seeded((uint32_t)_i);
    char *token = signed_by(pair.private, "{\"sub\":\"ann\",\"exp\":1800000060}");
    size_t len = strlen(token);
    expect(keys, token, &demand, "");
    for (size_t i = 0; i < len; i++) {
        char was = token[i];
        must(verdict(keys, (syn_str){token, i}, &demand)[0] != '\0');
        do token[i] = other[below(&r, sizeof other - 1)];
        while (token[i] == was);
        must(verdict(keys, (syn_str){token, len}, &demand)[0] != '\0');
        token[i] = was;
    }
    free(token);
    jwt_keys_free(keys);
    free_pair(&pair);
}
END_TEST

/* base64url without padding. */
static void encode(const char *text, char *out)
{
    static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    size_t n = 0, len = strlen(text);
    uint32_t bits = 0, have = 0;
    for (size_t i = 0; i < len; i++) {
        bits = bits << 8 | (unsigned char)text[i];
        for (have += 8; have >= 6; have -= 6) out[n++] = digits[bits >> (have - 6) & 63];
    }
    if (have > 0) out[n++] = digits[bits << (6 - have) & 63];
    out[n] = '\0';
}

/* Header and claims as given, with a signature of zeros, or with none. */
static void forge(char *out, const char *header, const char *claims, bool signature)
{
    char head[512], body[512];
    encode(header, head);
    encode(claims, body);
    sprintf(out, "%s.%s.%s", head, body,
            signature ? "AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA" : "");
}

START_TEST(the_algorithm_is_the_keys)
{
    const struct jwt_demand demand = {.now = NOW};
    const char *claims = "{\"sub\":\"ann\",\"exp\":1800000060}";
    char token[2048], set[4096], swapped[8192];
    struct pair rs = new_pair("RS256", "k1"), hs = new_pair("HS256", "k1");
    jwt_keys *keys = keys_of(rs.public);
    forge(token, "{\"alg\":\"none\"}", claims, false);
    expect(keys, token, &demand, "algorithm");
    forge(token, "{\"alg\":\"None\",\"kid\":\"k1\"}", claims, true);
    expect(keys, token, &demand, "algorithm");
    forge(token, "{\"kid\":\"k1\"}", claims, true);
    expect(keys, token, &demand, "algorithm");
    forge(token, "{\"alg\":\"RS256\",\"kid\":\"k2\"}", claims, true);
    expect(keys, token, &demand, "no key");
    forge(token, "{\"alg\":\"RS256\",\"kid\":1}", claims, true);
    expect(keys, token, &demand, "no key");
    forge(token, "{\"alg\":\"RS256\",\"kid\":\"k1\",\"crit\":[\"x\"]}", claims, true);
    expect(keys, token, &demand, "extension");
    forge(token, "{\"alg\":\"HS256\",\"alg\":\"RS256\",\"kid\":\"k1\"}", claims, true);
    expect(keys, token, &demand, "header");
    char *other = signed_by(hs.private, claims); /* HS256, where the key of that name is RS256 */
    expect(keys, other, &demand, "algorithm");
    jwt_keys_free(keys);
    struct pair es = new_pair("ES256", "k2"); /* two keys: a name is needed, and the right one */
    snprintf(set, sizeof set, "{\"keys\":[%s,%s]}", hs.private, es.private);
    keys = keys_of(set);
    forge(token, "{\"alg\":\"HS256\"}", claims, true);
    expect(keys, token, &demand, "no key");
    expect(keys, other, &demand, "");
    char *mine = signed_by(es.private, claims);
    expect(keys, mine, &demand, "");
    size_t head = strcspn(other, ".");
    memcpy(swapped, other, head);
    strcpy(swapped + head, mine + strcspn(mine, "."));
    expect(keys, swapped, &demand, "signature"); /* the header of one, the rest of the other */
    jwt_keys_free(keys);
    free(other);
    free(mine);
    free_pair(&rs);
    free_pair(&hs);
    free_pair(&es);
}
END_TEST

static const struct claim_case {
    const char *claims, *said;
} claim_cases[] = {
    {"{\"sub\":\"ann\",\"exp\":1800000001,\"iss\":\"me\",\"aud\":\"here\"}", ""},
    {"{\"sub\":\"ann\",\"exp\":1799999971,\"iss\":\"me\",\"aud\":\"here\"}", ""}, /* the leeway */
    {"{\"sub\":\"ann\",\"exp\":1799999970,\"iss\":\"me\",\"aud\":\"here\"}", "expired"},
    {"{\"sub\":\"ann\",\"exp\":-1e300,\"iss\":\"me\",\"aud\":\"here\"}", "expired"},
    {"{\"sub\":\"ann\",\"exp\":\"1800000001\",\"iss\":\"me\",\"aud\":\"here\"}", "no end"},
    {"{\"sub\":\"ann\",\"iss\":\"me\",\"aud\":\"here\"}", "no end"},
    {"{\"sub\":\"ann\",\"exp\":1800000060,\"nbf\":1800000031,\"iss\":\"me\",\"aud\":\"here\"}",
     "nbf"},
    {"{\"sub\":\"ann\",\"exp\":1800000060,\"nbf\":\"0\",\"iss\":\"me\",\"aud\":\"here\"}", "nbf"},
    {"{\"sub\":\"\",\"exp\":1800000060,\"iss\":\"me\",\"aud\":\"here\"}", "no user"},
    {"{\"sub\":7,\"exp\":1800000060,\"iss\":\"me\",\"aud\":\"here\"}", "no user"},
    {"{\"exp\":1800000060,\"iss\":\"me\",\"aud\":\"here\"}", "no user"},
    {"{\"sub\":\"ann\",\"exp\":1800000060,\"iss\":\"you\",\"aud\":\"here\"}", "issuer"},
    {"{\"sub\":\"ann\",\"exp\":1800000060,\"aud\":\"here\"}", "issuer"},
    {"{\"sub\":\"ann\",\"exp\":1800000060,\"iss\":\"me\",\"aud\":\"there\"}", "somebody else"},
    {"{\"sub\":\"ann\",\"exp\":1800000060,\"iss\":\"me\",\"aud\":[\"there\",1,[]]}",
     "somebody else"},
    {"{\"sub\":\"ann\",\"exp\":1800000060,\"iss\":\"me\"}", "somebody else"},
    {"{\"sub\":\"a\",\"sub\":\"b\",\"exp\":1800000060,\"iss\":\"me\",\"aud\":\"here\"}",
     "not JSON"},
    {"[]", "not JSON"},
    {"{\"sub\":\"ann\",\"exp\":1e400,\"iss\":\"me\",\"aud\":\"here\"}", "not JSON"},
};

START_TEST(claims_are_checked)
{
    const struct claim_case *c = &claim_cases[_i];
    const struct jwt_demand demand = {.now = NOW, .issuer = "me", .audience = "here"};
    struct pair pair = new_pair("HS256", "k1");
    jwt_keys *keys = keys_of(pair.public);
    char *token = signed_by(pair.private, c->claims);
    expect(keys, token, &demand, c->said);
    free(token);
    jwt_keys_free(keys);
    free_pair(&pair);
}
END_TEST

static const char *const bad_sets[] = {
    "",
    "{",
    "[]",
    "{}",
    "7",
    "{\"keys\":[]}",
    "{\"keys\":[7]}",
    "{\"keys\":{}}",
    "{\"kty\":\"oct\",\"kid\":\"a\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T\"}",
    "{\"kty\":\"oct\",\"alg\":\"HS256\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T\"}",
    "{\"kty\":\"oct\",\"kid\":\"a\",\"alg\":\"HS256\",\"k\":\"c2hvcnQ\"}",
    "{\"kty\":\"oct\",\"kid\":\"a\",\"alg\":\"HS512\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-"
    "EstJQLr_T\"}",
    "{\"kty\":\"RSA\",\"kid\":\"a\",\"alg\":\"HS256\",\"k\":\"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-"
    "EstJQLr_T\"}",
    "{\"kty\":\"RSA\",\"kid\":\"a\",\"alg\":\"RS256\",\"n\":\"AQAB\",\"e\":\"AQAB\"}",
    "{\"kty\":\"EC\",\"kid\":\"a\",\"alg\":\"ES256\",\"crv\":\"P-384\","
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"x_FEzRu9m36HLN_tue659LNpXW6pCyStikYjKIWI5a0\"}",
    "{\"kty\":\"EC\",\"kid\":\"a\",\"alg\":\"ES256\",\"crv\":\"P-256\","
    "\"x\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\","
    "\"y\":\"f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU\"}", /* not on the curve */
};

START_TEST(bad_sets_are_refused)
{
    jwt_keys *keys = NULL;
    char detail[256] = "";
    ck_assert_int_eq(jwt_keys_new(&keys, syn_s(bad_sets[_i]), detail), SYN_EMISUSE);
    ck_assert_str_ne(detail, "");
}
END_TEST

/* ---- Patterns -------------------------------------------------------------------------------- */

static bool matches_naively(const char *pattern, const char *text)
{
    if (*pattern == '\0') return *text == '\0';
    if (*pattern == '*')
        return matches_naively(pattern + 1, text) ||
               (*text != '\0' && matches_naively(pattern, text + 1));
    return *pattern == *text && matches_naively(pattern + 1, text + 1);
}

START_TEST(patterns)
{
    struct random r = random_seeded(1);
    uint32_t hits = 0;
    for (uint32_t n = seeds(20000); n > 0; n--) {
        char pattern[9] = "", text[13] = "";
        for (uint32_t i = below(&r, 9); i > 0; i--) pattern[i - 1] = "ab**"[below(&r, 4)];
        for (uint32_t i = below(&r, 13); i > 0; i--) text[i - 1] = "ab"[below(&r, 2)];
        bool expected = matches_naively(pattern, text);
        must(jwt_pattern_matches(syn_s(pattern), syn_s(text)) == expected);
        hits += expected;
    }
    ck_assert_uint_gt(hits, 0);
}
END_TEST

/* ---- A server that wants them ---------------------------------------------------------------- */

/* Every token begins like this: {" in base64. */
static void log_without_tokens(void *user, const char *line)
{
    (void)user;
    ck_assert_msg(strstr(line, "eyJ") == NULL, "%s", line);
}

struct site {
    struct pair pair;
    char file[64];
    syn_server *server;
};

static void site_open(struct site *site)
{
    char detail[256] = "";
    snprintf(site->file, sizeof site->file, "/tmp/syn-test-jwt-XXXXXX");
    int fd = mkstemp(site->file);
    site->pair = new_pair("ES256", "k1");
    ck_assert_int_eq(write(fd, site->pair.public, strlen(site->pair.public)),
                     (ssize_t)strlen(site->pair.public));
    close(fd);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.listen = "127.0.0.1:0";
    config.keys = site->file;
    config.loops = loops_tried;
    config.log = log_without_tokens;
    syn_err err = syn_server_start(&site->server, &config, detail);
    ck_assert_msg(err == SYN_OK, "%s", detail);
}

static void site_close(struct site *site)
{
    syn_server_stop(site->server, 1000);
    unlink(site->file);
    free_pair(&site->pair);
}

static char *token_for(const struct site *site, const char *user, int seconds)
{
    char claims[512];
    snprintf(claims, sizeof claims,
             "{\"sub\":\"%s\",\"exp\":%lld,\"syncline\":{\"documents\":{\"notes\":\"read\","
             "\"team/*\":\"read write create\"}}}",
             user, (long long)time(NULL) + seconds);
    return signed_by(site->pair.private, claims);
}

static int come_in(const struct site *site, const char *token)
{
    int fd = raw_websocket(syn_server_port(site->server));
    raw_hello(fd, token);
    return fd;
}

/* The next frame must be of that kind; of Closed, Nack and Error also the code. */
static void expect_frame(int fd, enum frame_kind kind, enum code code)
{
    struct frame frame;
    char *bytes;
    unsigned status;
    proto_arena *arena = NULL;
    ck_assert_int_eq(proto_arena_new(&arena, NULL), SYN_OK);
    raw_next(fd, arena, &frame, &bytes, &status);
    ck_assert_int_eq((int)frame.kind, (int)kind);
    if (kind == FRAME_CLOSED) ck_assert_int_eq((int)frame.as.closed.code, (int)code);
    if (kind == FRAME_NACK) ck_assert_int_eq((int)frame.as.nack.code, (int)code);
    if (kind == FRAME_ERROR) ck_assert_int_eq((int)frame.as.error.code, (int)code);
    free(bytes);
    proto_arena_free(arena);
}

START_TEST(rights_come_from_the_token)
{
    struct site site;
    site_open(&site);
    int fd = come_in(&site, "");
    expect_frame(fd, FRAME_ERROR, CODE_UNAUTHENTICATED);
    close(fd);
    char *stale = token_for(&site, "ann", -3600);
    fd = come_in(&site, stale);
    expect_frame(fd, FRAME_ERROR, CODE_UNAUTHENTICATED);
    close(fd);
    char *good = token_for(&site, "ann", 3600);
    fd = come_in(&site, good);
    ck_assert(raw_until(fd, FRAME_WELCOME));
    raw_open(fd, 1, "secret", 0xa1);
    expect_frame(fd, FRAME_CLOSED, CODE_FORBIDDEN);
    raw_open(fd, 2, "notes", 0xa1); /* may be read, is not there, may not be created */
    expect_frame(fd, FRAME_CLOSED, CODE_NOT_FOUND);
    raw_open(fd, 3, "team/plan", 0xa1);
    ck_assert(raw_until(fd, FRAME_OPENED));
    raw_insert(fd, 3, 0xa1, 0, 0, "hello");
    ck_assert(raw_until(fd, FRAME_ACK));
    close(fd);
    free(stale);
    free(good);
    site_close(&site);
}
END_TEST

START_TEST(the_connection_ends_with_the_token)
{
    struct site site;
    site_open(&site);
    char *brief = token_for(&site, "ann", 1), *longer = token_for(&site, "ann", 3600);
    char *other = token_for(&site, "eve", 3600);
    int left = come_in(&site, brief), stays = come_in(&site, brief), thief = come_in(&site, brief);
    struct frame auth = {.kind = FRAME_AUTH};
    ck_assert(raw_until(left, FRAME_WELCOME));
    ck_assert(raw_until(stays, FRAME_WELCOME));
    auth.as.auth.token = syn_s(longer);
    raw_give(stays, &auth);
    ck_assert(raw_until(stays, FRAME_ACCESS));
    ck_assert(raw_until(thief, FRAME_WELCOME));
    auth.as.auth.token = syn_s(other); /* somebody else's token on a connection that is signed in */
    raw_give(thief, &auth);
    expect_frame(thief, FRAME_ERROR, CODE_FORBIDDEN);
    expect_frame(left, FRAME_ERROR, CODE_EXPIRED); /* its second is over */
    raw_open(stays, 1, "team/plan", 0xa1);
    ck_assert(raw_until(stays, FRAME_OPENED));
    close(left);
    close(stays);
    close(thief);
    free(brief);
    free(longer);
    free(other);
    site_close(&site);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, rights_come_from_the_token);
    tcase_add_test(tests, the_connection_ends_with_the_token);
}

int main(void)
{
    Suite *suite = suite_create("jwt");
    TCase *tests = tcase_create("jwt");
    tcase_set_timeout(tests, 0);
    tcase_add_test(tests, vectors_of_rfc_7515);
    tcase_add_loop_test(tests, signed_and_read_again, 0, 3);
    tcase_add_loop_test(tests, no_byte_may_differ, 0, 3);
    tcase_add_test(tests, the_algorithm_is_the_keys);
    tcase_add_loop_test(tests, claims_are_checked, 0, sizeof claim_cases / sizeof *claim_cases);
    tcase_add_loop_test(tests, bad_sets_are_refused, 0, sizeof bad_sets / sizeof *bad_sets);
    tcase_add_test(tests, patterns);
    suite_add_tcase(suite, tests);
    add_on_loops(suite, "sign-in", 0, add_tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
