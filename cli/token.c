/* token.c -- `token`: keys and signed tokens, for trying out and for small installations. */
#include "cli.h"
#include "jwt.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

/* ---- key, public ----------------------------------------------------------------------------- */

static int make_key(const struct command *self, int argc, char **argv)
{
    const char *alg = "ES256", *kid = NULL;
    unsigned char bytes[8];
    char drawn[17], *json = NULL;
    const struct option_spec specs[] = {
        {"alg", &alg, NULL}, {"kid", &kid, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 0, 0)) return EXIT_USAGE;
    if (kid == NULL) {
        if (!fill_random(bytes, sizeof bytes)) return failed("the system gives no random bytes");
        for (int i = 0; i < 8; i++) (void)snprintf(drawn + 2 * i, 3, "%02x", bytes[i]);
        kid = drawn;
    }
    syn_err err = jwt_key_new(alg, kid, &json);
    if (err == SYN_EMISUSE) return wrong_use(self, "--alg is ES256, RS256 or HS256, not %s", alg);
    if (err != SYN_OK) return failed("no key: %s", syn_strerror(err));
    (void)puts(json);
    free(json);
    return finish_output(EXIT_DONE);
}

/* The whole file; from malloc, NULL: said. */
static char *read_file(const char *path)
{
    char *text = calloc(1, 65536);
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "rb");
    size_t got = text != NULL && file != NULL ? fread(text, 1, 65535, file) : 0;
    if (file != NULL && file != stdin) (void)fclose(file);
    if (got > 0) return text;
    (void)failed("%s: it cannot be read, or is empty", path);
    free(text);
    return NULL;
}

static int make_public(const struct command *self, int argc, char **argv)
{
    char detail[256] = "", *set = NULL;
    if (!take_options(self, NULL, &argc, argv, 1, 1)) return EXIT_USAGE;
    char *text = read_file(argv[0]);
    if (text == NULL) return EXIT_FAILED;
    syn_err err = jwt_key_public(syn_s(text), &set, detail);
    free(text);
    if (err != SYN_OK) return failed("%s: %s", argv[0], detail);
    (void)puts(set);
    free(set);
    return finish_output(EXIT_DONE);
}

/* ---- make ------------------------------------------------------------------------------------ */

/* "90", "15m", "12h", "30d". */
static bool read_duration(const char *text, int64_t *seconds)
{
    static const char units[] = "smhd";
    static const int64_t worth[] = {1, 60, 3600, 86400};
    char digits[16];
    uint64_t number;
    size_t len = strspn(text, "0123456789");
    const char *unit = text[len] != '\0' ? strchr(units, text[len]) : units;
    if (len == 0 || len >= sizeof digits || unit == NULL || (text[len] != '\0' && text[len + 1]))
        return false;
    (void)snprintf(digits, sizeof digits, "%.*s", (int)len, text);
    if (!read_number(digits, 100000000, &number) || number == 0) return false;
    *seconds = (int64_t)number * worth[unit - units];
    return true;
}

struct wish { /* the options of `make` */
    const char *user, *duration, *read, *write, *create, *relay, *issuer, *audience;
    bool list, admin;
};

/* Adds a word to the rights of a pattern. */
static void allow(json_t *documents, const char *pattern, const char *word)
{
    char words[64];
    const char *had = json_string_value(json_object_get(documents, pattern));
    (void)snprintf(words, sizeof words, "%s%s%s", had != NULL ? had : "", had != NULL ? " " : "",
                   word);
    json_object_set_new(documents, pattern, json_string(words));
}

/* Patterns are separated by commas. */
static void allow_all(json_t *documents, const char *patterns, const char *words)
{
    char pattern[256];
    for (const char *at = patterns; at != NULL && *at != '\0';) {
        size_t len = strcspn(at, ",");
        (void)snprintf(pattern, sizeof pattern, "%.*s", (int)len, at);
        if (len > 0) allow(documents, pattern, words);
        at += len + (at[len] == ',');
    }
}

static char *claims_of(const struct wish *wish, int64_t seconds)
{
    int64_t now = (int64_t)time(NULL);
    json_t *documents = json_object();
    allow_all(documents, wish->read, "read");
    allow_all(documents, wish->write, "read write");
    allow_all(documents, wish->create, "read write create");
    allow_all(documents, wish->relay, "relay");
    json_t *claims =
        json_pack("{s:s, s:I, s:I, s:{s:o}}", "sub", wish->user, "iat", (json_int_t)now, "exp",
                  (json_int_t)(now + seconds), "syncline", "documents", documents);
    if (claims == NULL) return NULL;
    if (wish->issuer != NULL) json_object_set_new(claims, "iss", json_string(wish->issuer));
    if (wish->audience != NULL) json_object_set_new(claims, "aud", json_string(wish->audience));
    if (wish->list || wish->admin)
        json_object_set_new(json_object_get(claims, "syncline"), "server",
                            json_string(wish->admin ? "list admin" : "list"));
    char *text = json_dumps(claims, JSON_COMPACT);
    json_decref(claims);
    return text;
}

