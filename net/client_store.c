/* client_store.c -- the local file of a client.
 *
 * Documents lie in it as on a server (log pieces, peers); beside them are notes:
 *
 *     of the file    "url", "user"     whose copy this is
 *     of a document  "own/<peer>"      acked: a peer of ours with events that may not be saved
 *                    "branch/<name>"   Changes: work that the server refused
 *
 * A note of an own peer is written in the turn of its events, so that no event is in the file
 * without it; taken away it is when there is time, for a stale one only costs a question. */
#include "client_impl.h"

#include <assert.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#define OWN_KEY    "own/"
#define BRANCH_KEY "branch/"

/* ---- The file -------------------------------------------------------------------------------- */

static void on_wake(void *user)
{
    client_kick(user);
}

static bool note_is(syn_client *client, const char *key, const char *want, bool *there)
{
    char have[1024];
    size_t len;
    *there = store_read_note(client->store, 0, syn_s(key), have, sizeof have, &len) == SYN_OK;
    return !*there || (len == strlen(want) && len <= sizeof have && memcmp(have, want, len) == 0);
}

/* A file goes with one server: its ids and lineages mean nothing to another. */
static syn_err claim_url(syn_client *client, char *detail)
{
    bool there;
    store_turn *turn;
    if (client->url == NULL) return SYN_OK;
    if (!note_is(client, "url", client->url, &there)) {
        snprintf(detail, 256, "%s is the copy of another server; use another file", client->file);
        return SYN_EMISUSE;
    }
    if (there) return SYN_OK;
    syn_err err = store_turn_new(client->store, &turn);
    if (err) return err;
    err = store_turn_note(turn, 0, syn_s("url"), syn_s(client->url));
    if (err) {
        store_turn_drop(turn);
        return err;
    }
    return store_commit(turn);
}

syn_err client_store_open(syn_client *client, char *detail)
{
    uint8_t id[STORE_ID_BYTES];
    if (client->file == NULL) return SYN_OK;
    if (getrandom(id, sizeof id, 0) != (ssize_t)sizeof id) return SYN_EIO;
    store_options options = {.path = client->file,
                             .owner = client->url != NULL ? client->url : "a client, offline",
                             .create = true,
                             .random_id = id};
    syn_err err = store_open(&client->store, &options, detail);
    if (err) return err;
    store_on_wake(client->store, on_wake, client);
    err = claim_url(client, detail);
    if (err) client_store_close(client);
    return err;
}

void client_store_close(syn_client *client)
{
    store_close(client->store);
    client->store = NULL;
}

bool client_store_user(syn_client *client, syn_str user)
{
    bool there;
    size_t len = user.len < sizeof client->user ? user.len : sizeof client->user - 1;
    if (len != 0) memcpy(client->user, user.data, len);
    client->user[len] = '\0';
    if (client->store == NULL) return true;
    if (!note_is(client, "user", client->user, &there)) return false;
    client->user_dirty = !there;
    return true;
}

/* ---- Opening a document ---------------------------------------------------------------------- */

struct own_list {
    struct session_own *at;
    uint32_t count;
};

static syn_err read_own(void *user, syn_str key, syn_str value)
{
    struct own_list *list = user;
    char hex[17] = {0};
    struct session_own own = {0};
    if (key.len != strlen(OWN_KEY) + 16 || value.len != sizeof own.acked) return SYN_OK;
    memcpy(hex, key.data + strlen(OWN_KEY), 16);
    own.peer = strtoull(hex, NULL, 16);
    memcpy(&own.acked, value.data, sizeof own.acked);
    struct session_own *grown = realloc(list->at, (list->count + 1) * sizeof *grown);
    if (grown == NULL) return SYN_ENOMEM;
    list->at = grown;
    if (own.peer != 0) grown[list->count++] = own;
    return SYN_OK;
}

static struct branch *branch_new(syn_client_doc *cd)
{
    struct branch *grown = realloc(cd->branches, (cd->branch_count + 1) * sizeof *grown);
    if (grown == NULL) return NULL;
    cd->branches = grown;
    memset(&grown[cd->branch_count], 0, sizeof *grown);
    return &grown[cd->branch_count];
}

static syn_err read_branch(void *user, syn_str key, syn_str value)
{
    syn_client_doc *cd = user;
    size_t prefix = strlen(BRANCH_KEY);
    if (key.len <= prefix || key.len - prefix >= BRANCH_NAME) return SYN_OK;
    struct branch *branch = branch_new(cd);
    if (branch == NULL) return SYN_ENOMEM;
    memcpy(branch->name, key.data + prefix, key.len - prefix);
    syn_err err = syn_buf_append(&branch->bytes, value.data, value.len);
    if (!err) cd->branch_count++;
    return err;
}

