/* test_traces.c -- recorded editing sessions and generated graphs, whose texts are known.
 *
 * Format: CTRACE 1.  A record is an event graph of transactions, each with its agent, its parents
 * and its patches.  Texts are known at the end (F, E) and at versions in between (V, W): there the
 * document is rebuilt from the history of that version alone, unless the order of the file happens
 * to pass through it.
 *
 * Where the recordings are: SYN_TRACES, or ../shared/traces beside the source; our own lie in
 * tests/data.  Recordings that are not there are named and left out. */
#include "change.h"

#include <check.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

struct patch {
    uint32_t pos, removed;
    syn_str text; /* inserted */
    uint32_t scalars;
};

struct txn {
    uint64_t agent;
    uint32_t seq, len; /* the agent's events */
    uint32_t parent, parents;
    uint32_t patch, patches;
};

struct expectation {
    char what; /* V, W, F, E */
    uint32_t txn;
    const char *text; /* rest of the line */
};

#define ARRAY_OF(T)                                                                                \
    struct {                                                                                       \
        T *at;                                                                                     \
        uint32_t n, cap;                                                                           \
    }
#define PUSH(a, value)                                                                             \
    do {                                                                                           \
        if ((a)->n == (a)->cap) {                                                                  \
            (a)->cap = (a)->cap == 0 ? 64 : 2 * (a)->cap;                                          \
            (a)->at = realloc((a)->at, (a)->cap * sizeof *(a)->at);                                \
            ck_assert_ptr_nonnull((a)->at);                                                        \
        }                                                                                          \
        (a)->at[(a)->n++] = (value);                                                               \
    } while (0)

struct record {
    char name[64];
    ARRAY_OF(struct txn) txns;
    ARRAY_OF(uint32_t) parents;
    ARRAY_OF(struct patch) patches;
    ARRAY_OF(struct expectation) expected;
    uint32_t next[4096]; /* per agent */
    uint32_t events, agents;
};

/* ---- Reading a file */

static char *read_gzip(const char *path)
{
    gzFile file = gzopen(path, "rb");
    size_t len = 0, cap = 1 << 20;
    char *text = file == NULL ? NULL : malloc(cap + 1);
    if (text == NULL) return NULL;
    for (int got; (got = gzread(file, text + len, (unsigned)(cap - len))) > 0;) {
        len += (size_t)got;
        if (len < cap) continue;
        cap *= 2;
        text = realloc(text, cap + 1);
        ck_assert_ptr_nonnull(text);
    }
    gzclose(file);
    text[len] = 0;
    return text;
}

static uint32_t hex(char c)
{
    return c <= '9' ? (uint32_t)(c - '0') : (uint32_t)(c - 'A' + 10);
}

/* In place. */
static syn_str unescape(char *text)
{
    syn_str out = {text, 0};
    for (char *at = text; *at != 0; at++) {
        char byte = *at;
        if (byte == '%') {
            byte = (char)(hex(at[1]) << 4 | hex(at[2]));
            at += 2;
        }
        text[out.len++] = byte;
    }
    return out;
}

static uint32_t scalars_in(syn_str text)
{
    uint32_t n = 0;
    for (size_t i = 0; i < text.len; i++) n += ((unsigned char)text.data[i] & 0xc0) != 0x80;
    return n;
}

static void read_parents(struct record *r, struct txn *txn, char *word)
{
    txn->parent = r->parents.n;
    if (*word == '-' || (*word == '.' && r->txns.n == 0)) return;
    if (*word == '.') {
        PUSH(&r->parents, r->txns.n - 1);
        txn->parents = 1;
        return;
    }
    for (char *at = word; *at != 0; txn->parents++) {
        PUSH(&r->parents, (uint32_t)strtoul(at, &at, 10));
        if (*at == ',') at++;
    }
}

static void read_txn(struct record *r, char *line)
{
    char *rest = line, *word = strsep(&rest, " ");
    struct txn txn = {.agent = strtoul(word, NULL, 10)};
    read_parents(r, &txn, strsep(&rest, " "));
    txn.patch = r->patches.n;
    while ((word = strsep(&rest, " ")) != NULL) {
        struct patch patch = {.pos = (uint32_t)strtoul(word, &word, 10)};
        patch.removed = (uint32_t)strtoul(word + 1, &word, 10);
        patch.text = unescape(word + 1);
        patch.scalars = scalars_in(patch.text);
        txn.len += patch.removed + patch.scalars;
        PUSH(&r->patches, patch);
        txn.patches++;
    }
    ck_assert_uint_lt(txn.agent, 4096);
    if (txn.agent >= r->agents) r->agents = (uint32_t)txn.agent + 1;
    txn.seq = r->next[txn.agent];
    r->next[txn.agent] += txn.len;
    r->events += txn.len;
    PUSH(&r->txns, txn);
}

