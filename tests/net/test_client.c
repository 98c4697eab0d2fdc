/* test_client.c -- the client library against a real server, over real sockets. */
#include "store.h"
#include "syncline_bytes.h"
#include "syncline_client.h"
#include "on_loops.h"
#include "syncline_server.h"

#include <check.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_MS 60000

struct world {
    syn_server *server;
    char url[96], listen[64], folder[64], data[96];
    char detail[256];
};

static void no_log(void *user, const char *line)
{
    (void)user;
    if (getenv("SYN_LOG") != NULL) fprintf(stderr, "%s\n", line);
}

static void server_start(struct world *w)
{
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.loops = loops_tried;
    config.listen = w->listen;
    config.data = w->data;
    config.log = no_log;
    syn_err err = syn_server_start(&w->server, &config, w->detail);
    ck_assert_msg(err == SYN_OK, "server: %s: %s", syn_strerror(err), w->detail);
    snprintf(w->listen, sizeof w->listen, "127.0.0.1:%u", syn_server_port(w->server));
    snprintf(w->url, sizeof w->url, "ws://%s", w->listen);
}

static void server_stop(struct world *w)
{
    syn_server_stop(w->server, 1000);
    w->server = NULL;
}

static void world_open(struct world *w)
{
    memset(w, 0, sizeof *w);
    snprintf(w->folder, sizeof w->folder, "/tmp/syn-test-client-XXXXXX");
    ck_assert_ptr_nonnull(mkdtemp(w->folder));
    snprintf(w->data, sizeof w->data, "%s/server.db", w->folder);
    snprintf(w->listen, sizeof w->listen, "127.0.0.1:0");
    server_start(w);
}

static void world_close(struct world *w)
{
    char command[128];
    if (w->server != NULL) server_stop(w);
    snprintf(command, sizeof command, "rm -rf %s", w->folder);
    ck_assert_int_eq(system(command), 0);
}

static syn_client *client_of(const struct world *w, const char *file)
{
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    char path[128], detail[256] = "";
    syn_client *client;
    config.url = w->url;
    config.backoff_min_ms = 20;
    config.backoff_max_ms = 200;
    if (file != NULL) {
        snprintf(path, sizeof path, "%s/%s", w->folder, file);
        config.file = path;
    }
    syn_err err = syn_client_new(&client, &config, detail);
    ck_assert_msg(err == SYN_OK, "client: %s: %s", syn_strerror(err), detail);
    return client;
}

static syn_client_doc *open_doc(syn_client *client, const char *name)
{
    syn_client_doc *doc;
    ck_assert_int_eq(syn_client_open(client, syn_s(name), &doc), SYN_OK);
    return doc;
}

static syn_obj text_of(syn_doc *doc)
{
    syn_obj text;
    ck_assert_int_eq(syn_root(doc, syn_s(""), SYN_TEXT, &text), SYN_OK);
    return text;
}

static void type_at(syn_client *client, syn_client_doc *cd, size_t pos, const char *what)
{
    syn_client_lock(client);
    syn_doc *doc = syn_client_doc_state(cd);
    ck_assert_int_eq(syn_client_edit(cd), SYN_OK);
    ck_assert_int_eq(syn_text_insert(doc, text_of(doc), pos, syn_s(what)), SYN_OK);
    ck_assert_int_eq(syn_client_edited(cd), SYN_OK);
    syn_client_unlock(client);
}

static void wait_saved(syn_client_doc *cd)
{
    syn_err err = syn_client_wait(cd, WAIT_MS);
    ck_assert_msg(err == SYN_OK, "wait: %s (%s)", syn_strerror(err), syn_client_doc_reason(cd));
}

static syn_err collect(void *user, const void *data, size_t len)
{
    return syn_buf_append(user, data, len);
}

static void json_of(syn_client *client, syn_client_doc *cd, char *out, size_t cap)
{
    syn_buf buf = {0};
    syn_client_lock(client);
    ck_assert_int_eq(syn_doc_json(syn_client_doc_state(cd), SYN_NO_OBJ, collect, &buf), SYN_OK);
    syn_client_unlock(client);
    ck_assert_uint_lt(buf.len, cap);
    memcpy(out, buf.data, buf.len);
    out[buf.len] = '\0';
    syn_buf_free(&buf);
}