static syn_err copy_noted(syn_client_doc *cd, const struct session_own *own, uint32_t count)
{
    struct session_own *copy = malloc((count + 1u) * sizeof *copy);
    if (copy == NULL) return SYN_ENOMEM;
    if (count != 0) memcpy(copy, own, count * sizeof *copy);
    free(cd->noted);
    cd->noted = copy;
    cd->noted_count = count;
    return SYN_OK;
}

static syn_err load_notes(syn_client_doc *cd, struct own_list *own)
{
    syn_store *store = cd->client->store;
    syn_err err = store_read_notes(store, cd->id, syn_s(OWN_KEY), read_own, own);
    if (!err) err = store_read_notes(store, cd->id, syn_s(BRANCH_KEY), read_branch, cd);
    if (!err) err = copy_noted(cd, own->at, own->count);
    return err;
}

syn_err client_store_load(syn_client_doc *cd, const syn_doc_config *config,
                          struct session_own **own, uint32_t *own_count, char *detail)
{
    syn_client *client = cd->client;
    struct own_list list = {0};
    uint32_t added;
    *own = NULL;
    *own_count = 0;
    if (client->store == NULL) return syn_doc_new(&cd->doc, config);
    syn_str name = {cd->name, cd->name_len};
    syn_err err = doc_store_load(client->store, name, config, &cd->doc, &cd->row, detail);
    if (err == SYN_ENOTFOUND || err == SYN_EDELETED) {
        memset(&cd->row, 0, sizeof cd->row);
        return syn_doc_new(&cd->doc, config);
    }
    if (err) return err;
    cd->id = cd->row.id;
    cd->created = true;
    /* Offline work may be concurrent to anything, and may have to be taken out again: so the
     * history is here.  Without it (a file from elsewhere) the rest works all the same. */
    err = doc_store_backfill(client->store, &cd->row, cd->doc, &added);
    if (err == SYN_EHISTORY) err = SYN_OK;
    cd->stored = cd->seen = syn_doc_log_end(cd->doc);
    if (!err) err = load_notes(cd, &list);
    *own = list.at;
    *own_count = list.count;
    return err;
}

void client_doc_free(syn_client_doc *cd)
{
    syn_doc_free(cd->doc);
    for (uint32_t i = 0; i < cd->branch_count; i++) syn_buf_free(&cd->branches[i].bytes);
    free(cd->branches);
    free(cd->noted);
    free(cd);
}

/* ---- What a turn writes ---------------------------------------------------------------------- */

static void own_key(char key[32], uint64_t peer)
{
    snprintf(key, 32, OWN_KEY "%016" PRIx64, peer);
}

static const struct session_own *listed(const struct session_own *list, uint32_t count,
                                        uint64_t peer)
{
    for (uint32_t i = 0; i < count; i++)
        if (list[i].peer == peer) return &list[i];
    return NULL;
}

/* Peers are in the notes before, or together with, their first event. */
static syn_err write_own(store_turn *turn, syn_client_doc *cd)
{
    char key[32];
    uint32_t count = session_doc_own(cd->sd, NULL, 0);
    struct session_own *own = malloc((count + 1u) * sizeof *own);
    if (own == NULL) return SYN_ENOMEM;
    session_doc_own(cd->sd, own, count);
    syn_err err = SYN_OK;
    for (uint32_t i = 0; !err && i < count; i++) {
        const struct session_own *noted = listed(cd->noted, cd->noted_count, own[i].peer);
        if (noted != NULL && noted->acked == own[i].acked) continue;
        own_key(key, own[i].peer);
        err = store_turn_note(turn, cd->id, syn_s(key),
                              (syn_str){(const char *)&own[i].acked, sizeof own[i].acked});
    }
    for (uint32_t i = 0; !err && i < cd->noted_count; i++) {
        if (listed(own, count, cd->noted[i].peer) != NULL) continue;
        own_key(key, cd->noted[i].peer);
        err = store_turn_note(turn, cd->id, syn_s(key), (syn_str){NULL, 0});
    }
    if (!err) err = copy_noted(cd, own, count);
    free(own);
    return err;
}

static syn_err write_branches(store_turn *turn, syn_client_doc *cd)
{
    char key[BRANCH_NAME + sizeof BRANCH_KEY];
    syn_err err = SYN_OK;
    for (uint32_t i = 0; !err && i < cd->branch_count; i++) {
        struct branch *branch = &cd->branches[i];
        if (!branch->dirty) continue;
        snprintf(key, sizeof key, BRANCH_KEY "%s", branch->name);
        syn_str bytes = {branch->bytes.data, branch->bytes.len};
        if (branch->dropped) bytes = (syn_str){NULL, 0};
        err = store_turn_note(turn, cd->id, syn_s(key), bytes);
        branch->dirty = false;
    }
    return err;
}