static int make_token(const struct command *self, int argc, char **argv)
{
    struct wish wish = {.duration = "1h"};
    char detail[256] = "", *token = NULL;
    int64_t seconds;
    const struct option_spec specs[] = {{"user", &wish.user, NULL},
                                        {"for", &wish.duration, NULL},
                                        {"read", &wish.read, NULL},
                                        {"write", &wish.write, NULL},
                                        {"create", &wish.create, NULL},
                                        {"relay", &wish.relay, NULL},
                                        {"issuer", &wish.issuer, NULL},
                                        {"audience", &wish.audience, NULL},
                                        {"list", NULL, &wish.list},
                                        {"admin", NULL, &wish.admin},
                                        {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 1, 1)) return EXIT_USAGE;
    if (wish.user == NULL) return wrong_use(self, "--user says whom the token names");
    if (!read_duration(wish.duration, &seconds))
        return wrong_use(self, "--for is like 90s, 15m, 12h or 30d, not %s", wish.duration);
    char *key = read_file(argv[0]);
    if (key == NULL) return EXIT_FAILED;
    char *claims = claims_of(&wish, seconds);
    syn_err err = claims != NULL ? jwt_sign(syn_s(key), claims, &token, detail) : SYN_EUTF8;
    free(claims);
    free(key);
    if (err != SYN_OK)
        return failed("%s: %s", argv[0], detail[0] != '\0' ? detail : syn_strerror(err));
    (void)puts(token);
    free(token);
    return finish_output(EXIT_DONE);
}

/* ---- check ----------------------------------------------------------------------------------- */

static int check_token(const struct command *self, int argc, char **argv)
{
    struct jwt_demand demand = {.now = (int64_t)time(NULL)};
    char detail[256] = "", token[JWT_TOKEN_BYTES + 2] = "";
    jwt_keys *keys = NULL;
    jwt_claims *claims = NULL;
    const struct option_spec specs[] = {
        {"issuer", &demand.issuer, NULL}, {"audience", &demand.audience, NULL}, {NULL, NULL, NULL}};
    if (!take_options(self, specs, &argc, argv, 1, 2)) return EXIT_USAGE;
    char *text = read_file(argv[0]);
    if (text == NULL) return EXIT_FAILED;
    syn_err err = jwt_keys_new(&keys, syn_s(text), detail);
    free(text);
    if (err != SYN_OK) return failed("%s: %s", argv[0], detail);
    if (fgets(token, sizeof token, stdin) != NULL) token[strcspn(token, "\r\n")] = '\0';
    err = jwt_check(keys, syn_s(token), &demand, &claims, detail);
    jwt_keys_free(keys);
    if (err != SYN_OK) return failed("%s", detail);
    syn_str user = jwt_user(claims);
    (void)printf("user %.*s, for %" PRId64 " s", (int)user.len, user.data,
                 jwt_expires(claims) - demand.now);
    if (argc == 2) {
        uint32_t rights = jwt_rights(claims, syn_s(argv[1]));
        (void)printf(", on %s:%s%s%s%s%s", argv[1], rights & JWT_READ ? " read" : "",
                     rights & JWT_WRITE ? " write" : "", rights & JWT_CREATE ? " create" : "",
                     rights & JWT_RELAY ? " relay" : "", rights == 0 ? " nothing" : "");
    }
    (void)puts("");
    jwt_claims_free(claims);
    return finish_output(EXIT_DONE);
}

static int run_token(const struct command *self, int argc, char **argv)
{
    static const struct {
        const char *name;
        int (*run)(const struct command *self, int argc, char **argv);
    } parts[] = {
        {"key", make_key}, {"public", make_public}, {"make", make_token}, {"check", check_token}};
    for (size_t i = 0; argc > 0 && i < sizeof parts / sizeof *parts; i++)
        if (strcmp(argv[0], parts[i].name) == 0) return parts[i].run(self, argc - 1, argv + 1);
    return wrong_use(self, "say what: key, public, make or check");
}

const struct command commands_token = {
    .name = "token",
    .run = run_token,
    .synopsis = "token key | public KEY | make KEY --user USER ... | check KEYS [DOC]",
    .summary = "make keys and signed tokens for `serve --keys`",
    .help =
        "A token says who somebody is, until when, and what he may do to which documents.  It is "
        "a\n"
        "JWT, signed with a key that you keep; the server has the public part and only checks.\n\n"
        "  token key [--alg ES256|RS256|HS256] [--kid NAME]   a new private key (JWK) on stdout\n"
        "  token public KEY                                   what the server gets (JWK Set)\n"
        "  token make KEY --user USER [--for 1h] ...          a token on stdout\n"
        "      --read, --write, --create, --relay PATTERNS    documents, separated by commas; `*`\n"
        "                 stands for anything; write includes read, create includes both\n"
        "      --list     may list documents        --admin   may administer the server\n"
        "      --issuer, --audience NAME\n"
        "  token check KEYS [DOC]                             checks a token given on stdin\n\n"
        "Examples:\n"
        "  umask 077; syncline token key > key.json\n"
        "  syncline token public key.json > keys.json\n"
        "  syncline serve --keys keys.json &\n"
        "  export SYNCLINE_TOKEN=$(syncline token make key.json --user ann --create 'team/*')\n"
        "  syncline set ws://127.0.0.1:7700 team/plan /title '\"Plan\"'\n\n"
        "What your own sign-in makes works as well: sub, exp and\n"
        "  \"syncline\": {\"documents\": {\"team/*\": \"read write create\"}, \"server\": "
        "\"list\"}\n",
};