static void wait_json(syn_client *client, syn_client_doc *cd, const char *want)
{
    char have[4096] = "";
    for (int i = 0; i < WAIT_MS; i++) {
        json_of(client, cd, have, sizeof have);
        if (strcmp(have, want) == 0) return;
        usleep(1000);
    }
    ck_abort_msg("have %s\nwant %s", have, want);
}

START_TEST(one_client_saves)
{
    struct world w;
    world_open(&w);
    syn_client *a = client_of(&w, NULL);
    syn_client_doc *da = open_doc(a, "notes");
    ck_assert_int_eq(syn_client_wait_live(da, WAIT_MS), SYN_ENOTFOUND);
    type_at(a, da, 0, "hello");
    wait_saved(da);
    ck_assert_uint_eq(syn_client_unsaved(da).events, 0);
    while (syn_client_doc_status(da) != SYN_LIVE) usleep(1000);
    syn_str name = syn_client_doc_name(da);
    ck_assert(name.len == 5 && memcmp(name.data, "notes", 5) == 0);
    syn_client *b = client_of(&w, NULL);
    syn_client_doc *db = open_doc(b, "notes");
    ck_assert_int_eq(syn_client_wait_live(db, WAIT_MS), SYN_OK);
    wait_json(b, db, "{\"\":\"hello\"}");
    syn_client_free(a);
    syn_client_free(b);
    world_close(&w);
}
END_TEST

static void edit_everything(syn_client *client, syn_client_doc *cd, int who)
{
    syn_obj map, list, counter;
    char key[16];
    syn_client_lock(client);
    syn_doc *doc = syn_client_doc_state(cd);
    ck_assert_int_eq(syn_client_edit(cd), SYN_OK);
    ck_assert_int_eq(syn_root(doc, syn_s("map"), SYN_MAP, &map), SYN_OK);
    snprintf(key, sizeof key, "key%d", who);
    ck_assert_int_eq(syn_map_set(doc, map, syn_s(key), syn_int(who), NULL), SYN_OK);
    ck_assert_int_eq(syn_map_child(doc, map, syn_s("list"), SYN_LIST, &list), SYN_OK);
    ck_assert_int_eq(syn_list_insert(doc, list, 0, syn_int(7), NULL), SYN_OK);
    ck_assert_int_eq(syn_map_child(doc, map, syn_s("n"), SYN_COUNTER, &counter), SYN_OK);
    ck_assert_int_eq(syn_counter_add(doc, counter, 10 + who), SYN_OK);
    ck_assert_int_eq(syn_text_insert(doc, text_of(doc), 0, syn_s("ab")), SYN_OK);
    ck_assert_int_eq(syn_client_edited(cd), SYN_OK);
    syn_client_unlock(client);
}

START_TEST(two_clients_converge)
{
    struct world w;
    char first[4096];
    world_open(&w);
    syn_client *a = client_of(&w, NULL), *b = client_of(&w, "b.db");
    syn_client_doc *da = open_doc(a, "all"), *db = open_doc(b, "all");
    for (int i = 0; i < 20; i++) {
        edit_everything(a, da, 1);
        edit_everything(b, db, 2);
    }
    wait_saved(da);
    wait_saved(db);
    json_of(a, da, first, sizeof first);
    for (int i = 0; i < WAIT_MS && strstr(first, "\"n\":460") == NULL; i++) {
        usleep(1000);
        json_of(a, da, first, sizeof first);
    }
    ck_assert_ptr_nonnull(strstr(first, "\"n\":460"));
    ck_assert_ptr_nonnull(strstr(first, "\"key1\":1"));
    ck_assert_ptr_nonnull(strstr(first, "\"key2\":2"));
    wait_json(b, db, first);
    syn_client_free(a);
    syn_client_free(b);
    world_close(&w);
}
END_TEST