/* The next record of the text, or false. */
static bool read_record(char **text, struct record *r)
{
    memset(r, 0, sizeof *r);
    for (char *line; (line = strsep(text, "\n")) != NULL;) {
        if (line[0] == 0 || line[0] == '#') continue;
        if (line[0] == '.') return true;
        if (line[0] == 'R') snprintf(r->name, sizeof r->name, "%.60s", line + 2);
        if (line[0] == 'T') read_txn(r, line + 2);
        if (strchr("VWFE", line[0]) == NULL) continue;
        char *rest = line + 2;
        struct expectation expected = {.what = line[0]};
        if (line[0] == 'V' || line[0] == 'W') {
            expected.txn = (uint32_t)strtoul(rest, &rest, 10);
            rest++;
        }
        expected.text = rest;
        PUSH(&r->expected, expected);
    }
    return false;
}

static void free_record(struct record *r)
{
    free(r->txns.at);
    free(r->parents.at);
    free(r->patches.at);
    free(r->expected.at);
}

/* ---- Applying */

/* The last events before a txn: an empty txn stands for its parents. */
static void add_deps(const struct record *r, const struct txn *txn, struct change_dep *deps,
                     uint32_t *count)
{
    for (uint32_t i = 0; i < txn->parents; i++) {
        const struct txn *parent = &r->txns.at[r->parents.at[txn->parent + i]];
        if (parent->len == 0) {
            add_deps(r, parent, deps, count);
            continue;
        }
        ck_assert_uint_lt(*count, 4096);
        deps[(*count)++] =
            (struct change_dep){(uint32_t)parent->agent, parent->seq + parent->len - 1};
    }
}

struct set_of_txn {
    uint64_t peers[4096];
    struct change_dep deps[4096];
    ARRAY_OF(struct change_op) ops;
    ARRAY_OF(char) text;
};

static void apply_txn(syn_doc *doc, const struct record *r, uint32_t index, struct set_of_txn *s)
{
    static const struct change_container root = {.kind = SYN_TEXT, .form = CONTAINER_ROOT};
    const struct txn *txn = &r->txns.at[index];
    struct change_container container = root;
    if (txn->len == 0) return;
    container.name = syn_s("");
    struct change_run run = {.peer = (uint32_t)txn->agent, .seq = txn->seq, .len = txn->len};
    run.explicit_parents = true;
    s->ops.n = s->text.n = 0;
    add_deps(r, txn, s->deps, &run.dep_count);
    for (uint32_t i = 0; i < txn->patches; i++) {
        const struct patch *patch = &r->patches.at[txn->patch + i];
        if (patch->removed > 0) {
            struct change_op op = {OP_DELETE, 0, patch->removed, patch->pos, 0};
            PUSH(&s->ops, op);
        }
        if (patch->scalars == 0) continue;
        struct change_op op = {OP_TEXT_INSERT, 0, patch->scalars, patch->pos, 0};
        PUSH(&s->ops, op);
        for (size_t k = 0; k < patch->text.len; k++) PUSH(&s->text, patch->text.data[k]);
    }
    syn_changes set = {.peers = s->peers,
                       .peer_count = r->agents,
                       .containers = &container,
                       .container_count = 1,
                       .runs = &run,
                       .run_count = 1,
                       .deps = s->deps,
                       .dep_count = run.dep_count,
                       .ops = s->ops.at,
                       .op_count = s->ops.n,
                       .text = {s->text.n > 0 ? s->text.at : "", s->text.n}};
    syn_err err = syn_apply(doc, &set, false, NULL);
    if (err != SYN_OK)
        ck_abort_msg("%s, txn %u: %s: %s", r->name, index, syn_errname(err), syn_doc_error(doc));
}

static struct set_of_txn *new_set(void)
{
    struct set_of_txn *s = calloc(1, sizeof *s);
    ck_assert_ptr_nonnull(s);
    for (uint32_t i = 0; i < 4096; i++) s->peers[i] = i + 1;
    return s;
}

static void free_set(struct set_of_txn *s)
{
    free(s->ops.at);
    free(s->text.at);
    free(s);
}

/* ---- Comparing */

