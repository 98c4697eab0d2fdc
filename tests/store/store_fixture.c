#include "store_fixture.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

char fixture_folder[128];
const uint8_t fixture_id[STORE_ID_BYTES] = "store-id-0123456";
const uint8_t lineage_a[STORE_LINEAGE_BYTES] = "LineageOfDocumnA";
const uint8_t lineage_b[STORE_LINEAGE_BYTES] = "LineageOfDocumnB";

void fixture_setup(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(fixture_folder, sizeof fixture_folder, "%.90s/syn-store-XXXXXX",
                   tmp == NULL ? "/tmp" : tmp);
    ck_assert_ptr_nonnull(mkdtemp(fixture_folder));
}

void fixture_teardown(void)
{
    DIR *folder = opendir(fixture_folder);
    ck_assert_ptr_nonnull(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char path[512];
        (void)snprintf(path, sizeof path, "%s/%s", fixture_folder, entry->d_name);
        if (entry->d_name[0] != '.') ck_assert_int_eq(unlink(path), 0);
    }
    closedir(folder);
    ck_assert_int_eq(rmdir(fixture_folder), 0);
}

const char *fixture_path(const char *name)
{
    static char path[16][256];
    static unsigned next;
    char *out = path[next++ % 16];
    (void)snprintf(out, sizeof path[0], "%s/%s", fixture_folder, name);
    return out;
}

uint64_t fixture_random(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

unsigned fixture_rounds(unsigned count)
{
    const char *more = getenv("SYN_SEEDS");
    unsigned long times = more == NULL ? 1 : strtoul(more, NULL, 10);
    return times < 1 ? count : count * (unsigned)times;
}

store_options options_of(const char *path)
{
    store_options options = {.path = path, .owner = "ws://127.0.0.1:7700", .create = true};
    options.random_id = fixture_id;
    options.min_gap_us = 1;
    return options;
}

syn_store *open_ok(const char *path)
{
    char detail[256];
    store_options options = options_of(path);
    syn_store *store;
    syn_err err = store_open(&store, &options, detail);
    ck_assert_msg(err == SYN_OK, "open: %d %s", err, detail);
    return store;
}

store_turn *turn_of(syn_store *store)
{
    store_turn *turn;
    ck_assert_int_eq(store_turn_new(store, &turn), SYN_OK);
    return turn;
}

static syn_str text_of(const char *text)
{
    return (syn_str){text, strlen(text)};
}

int64_t make_doc(syn_store *store, const char *name, const uint8_t *lineage)
{
    int64_t doc = 0;
    store_turn *turn = turn_of(store);
    ck_assert_int_eq(store_turn_create(turn, text_of(name), lineage, &doc), SYN_OK);
    ck_assert_int_eq(store_commit(turn), SYN_OK);
    return doc;
}

struct store_doc find_doc(syn_store *store, const char *name)
{
    struct store_doc doc;
    ck_assert_int_eq(store_find(store, text_of(name), &doc), SYN_OK);
    return doc;
}

syn_str event_text(const char *name, uint32_t n, char out[64])
{
    int len = snprintf(out, 64, "%.20s event %u of many", name, n);
    return (syn_str){out, (size_t)len};
}

syn_err append_event(syn_store *store, const char *name, uint32_t n)
{
    char text[64];
    struct store_peer peer = {.peer = 7, .next = n + 1, .chain = n * 31u, .user = "ann"};
    store_turn *turn;
    int64_t doc = find_doc(store, name).id;
    syn_err err = store_turn_new(store, &turn);
    if (err != SYN_OK) return err;
    err = store_turn_append(turn, doc, n, n + 1, event_text(name, n, text));
    if (err == SYN_OK) err = store_turn_peer(turn, doc, &peer);
    if (err == SYN_OK) return store_commit(turn);
    store_turn_drop(turn);
    return err;
}

struct expected {
    const char *name;
    uint32_t next;
};

static syn_err expect_event(void *user, const struct store_piece *piece)
{
    struct expected *e = user;
    char text[64];
    ck_assert_uint_eq(piece->from, e->next);
    ck_assert_uint_eq(piece->end, e->next + 1);
    syn_str is = event_text(e->name, e->next, text);
    ck_assert_uint_eq(piece->bytes.len, is.len);
    ck_assert_mem_eq(piece->bytes.data, is.data, is.len);
    e->next++;
    return SYN_OK;
}

uint32_t check_log(syn_store *store, const char *name)
{
    struct store_doc doc = find_doc(store, name);
    struct expected e = {name, 0};
    syn_err err = store_read_log(store, doc.id, 0, UINT32_MAX, expect_event, &e);
    ck_assert_msg(err == SYN_OK, "%s: %s", name, store_error(store));
    ck_assert_uint_eq(e.next, doc.events);
    if (doc.events > 0) {
        struct store_peer peer;
        ck_assert_int_eq(store_read_peer(store, doc.id, 7, &peer), SYN_OK);
        ck_assert_uint_eq(peer.next, doc.events);
        ck_assert_uint_eq(peer.chain, (doc.events - 1) * 31u);
    }
    return doc.events;
}

syn_err transcribe(void *user, const struct store_piece *piece)
{
    struct transcript *t = user;
    int n = snprintf(t->text + t->len, sizeof t->text - t->len, "%s[%u,%u)%.*s%s%s%.*s",
                     t->len == 0 ? "" : " ", piece->from, piece->end, (int)piece->bytes.len,
                     piece->bytes.data, piece->packed ? "*" : "", piece->effects.len > 0 ? "+" : "",
                     (int)piece->effects.len, piece->effects.data);
    t->len += (size_t)n;
    ck_assert_uint_lt(t->len, sizeof t->text);
    return SYN_OK;
}

static const char *told(struct transcript *t, syn_err err)
{
    if (err != SYN_OK) (void)snprintf(t->text, sizeof t->text, "error %d", err);
    return t->text;
}

const char *log_text(syn_store *store, int64_t doc, uint32_t from, uint32_t end)
{
    static struct transcript t;
    memset(&t, 0, sizeof t);
    return told(&t, store_read_log(store, doc, from, end, transcribe, &t));
}

const char *snapshot_text(syn_store *store, int64_t doc)
{
    static struct transcript t;
    memset(&t, 0, sizeof t);
    return told(&t, store_read_snapshot(store, doc, transcribe, &t));
}

static void add_problem(void *user, const char *text)
{
    struct transcript *t = user;
    int n = snprintf(t->text + t->len, sizeof t->text - t->len, "%s\n", text);
    if (t->len + (size_t)n < sizeof t->text) t->len += (size_t)n;
}

const char *fsck_text(syn_store *store)
{
    static struct transcript t;
    memset(&t, 0, sizeof t);
    syn_err err = store_fsck(store, add_problem, NULL, &t);
    ck_assert_int_eq(err, t.len == 0 ? SYN_OK : SYN_EDAMAGED);
    return t.text;
}

void fsck_clean(syn_store *store)
{
    const char *text = fsck_text(store);
    ck_assert_msg(text[0] == '\0', "fsck: %s", text);
}