/* Edits made offline lie in the file, and are sent by the next process under their old ids. */
START_TEST(offline_edits_survive_restart)
{
    struct world w;
    world_open(&w);
    syn_client *a = client_of(&w, "a.db");
    syn_client_doc *da = open_doc(a, "doc");
    type_at(a, da, 0, "base ");
    wait_saved(da);
    syn_client_offline(a);
    type_at(a, da, 5, "one");
    ck_assert_uint_eq(syn_client_unsaved(da).events, 3);
    syn_client_free(a);
    server_stop(&w);
    a = client_of(&w, "a.db");
    da = open_doc(a, "doc");
    wait_json(a, da, "{\"\":\"base one\"}");
    ck_assert_uint_eq(syn_client_unsaved(da).events, 3);
    type_at(a, da, 8, " two");
    ck_assert_uint_eq(syn_client_unsaved(da).events, 7);
    server_start(&w);
    wait_saved(da);
    syn_client *b = client_of(&w, NULL);
    syn_client_doc *db = open_doc(b, "doc");
    ck_assert_int_eq(syn_client_wait_live(db, WAIT_MS), SYN_OK);
    wait_json(b, db, "{\"\":\"base one two\"}");
    syn_client_free(a);
    syn_client_free(b);
    world_close(&w);
}
END_TEST

START_TEST(server_restart_in_between)
{
    struct world w;
    world_open(&w);
    syn_client *a = client_of(&w, "a.db"), *b = client_of(&w, NULL);
    syn_client_doc *da = open_doc(a, "doc"), *db = open_doc(b, "doc");
    type_at(a, da, 0, "x");
    wait_saved(da);
    wait_json(b, db, "{\"\":\"x\"}");
    server_stop(&w);
    type_at(a, da, 1, "yz");
    server_start(&w);
    wait_saved(da);
    wait_json(b, db, "{\"\":\"xyz\"}");
    type_at(b, db, 3, "!");
    wait_saved(db);
    wait_json(a, da, "{\"\":\"xyz!\"}");
    syn_client_free(a);
    syn_client_free(b);
    world_close(&w);
}
END_TEST

/* The server's disk is put back to an earlier day: its clients bring what it lost. */
START_TEST(a_restored_server_is_helped)
{
    struct world w;
    char backup[128];
    uint8_t id[STORE_ID_BYTES] = "another store";
    world_open(&w);
    snprintf(backup, sizeof backup, "%s/backup.db", w.folder);
    syn_client *a = client_of(&w, "a.db"), *b = client_of(&w, NULL);
    syn_client_doc *da = open_doc(a, "doc"), *db = open_doc(b, "doc");
    type_at(a, da, 0, "before");
    wait_saved(da);
    ck_assert_int_eq(store_backup(w.data, backup, NULL, NULL, w.detail), SYN_OK);
    type_at(a, da, 6, " lost");
    wait_saved(da);
    wait_json(b, db, "{\"\":\"before lost\"}");
    syn_client_free(a); /* b alone knows what a wrote */
    server_stop(&w);
    ck_assert_int_eq(store_restore(w.data, backup, id, w.detail), SYN_OK);
    type_at(b, db, 11, " more");
    server_start(&w);
    wait_saved(db);
    a = client_of(&w, NULL);
    da = open_doc(a, "doc");
    ck_assert_int_eq(syn_client_wait_live(da, WAIT_MS), SYN_OK);
    wait_json(a, da, "{\"\":\"before lost more\"}");
    syn_client_free(a);
    syn_client_free(b);
    world_close(&w);
}
END_TEST

/* ---- Others' events, that the server does not have ------------------------------------------- */