static void sha256_hex(const char *bytes, size_t len, char *out)
{
    unsigned char digest[32];
    unsigned size = sizeof digest;
    ck_assert_int_eq(EVP_Digest(bytes, len, digest, &size, EVP_sha256(), NULL), 1);
    for (int i = 0; i < 32; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static char *text_of(syn_doc *doc, size_t *bytes, size_t *chars)
{
    syn_obj obj;
    ck_assert_int_eq(syn_root(doc, syn_s(""), SYN_TEXT, &obj), SYN_OK);
    *bytes = syn_text_bytes(doc, obj);
    *chars = syn_text_len(doc, obj);
    char *text = malloc(*bytes + 1);
    ck_assert_uint_eq(syn_text_read(doc, obj, 0, *chars, text, *bytes), *bytes);
    text[*bytes] = 0;
    return text;
}

static void must_match(syn_doc *doc, const struct record *r, const struct expectation *expected)
{
    size_t bytes, chars;
    char *text = text_of(doc, &bytes, &chars), line[128], sum[65];
    if (expected->what == 'W' || expected->what == 'E') {
        char *copy = strdup(expected->text);
        syn_str literal = unescape(copy);
        ck_assert_msg(literal.len == bytes && memcmp(literal.data, text, bytes) == 0,
                      "%s: %c %u: '%s' is not '%.*s'", r->name, expected->what, expected->txn, text,
                      (int)literal.len, literal.data);
        free(copy);
    } else {
        sha256_hex(text, bytes, sum);
        snprintf(line, sizeof line, "%zu %zu %s", chars, bytes, sum);
        ck_assert_msg(strcmp(line, expected->text) == 0, "%s: %c %u: %s is not %s", r->name,
                      expected->what, expected->txn, line, expected->text);
    }
    free(text);
}

/* The document at "txn and all its ancestors". */
static syn_doc *doc_at(const struct record *r, uint32_t txn, struct set_of_txn *s)
{
    syn_doc *doc;
    char *wanted = calloc(txn + 1, 1);
    wanted[txn] = 1;
    for (uint32_t i = txn + 1; i-- > 0;)
        for (uint32_t k = 0; wanted[i] && k < r->txns.at[i].parents; k++)
            wanted[r->parents.at[r->txns.at[i].parent + k]] = 1;
    ck_assert_int_eq(syn_doc_new(&doc, NULL), SYN_OK);
    for (uint32_t i = 0; i <= txn; i++)
        if (wanted[i]) apply_txn(doc, r, i, s);
    free(wanted);
    return doc;
}

static double seconds(void)
{
    struct timespec now;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static uint32_t check_record(const struct record *r, struct set_of_txn *s, double *spent)
{
    syn_doc *doc, *part = NULL;
    uint32_t at = UINT32_MAX;
    ck_assert_int_eq(syn_doc_new(&doc, NULL), SYN_OK);
    double start = seconds();
    for (uint32_t i = 0; i < r->txns.n; i++) apply_txn(doc, r, i, s);
    *spent += seconds() - start;
    syn_doc_check(doc);
    ck_assert_uint_eq(syn_doc_events(doc), r->events);
    for (uint32_t i = 0; i < r->expected.n; i++) {
        const struct expectation *expected = &r->expected.at[i];
        if (expected->what == 'F' || expected->what == 'E') {
            must_match(doc, r, expected);
            continue;
        }
        if (expected->txn != at) {
            syn_doc_free(part);
            part = doc_at(r, expected->txn, s);
            at = expected->txn;
        }
        must_match(part, r, expected);
    }
    syn_doc_free(doc);
    syn_doc_free(part);
    return r->expected.n;
}

/* ---- Files */

static bool check_file(const char *folder, const char *name)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s.trace.gz", folder, name);
    char *text = read_gzip(path), *rest = text;
    if (text == NULL) return false;
    struct record *r = malloc(sizeof *r);
    struct set_of_txn *s = new_set();
    uint32_t records = 0, lines = 0;
    uint64_t events = 0;
    double spent = 0;
    for (; read_record(&rest, r); records++) {
        lines += check_record(r, s, &spent);
        events += r->events;
        free_record(r);
    }
    free_record(r);
    ck_assert_uint_gt(records, 0);
    ck_assert_uint_gt(lines, 0);
    printf("traces: %-18s %3u records, %7llu events, %5u texts equal, applied in %.1f ms\n", name,
           records, (unsigned long long)events, lines, spent * 1e3);
    free(r);
    free_set(s);
    free(text);
    return true;
}

static const char *const shared[] = {"automerge-paper", "conformance-even", "friendsforever",
                                     "node_nodecc"};
static const char *const own[] = {"fuguemax-disc-a", "unicode-a", "small"};

static const char *shared_folder(void)
{
    const char *folder = getenv("SYN_TRACES");
    return folder != NULL ? folder : SYN_SOURCE_DIR "/../shared/traces";
}

START_TEST(recorded_sessions_end_in_the_text_they_ended_in)
{
    const char *name = shared[_i];
    if (!check_file(shared_folder(), name)) printf("traces: %s is not here, left out\n", name);
    fflush(stdout);
}
END_TEST

START_TEST(our_own_graphs_end_in_the_text_two_others_computed)
{
    const char *name = own[_i];
    bool found =
        check_file(SYN_SOURCE_DIR "/tests/data", name) || check_file(shared_folder(), name);
    ck_assert_msg(found, "%s is missing", name);
    fflush(stdout);
}
END_TEST

int main(void)
{
    Suite *suite = suite_create("traces");
    TCase *files = tcase_create("files");
    tcase_set_timeout(files, 0);
    tcase_add_loop_test(files, recorded_sessions_end_in_the_text_they_ended_in, 0,
                        (int)(sizeof shared / sizeof shared[0]));
    tcase_add_loop_test(files, our_own_graphs_end_in_the_text_two_others_computed, 0,
                        (int)(sizeof own / sizeof own[0]));
    suite_add_tcase(suite, files);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_NORMAL);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