/* After a clear the rows of the peers begin anew, too. */
static syn_err write_peers(store_turn *turn, const syn_client_doc *cd, const syn_changes *set)
{
    syn_err err = SYN_OK;
    for (uint32_t i = 0; !err && i < set->peer_count; i++) {
        struct store_peer row = {.peer = set->peers[i]};
        snprintf(row.user, sizeof row.user, "%s", cd->client->user);
        err = proto_chain(set, row.peer, &row.next, &row.chain);
        if (!err && row.next != 0) err = store_turn_peer(turn, cd->id, &row);
    }
    return err;
}

static syn_err write_anew(store_turn *turn, syn_client_doc *cd, uint32_t end)
{
    syn_buf buf = {0};
    syn_changes set;
    uint32_t cut;
    syn_span span = {0, end};
    syn_err err = store_turn_clear(turn, cd->id);
    if (err || end == 0) return err;
    err = syn_doc_export(cd->doc, span, UINT32_MAX, SIZE_MAX, &set, &cut);
    if (!err) err = proto_encode_changes(&buf, &set, NULL);
    if (!err) err = store_turn_append(turn, cd->id, 0, end, (syn_str){buf.data, buf.len});
    if (!err) err = write_peers(turn, cd, &set);
    syn_buf_free(&buf);
    return err;
}

static syn_err write_log(store_turn *turn, syn_client_doc *cd, uint32_t end)
{
    struct doc_append what = {.doc = cd->id,
                              .offset = doc_store_offset(&cd->row, cd->doc),
                              .from = cd->stored,
                              .end = end,
                              .user = syn_s(cd->client->user)};
    return doc_store_append(turn, cd->client->store, cd->doc, &what, NULL);
}

static syn_err write_doc(store_turn *turn, syn_client_doc *cd)
{
    uint32_t end = syn_doc_log_end(cd->doc);
    const uint8_t *lineage = session_doc_lineage(cd->sd);
    syn_err err = SYN_OK;
    bool create = !cd->created;
    if (create)
        err = store_turn_create(turn, (syn_str){cd->name, cd->name_len}, lineage, &cd->id);
    else if (cd->lineage_dirty && lineage != NULL)
        err = store_turn_lineage(turn, cd->id, lineage);
    cd->created = true;
    cd->lineage_dirty = false;
    if (!err && cd->rewrite && !create)
        err = write_anew(turn, cd, end);
    else if (!err && end > cd->stored)
        err = write_log(turn, cd, end);
    cd->rewrite = cd->notes_dirty = false;
    if (!err) err = write_own(turn, cd);
    if (!err) err = write_branches(turn, cd);
    cd->flying = true;
    cd->flying_end = end;
    return err;
}

static bool branches_dirty(const syn_client_doc *cd)
{
    for (uint32_t i = 0; i < cd->branch_count; i++)
        if (cd->branches[i].dirty) return true;
    return false;
}

static bool content_dirty(const syn_client_doc *cd)
{
    return cd->rewrite || cd->lineage_dirty || syn_doc_log_end(cd->doc) > cd->stored ||
           branches_dirty(cd);
}

bool client_store_clean(const syn_client_doc *cd)
{
    return cd->client->store == NULL || (!cd->flying && !content_dirty(cd));
}

/* ---- Turns ----------------------------------------------------------------------------------- */

/* What the file holds is not known: everything is written anew after a while. */
static void doc_unknown(syn_client_doc *cd)
{
    struct store_doc row;
    syn_str name = {cd->name, cd->name_len};
    cd->created = store_find(cd->client->store, name, &row) == SYN_OK;
    if (cd->created) cd->id = row.id;
    memset(&cd->row, 0, sizeof cd->row);
    cd->rewrite = true;
    cd->stored = 0;
    cd->noted_count = 0;
    for (uint32_t i = 0; i < cd->branch_count; i++) cd->branches[i].dirty = true;
}

static bool failed_doc(const struct store_result *result, int64_t id)
{
    for (uint32_t i = 0; i < result->doc_failed_count; i++)
        if (result->doc_failed[i] == id) return true;
    return false;
}

static void landed(void *user, const struct store_result *result)
{
    syn_client *client = user;
    client->flying = false;
    client->error[0] = '\0';
    if (result->err) {
        snprintf(client->error, sizeof client->error, "the local file: %s",
                 result->detail != NULL ? result->detail : syn_strerror(result->err));
        client->store_at = client_now() + STORE_RETRY_MS;
    }
    for (syn_client_doc *cd = client->docs; cd != NULL; cd = cd->next) {
        if (!cd->flying) continue;
        cd->flying = false;
        if (result->err || failed_doc(result, cd->id))
            doc_unknown(cd);
        else
            cd->stored = cd->flying_end;
    }
}