/* What a friend, who has the document, wrote into a file: only that. */
static void friend_writes(syn_client *client, syn_client_doc *cd, uint64_t peer, const char *what,
                          syn_buf *out)
{
    syn_buf base = {0};
    syn_doc *friend;
    syn_id next[64];
    syn_client_lock(client);
    syn_doc *doc = syn_client_doc_state(cd);
    ck_assert_int_eq(syn_export_vector(doc, NULL, 0, &base), SYN_OK);
    size_t count = syn_doc_vector(doc, next, 64);
    syn_client_unlock(client);
    ck_assert_int_eq(syn_doc_new(&friend, NULL), SYN_OK);
    ck_assert_int_eq(syn_doc_set_peer(friend, peer, false), SYN_OK);
    if (base.len != 0) ck_assert_int_eq(syn_import(friend, base.data, base.len), SYN_OK);
    ck_assert_int_eq(syn_text_insert(friend, text_of(friend), 0, syn_s(what)), SYN_OK);
    ck_assert_int_eq(syn_export_vector(friend, next, count, out), SYN_OK);
    syn_doc_free(friend);
    syn_buf_free(&base);
}

static void take_file(syn_client *client, syn_client_doc *cd, const syn_buf *file)
{
    syn_client_lock(client);
    ck_assert_int_eq(syn_import(syn_client_doc_state(cd), file->data, file->len), SYN_OK);
    ck_assert_int_eq(syn_client_edited(cd), SYN_OK);
    syn_client_unlock(client);
}

static void server_has(const struct world *w, const char *name, const char *want)
{
    syn_client *c = client_of(w, NULL);
    syn_client_doc *dc = open_doc(c, name);
    ck_assert_int_eq(syn_client_wait_live(dc, WAIT_MS), SYN_OK);
    wait_json(c, dc, want);
    syn_client_free(c);
}

/* Imported while connected, while offline, and before a restart of the program. */
START_TEST(others_events_go_before_own_ones)
{
    struct world w;
    syn_buf file[3] = {{0}};
    world_open(&w);
    syn_client *a = client_of(&w, "a.db");
    syn_client_doc *da = open_doc(a, "doc");
    type_at(a, da, 0, ".");
    wait_saved(da);
    friend_writes(a, da, 0x71, "online ", &file[0]);
    take_file(a, da, &file[0]);
    type_at(a, da, 0, "1 ");
    wait_saved(da);
    server_has(&w, "doc", "{\"\":\"1 online .\"}");
    syn_client_offline(a);
    friend_writes(a, da, 0x72, "offline ", &file[1]);
    take_file(a, da, &file[1]);
    type_at(a, da, 0, "2 ");
    ck_assert_uint_eq(syn_client_unsaved(da).events, 10);
    syn_client_online(a);
    wait_saved(da);
    server_has(&w, "doc", "{\"\":\"2 offline 1 online .\"}");
    syn_client_offline(a);
    friend_writes(a, da, 0x73, "restart ", &file[2]);
    take_file(a, da, &file[2]);
    type_at(a, da, 0, "3 ");
    syn_client_free(a);
    a = client_of(&w, "a.db");
    da = open_doc(a, "doc");
    wait_saved(da);
    server_has(&w, "doc", "{\"\":\"3 restart 2 offline 1 online .\"}");
    for (int i = 0; i < 3; i++) syn_buf_free(&file[i]);
    syn_client_free(a);
    world_close(&w);
}
END_TEST

static void who_says(void *user, syn_auth_request *request, syn_str token)
{
    (void)user;
    syn_auth_accept(request, token, 0);
}

static uint32_t nobody_relays(void *user, syn_str who, syn_str document)
{
    (void)user;
    (void)document;
    bool relays = who.len == 5 && memcmp(who.data, "relay", 5) == 0;
    return SYN_MAY_READ | SYN_MAY_WRITE | SYN_MAY_CREATE | (relays ? SYN_MAY_RELAY : 0u);
}

struct told {
    atomic_int rejections;
    char code[64], branch[64];
};

static void see_rejected(void *user, syn_client_doc *doc, const char *code, const char *detail,
                         const char *branch)
{
    struct told *told = user;
    (void)doc;
    (void)detail;
    snprintf(told->code, sizeof told->code, "%s", code);
    snprintf(told->branch, sizeof told->branch, "%s", branch);
    atomic_fetch_add(&told->rejections, 1);
}

static syn_client *signed_in(const struct world *w, const char *who, struct told *told)
{
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    syn_client *client;
    config.url = w->url;
    config.token = who;
    config.backoff_min_ms = 20;
    config.backoff_max_ms = 200;
    config.user = told;
    if (told != NULL) config.rejected = see_rejected;
    ck_assert_int_eq(syn_client_new(&client, &config, NULL), SYN_OK);
    return client;
}

/* Bob's later events come to Ann in a file.  She may not send them for him, nor what she wrote upon
 * them; Bob and a relay may. */
START_TEST(others_events_that_may_not_be_sent)
{
    struct world w;
    struct told told = {0};
    syn_buf file = {0}, branch = {0};
    syn_id next[8];
    world_open(&w);
    server_stop(&w);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.listen = w.listen;
    config.data = w.data;
    config.log = no_log;
    config.authenticate = who_says;
    config.authorise = nobody_relays;
    ck_assert_int_eq(syn_server_start(&w.server, &config, w.detail), SYN_OK);
    syn_client *bob = signed_in(&w, "bob", NULL), *ann = signed_in(&w, "ann", &told);
    syn_client_doc *db = open_doc(bob, "doc"), *da = open_doc(ann, "doc");
    type_at(bob, db, 0, "bob");
    wait_saved(db);
    wait_json(ann, da, "{\"\":\"bob\"}");
    syn_client_offline(bob);
    syn_client_lock(bob);
    size_t count = syn_doc_vector(syn_client_doc_state(db), next, 8);
    syn_client_unlock(bob);
    type_at(bob, db, 3, " later");
    syn_client_lock(bob);
    ck_assert_int_eq(syn_export_vector(syn_client_doc_state(db), next, count, &file), SYN_OK);
    syn_client_unlock(bob);
    type_at(ann, da, 0, "ann, ");
    friend_writes(ann, da, 0x7e, "[anyone's] ", &branch);
    take_file(ann, da, &file);
    take_file(ann, da, &branch);
    type_at(ann, da, 25, "!");
    for (int i = 0; i < WAIT_MS && told.rejections == 0; i++) usleep(1000);
    ck_assert_int_eq(told.rejections, 1);
    ck_assert_str_eq(told.code, "FOREIGN_PEER");
    ck_assert_int_eq(syn_client_wait(da, WAIT_MS), SYN_EDENIED);
    wait_json(ann, da, "{\"\":\"[anyone's] ann, bob\"}");
    type_at(ann, da, 0, "on: ");
    wait_saved(da);
    ck_assert_uint_eq(syn_client_unsaved(da).events, 0);
    branch.len = 0;
    ck_assert_int_eq(syn_client_branch_read(da, syn_s(told.branch), collect, &branch), SYN_OK);
    syn_client *relay = signed_in(&w, "relay", NULL);
    syn_client_doc *dr = open_doc(relay, "doc");
    wait_json(relay, dr, "{\"\":\"on: [anyone's] ann, bob\"}");
    take_file(relay, dr, &branch); /* Bob's and Ann's, kept whole */
    wait_saved(dr);
    syn_client_online(bob);
    wait_saved(db);
    wait_json(bob, db, "{\"\":\"on: [anyone's] ann, bob later!\"}");
    wait_json(ann, da, "{\"\":\"on: [anyone's] ann, bob later!\"}");
    ck_assert_int_eq(told.rejections, 1);
    syn_client_free(ann);
    syn_client_free(bob);
    syn_client_free(relay);
    syn_buf_free(&file);
    syn_buf_free(&branch);
    world_close(&w);
}
END_TEST

START_TEST(many_documents_one_connection)
{
    struct world w;
    char name[32];
    syn_client_doc *docs[50];
    world_open(&w);
    syn_client *a = client_of(&w, "a.db");
    for (int i = 0; i < 50; i++) {
        snprintf(name, sizeof name, "doc%d", i);
        docs[i] = open_doc(a, name);
        type_at(a, docs[i], 0, name);
    }
    for (int i = 0; i < 50; i++) wait_saved(docs[i]);
    syn_client_close_doc(a, docs[0]);
    docs[0] = open_doc(a, "doc0");
    wait_saved(docs[0]);
    wait_json(a, docs[0], "{\"\":\"doc0\"}");
    syn_client_free(a);
    world_close(&w);
}
END_TEST