static syn_err fill(syn_client *client, store_turn *turn, bool notes_too)
{
    syn_err err = SYN_OK;
    if (client->user_dirty) err = store_turn_note(turn, 0, syn_s("user"), syn_s(client->user));
    for (syn_client_doc *cd = client->docs; !err && cd != NULL; cd = cd->next) {
        bool notes = cd->notes_dirty && cd->created && notes_too;
        if (content_dirty(cd) || notes) err = write_doc(turn, cd);
    }
    return err;
}

static bool anything(const syn_client *client, bool notes_too)
{
    if (client->user_dirty) return true;
    for (const syn_client_doc *cd = client->docs; cd != NULL; cd = cd->next)
        if (content_dirty(cd) || (cd->notes_dirty && cd->created && notes_too)) return true;
    return false;
}

void client_store_flush(syn_client *client, bool notes_too)
{
    store_turn *turn;
    uint64_t now = client_now();
    if (client->store == NULL || client->flying || now < client->store_at) return;
    for (syn_client_doc *cd = client->docs; cd != NULL; cd = cd->next)
        if (cd->notes_dirty && now >= cd->notes_at) notes_too = true;
    if (!anything(client, notes_too)) return;
    syn_err err = store_turn_new(client->store, &turn);
    if (err) return;
    err = fill(client, turn, notes_too);
    if (err) {
        store_turn_drop(turn);
        landed(client, &(struct store_result){.err = err});
        return;
    }
    client->user_dirty = false;
    client->flying = true;
    store_submit(turn, landed, client);
}

void client_store_settle(syn_client *client)
{
    if (client->store == NULL) return;
    for (int tries = 0; tries < 20000; tries++) { /* a disk that hangs does not hold us for ever */
        store_poll(client->store);
        client_store_flush(client, true);
        if (!client->flying && (!anything(client, true) || client->error[0] != '\0')) return;
        if (client->flying) usleep(200);
    }
}

uint64_t client_store_next(const syn_client *client)
{
    uint64_t next = UINT64_MAX;
    if (client->store == NULL || client->flying) return next;
    for (const syn_client_doc *cd = client->docs; cd != NULL; cd = cd->next) {
        if (cd->notes_dirty && cd->notes_at < next) next = cd->notes_at;
        if (content_dirty(cd) && client->store_at < next) next = client->store_at;
    }
    return next;
}

/* ---- Branches -------------------------------------------------------------------------------- */

syn_err client_branch_add(syn_client_doc *cd, const char *code, const syn_changes *removed,
                          const char **name)
{
    struct branch *branch = branch_new(cd);
    *name = "";
    if (branch == NULL) return SYN_ENOMEM;
    snprintf(branch->name, sizeof branch->name, "%s-%08x", code, (unsigned)client_random());
    syn_err err = proto_encode_changes(&branch->bytes, removed, NULL);
    if (err) {
        syn_buf_free(&branch->bytes);
        return err;
    }
    branch->dirty = true;
    cd->branch_count++;
    *name = branch->name;
    return SYN_OK;
}

static struct branch *branch_find(syn_client_doc *cd, syn_str name)
{
    for (uint32_t i = 0; i < cd->branch_count; i++) {
        struct branch *branch = &cd->branches[i];
        if (!branch->dropped && strlen(branch->name) == name.len &&
            memcmp(branch->name, name.data, name.len) == 0)
            return branch;
    }
    return NULL;
}

syn_err syn_client_branches(syn_client_doc *cd, syn_err (*visit)(void *, syn_str branch),
                            void *user)
{
    syn_err err = SYN_OK;
    syn_client_lock(cd->client);
    for (uint32_t i = 0; !err && i < cd->branch_count; i++)
        if (!cd->branches[i].dropped) err = visit(user, syn_s(cd->branches[i].name));
    syn_client_unlock(cd->client);
    return err;
}

syn_err syn_client_branch_read(syn_client_doc *cd, syn_str name, syn_write_fn write, void *user)
{
    syn_client_lock(cd->client);
    const struct branch *branch = branch_find(cd, name);
    syn_err err =
        branch == NULL ? SYN_ENOTFOUND : write(user, branch->bytes.data, branch->bytes.len);
    syn_client_unlock(cd->client);
    return err;
}

syn_err syn_client_branch_drop(syn_client_doc *cd, syn_str name)
{
    syn_client_lock(cd->client);
    struct branch *branch = branch_find(cd, name);
    if (branch != NULL) branch->dropped = branch->dirty = true;
    client_kick(cd->client);
    syn_client_unlock(cd->client);
    return branch != NULL ? SYN_OK : SYN_ENOTFOUND;
}