START_TEST(a_large_document_goes_both_ways)
{
    struct world w;
    size_t size = 400000;
    world_open(&w);
    char *text = malloc(size + 1);
    for (size_t i = 0; i < size; i++) text[i] = (char)('a' + (i * 7919 >> 5) % 26);
    text[size] = '\0';
    syn_client *a = client_of(&w, NULL);
    syn_client_doc *da = open_doc(a, "big");
    for (int i = 0; i < 4; i++) type_at(a, da, 0, text);
    wait_saved(da);
    const char *files[] = {NULL, "b.db"};
    for (int i = 0; i < 2; i++) {
        syn_client *b = client_of(&w, files[i]);
        syn_client_doc *db = open_doc(b, "big");
        ck_assert_int_eq(syn_client_wait_live(db, WAIT_MS), SYN_OK);
        syn_client_lock(b);
        syn_doc *doc = syn_client_doc_state(db);
        ck_assert_uint_eq(syn_text_len(doc, text_of(doc)), 4 * size + (size_t)i * 3);
        syn_client_unlock(b);
        type_at(b, db, 0, "end");
        wait_saved(db);
        syn_client_free(b);
    }
    free(text);
    syn_client_free(a);
    world_close(&w);
}
END_TEST

START_TEST(a_file_belongs_to_one_server)
{
    struct world w;
    char detail[256] = "", path[128];
    world_open(&w);
    syn_client_free(client_of(&w, "a.db"));
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    syn_client *client;
    snprintf(path, sizeof path, "%s/a.db", w.folder);
    config.url = "ws://127.0.0.1:9";
    config.file = path;
    ck_assert_int_eq(syn_client_new(&client, &config, detail), SYN_EMISUSE);
    ck_assert_ptr_nonnull(strstr(detail, "another server"));
    const char *bad[] = {"http://x", "ws://", "ws://h:0", "ws://h:99999", "ws://h:1x", "ws://[::1"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        config.url = bad[i];
        config.file = NULL;
        ck_assert_int_eq(syn_client_new(&client, &config, detail), SYN_EMISUSE);
    }
    world_close(&w);
}
END_TEST

/* ---- Refused edits, presence ----------------------------------------------------------------- */

static uint32_t read_only(void *user, syn_str who, syn_str document)
{
    (void)user;
    (void)who;
    bool locked = document.len == 6 && memcmp(document.data, "locked", 6) == 0;
    return locked ? SYN_MAY_READ : SYN_MAY_READ | SYN_MAY_WRITE | SYN_MAY_CREATE;
}

static syn_err make_locked(void *user, syn_doc *doc)
{
    (void)user;
    return syn_text_insert(doc, text_of(doc), 0, syn_s("fixed"));
}

static void mark_done(void *user, syn_err err)
{
    atomic_store((atomic_int *)user, 1 + (int)err);
}

static syn_err count_branch(void *user, syn_str branch)
{
    snprintf(user, 64, "%.*s", (int)branch.len, branch.data);
    return SYN_OK;
}

START_TEST(refused_edits_become_a_branch)
{
    struct world w;
    char branch[64] = "";
    atomic_int done = 0;
    syn_buf bytes = {0};
    world_open(&w);
    server_stop(&w);
    syn_server_config config = SYN_SERVER_CONFIG_INIT;
    config.listen = w.listen;
    config.data = w.data;
    config.log = no_log;
    config.authorise = read_only;
    ck_assert_int_eq(syn_server_start(&w.server, &config, w.detail), SYN_OK);
    ck_assert_int_eq(
        syn_server_edit(w.server, syn_s("locked"), true, make_locked, mark_done, &done), SYN_OK);
    for (int i = 0; i < WAIT_MS && done == 0; i++) usleep(1000);
    ck_assert_int_eq(done, 1);
    syn_client *a = client_of(&w, "a.db");
    syn_client_offline(a);
    syn_client_doc *da = open_doc(a, "locked");
    type_at(a, da, 0, "mine");
    syn_client_online(a);
    ck_assert_int_eq(syn_client_wait(da, WAIT_MS), SYN_EDENIED);
    wait_json(a, da, "{\"\":\"fixed\"}");
    ck_assert_int_eq(syn_client_edit(da), SYN_EDENIED);
    syn_client_free(a);
    a = client_of(&w, "a.db");
    da = open_doc(a, "locked");
    wait_json(a, da, "{\"\":\"fixed\"}");
    ck_assert_int_eq(syn_client_branches(da, count_branch, branch), SYN_OK);
    ck_assert_int_eq(strncmp(branch, "FORBIDDEN-", 10), 0);
    ck_assert_int_eq(syn_client_branch_read(da, syn_s(branch), collect, &bytes), SYN_OK);
    ck_assert_uint_gt(bytes.len, 0);
    syn_doc *doc;
    ck_assert_int_eq(syn_doc_new(&doc, NULL), SYN_OK);
    ck_assert_int_eq(syn_import(doc, bytes.data, bytes.len), SYN_OK);
    ck_assert_uint_eq(syn_text_len(doc, text_of(doc)), 4);
    syn_doc_free(doc);
    ck_assert_int_eq(syn_client_branch_drop(da, syn_s(branch)), SYN_OK);
    syn_client_free(a);
    a = client_of(&w, "a.db");
    da = open_doc(a, "locked");
    branch[0] = '\0';
    ck_assert_int_eq(syn_client_branches(da, count_branch, branch), SYN_OK);
    ck_assert_str_eq(branch, "");
    syn_client_free(a);
    syn_buf_free(&bytes);
    world_close(&w);
}
END_TEST

static void see_presence(void *user, syn_client_doc *doc, uint32_t session, syn_str who,
                         syn_str state, bool gone)
{
    (void)doc;
    (void)session;
    (void)who;
    if (!gone && state.len == 5 && memcmp(state.data, "here!", 5) == 0)
        atomic_store((atomic_int *)user, 1);
}

START_TEST(presence_reaches_the_other)
{
    struct world w;
    atomic_int seen = 0;
    world_open(&w);
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    syn_client *a = client_of(&w, NULL), *b;
    config.url = w.url;
    config.user = &seen;
    config.presence = see_presence;
    ck_assert_int_eq(syn_client_new(&b, &config, NULL), SYN_OK);
    syn_client_doc *da = open_doc(a, "doc");
    type_at(a, da, 0, "x");
    wait_saved(da);
    syn_client_doc *db = open_doc(b, "doc");
    ck_assert_int_eq(syn_client_wait_live(db, WAIT_MS), SYN_OK);
    ck_assert_int_eq(syn_client_presence(da, syn_s("here!"), 0), SYN_OK);
    for (int i = 0; i < WAIT_MS && seen == 0; i++) usleep(1000);
    ck_assert_int_eq(seen, 1);
    syn_client_free(a);
    syn_client_free(b);
    world_close(&w);
}
END_TEST

struct seen {
    atomic_int session;
};

static void see_session(void *user, syn_client_doc *doc, uint32_t session, syn_str who,
                        syn_str state, bool gone)
{
    struct seen *seen = user;
    (void)doc;
    (void)who;
    (void)state;
    atomic_store(&seen->session, gone ? 0 : (int)session);
}

static syn_client *watcher(const struct world *w, struct seen *seen)
{
    syn_client_config config = SYN_CLIENT_CONFIG_INIT;
    syn_client *client;
    config.url = w->url;
    config.user = seen;
    config.presence = see_session;
    config.backoff_min_ms = 20;
    config.backoff_max_ms = 200;
    ck_assert_int_eq(syn_client_new(&client, &config, NULL), SYN_OK);
    return client;
}

static void select_at(syn_client *client, syn_client_doc *cd, size_t anchor, size_t head)
{
    syn_client_lock(client);
    syn_selection at = {text_of(syn_client_doc_state(cd)), anchor, head};
    ck_assert_int_eq(syn_client_select(cd, &at, 1), SYN_OK);
    at.anchor = 1000000;
    ck_assert_int_eq(syn_client_select(cd, &at, 1), SYN_ERANGE);
    syn_client_unlock(client);
}

static void wait_selected(syn_client *client, syn_client_doc *cd, const struct seen *seen,
                          size_t anchor, size_t head)
{
    syn_selection at = {0};
    size_t count = 0;
    for (int i = 0; i < WAIT_MS; i++) {
        syn_client_lock(client);
        count = syn_client_selections(cd, (uint32_t)seen->session, &at, 1);
        bool same = count == 1 && at.anchor == anchor && at.head == head &&
                    at.obj == text_of(syn_client_doc_state(cd));
        syn_client_unlock(client);
        if (same) return;
        usleep(1000);
    }
    ck_abort_msg("%zu selections, the first %zu to %zu, not %zu to %zu", count, at.anchor, at.head,
                 anchor, head);
}

static void wait_unselected(syn_client *client, syn_client_doc *cd, const struct seen *seen)
{
    size_t count = 1;
    for (int i = 0; i < WAIT_MS && count != 0; i++) {
        usleep(1000);
        syn_client_lock(client);
        count = syn_client_selections(cd, (uint32_t)seen->session, NULL, 0);
        syn_client_unlock(client);
    }
    ck_assert_uint_eq(count, 0);
}

/* Told before the text it stands on has come, kept while both type, told again to whoever comes
 * later, gone with its session. */
START_TEST(selections_stand_where_they_were_made)
{
    struct world w;
    struct seen seen = {0};
    world_open(&w);
    syn_client *a = client_of(&w, NULL), *b = watcher(&w, &seen);
    syn_client_doc *da = open_doc(a, "doc"), *db = open_doc(b, "doc");
    type_at(a, da, 0, "\xf0\x9f\x98\x80 one two");
    select_at(a, da, 9, 6); /* backwards */
    wait_selected(b, db, &seen, 9, 6);
    type_at(b, db, 0, "\xf0\x9f\x98\x80\xf0\x9f\x98\x80");
    type_at(b, db, 5, "-");
    wait_selected(b, db, &seen, 12, 9);
    wait_saved(db);
    server_stop(&w);
    server_start(&w);
    struct seen late = {0};
    syn_client *c = watcher(&w, &late);
    syn_client_doc *dc = open_doc(c, "doc");
    wait_selected(c, dc, &late, 12, 9);
    wait_selected(b, db, &seen, 12, 9);
    syn_client_lock(a);
    ck_assert_int_eq(syn_client_select(da, NULL, 0), SYN_OK);
    syn_client_unlock(a);
    wait_unselected(b, db, &seen);
    syn_client_free(a);
    syn_client_free(b);
    syn_client_free(c);
    world_close(&w);
}
END_TEST

static void add_tests(TCase *tests)
{
    tcase_add_test(tests, one_client_saves);
    tcase_add_test(tests, two_clients_converge);
    tcase_add_test(tests, offline_edits_survive_restart);
    tcase_add_test(tests, server_restart_in_between);
    tcase_add_test(tests, a_restored_server_is_helped);
    tcase_add_test(tests, others_events_go_before_own_ones);
    tcase_add_test(tests, others_events_that_may_not_be_sent);
    tcase_add_test(tests, many_documents_one_connection);
    tcase_add_test(tests, a_large_document_goes_both_ways);
    tcase_add_test(tests, a_file_belongs_to_one_server);
    tcase_add_test(tests, refused_edits_become_a_branch);
    tcase_add_test(tests, presence_reaches_the_other);
    tcase_add_test(tests, selections_stand_where_they_were_made);
}

int main(void)
{
    Suite *suite = suite_create("client");
    add_on_loops(suite, "client", 0, add_tests);
    SRunner *runner = srunner_create(suite);
    srunner_run_all(runner, CK_ENV);
    int failed = srunner_ntests_failed(runner);
    srunner_free(runner);
    return failed == 0 ? 0 : 1;
}
