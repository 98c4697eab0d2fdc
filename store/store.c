/* store.c -- what both backends share: ended turns and their reports, damage, dispatch.
 *
 *     submit -> backend (a thread's queue, or at once) -> store_ended -> [first .. last] -> poll
 *
 * A turn that somebody waits for (store_commit) does not join the row: its owner is asleep on
 * `ended` and takes it back himself. */
#include "store_impl.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

static void *default_resize(void *user, void *ptr, size_t old_size, size_t new_size)
{
    (void)user;
    (void)old_size;
    if (new_size != 0) return realloc(ptr, new_size);
    free(ptr);
    return NULL;
}

syn_err store_open(syn_store **out, const store_options *options, char detail[256])
{
    detail[0] = '\0';
    *out = NULL;
    store_options with = *options;
    if (with.mem.resize == NULL) with.mem = (syn_mem){.resize = default_resize};
    if (with.min_gap_us == 0) with.min_gap_us = 1000;
    if (with.path == NULL) return store_open_memory(out, &with, detail);
    return store_open_sqlite(out, &with, detail);
}

syn_err store_base_init(syn_store *store, const store_options *options,
                        const struct store_backend *backend)
{
    store->backend = backend;
    store->mem = options->mem;
    store->read_only = options->read_only;
    atomic_init(&store->next_doc, 1);
    atomic_init(&store->failing, false);
    if (pthread_mutex_init(&store->lock, NULL) != 0) return SYN_ENOMEM;
    if (pthread_cond_init(&store->ended, NULL) == 0) return SYN_OK;
    pthread_mutex_destroy(&store->lock);
    return SYN_ENOMEM;
}

void store_base_free(syn_store *store)
{
    array_free(&store->mem, &store->damaged);
    pthread_cond_destroy(&store->ended);
    pthread_mutex_destroy(&store->lock);
}

void store_close(syn_store *store)
{
    if (store != NULL) store->backend->close(store);
}

void store_id(const syn_store *store, uint8_t out[STORE_ID_BYTES])
{
    memcpy(out, store->id, STORE_ID_BYTES);
}

const char *store_error(const syn_store *store)
{
    return store->error;
}

void store_copy_error(syn_store *store, char *out, size_t size)
{
    pthread_mutex_lock(&store->lock);
    (void)snprintf(out, size, "%s", store->error);
    pthread_mutex_unlock(&store->lock);
}

syn_err store_refuse(syn_store *store, syn_err err, const char *format, ...)
{
    char text[sizeof store->error];
    va_list args;
    va_start(args, format);
    (void)vsnprintf(text, sizeof text, format, args);
    va_end(args);
    pthread_mutex_lock(&store->lock); /* several threads may read */
    memcpy(store->error, text, sizeof text);
    pthread_mutex_unlock(&store->lock);
    return err;
}

/* ---- Turns ----------------------------------------------------------------------------------- */

void store_submit(store_turn *turn, store_done done, void *user)
{
    turn->done = done;
    turn->user = user;
    turn->store->backend->submit(turn->store, turn);
}

void store_ended(syn_store *store, store_turn *turn)
{
    turn->result.doc_failed = turn->failed.at;
    turn->result.doc_failed_count = turn->failed.n;
    turn->result.detail = turn->detail;
    turn->next = NULL;
    pthread_mutex_lock(&store->lock);
    turn->ended = true;
    bool waited = turn->waited;
    if (waited) {
        pthread_cond_broadcast(&store->ended); /* the turn is its owner's from here on */
    } else {
        if (store->last == NULL) store->first = turn;
        if (store->last != NULL) store->last->next = turn;
        store->last = turn;
    }
    pthread_mutex_unlock(&store->lock);
    if (!waited && store->wake != NULL) store->wake(store->wake_user);
}

void store_poll(syn_store *store)
{
    pthread_mutex_lock(&store->lock);
    store_turn *turn = store->first;
    store->first = store->last = NULL;
    pthread_mutex_unlock(&store->lock);
    while (turn != NULL) {
        store_turn *next = turn->next;
        if (turn->done != NULL) turn->done(turn->user, &turn->result);
        store_turn_drop(turn);
        turn = next;
    }
}

void store_on_wake(syn_store *store, void (*wake)(void *user), void *user)
{
    store->wake = wake;
    store->wake_user = user;
}

syn_err store_commit(store_turn *turn)
{
    syn_store *store = turn->store;
    turn->waited = true;
    store->backend->submit(store, turn);
    pthread_mutex_lock(&store->lock);
    while (!turn->ended) pthread_cond_wait(&store->ended, &store->lock);
    pthread_mutex_unlock(&store->lock);
    syn_err err = turn->result.err;
    if (err == SYN_OK && turn->failed.n > 0) err = turn->doc_err;
    if (err != SYN_OK) store_refuse(store, err, "%s", turn->detail);
    store_turn_drop(turn);
    return err;
}

bool store_failing(const syn_store *store)
{
    return atomic_load(&store->failing);
}

/* A turn of one operation, waited for or not. */
static syn_err do_one(syn_store *store, enum turn_kind kind, int64_t doc, bool wait)
{
    store_turn *turn;
    syn_err err = store_turn_new(store, &turn);
    if (err != SYN_OK) return err;
    err = turn_push(turn, kind, doc);
    if (err != SYN_OK) {
        store_turn_drop(turn);
        return err;
    }
    if (wait) return store_commit(turn);
    store_submit(turn, NULL, NULL);
    return SYN_OK;
}

void store_probe(syn_store *store)
{
    (void)do_one(store, TURN_PROBE, 0, false); /* no memory: the next probe may have some */
}

const uint32_t store_bucket_us[STORE_BUCKETS - 1] = {500,   1000,   2000,   5000,   10000,  20000,
                                                     50000, 100000, 250000, 500000, 1000000};

void store_count_commit(struct store_stats *stats, uint64_t took)
{
    uint32_t bucket = 0;
    while (bucket < STORE_BUCKETS - 1 && took > store_bucket_us[bucket]) bucket++;
    stats->buckets[bucket]++;
    stats->commit_us_total += took;
    if (took > stats->commit_us_max) stats->commit_us_max = took;
}

void store_read_stats(const syn_store *store, struct store_stats *out)
{
    syn_store *locked = (syn_store *)(uintptr_t)store; /* reading is const to the caller */
    pthread_mutex_lock(&locked->lock);
    *out = store->stats;
    pthread_mutex_unlock(&locked->lock);
}

syn_err store_vacuum(syn_store *store, store_progress progress, void *user)
{
    if (progress != NULL) progress(user, 0, 1);
    syn_err err = do_one(store, TURN_VACUUM, 0, true);
    if (err == SYN_OK && progress != NULL) progress(user, 1, 1);
    return err;
}

/* ---- Damage ---------------------------------------------------------------------------------- */

syn_err store_damage_room(syn_store *store)
{
    pthread_mutex_lock(&store->lock);
    syn_err err = array_reserve(&store->mem, &store->damaged, 1);
    pthread_mutex_unlock(&store->lock);
    return err == SYN_OK ? SYN_OK : store_refuse(store, err, "no memory to read");
}

bool store_is_damaged(syn_store *store, int64_t doc)
{
    bool found = false;
    pthread_mutex_lock(&store->lock);
    for (uint32_t i = 0; i < store->damaged.n && !found; i++) found = store->damaged.at[i] == doc;
    pthread_mutex_unlock(&store->lock);
    return found;
}

void store_damage_found(syn_store *store, int64_t doc)
{
    if (doc == 0 || store_is_damaged(store, doc)) return;
    pthread_mutex_lock(&store->lock);
    if (store->damaged.n < store->damaged.cap) *array_push(&store->damaged) = doc;
    pthread_mutex_unlock(&store->lock);
    /* On disk too, as soon as may be.  If that fails the next reading finds the damage again. */
    if (!store->read_only) (void)do_one(store, TURN_DAMAGED, doc, false);
}

syn_err store_mark_damaged(syn_store *store, int64_t doc)
{
    syn_err err = store_damage_room(store);
    if (err != SYN_OK) return err;
    store_damage_found(store, doc);
    return store->read_only ? SYN_OK : do_one(store, TURN_DAMAGED, doc, true);
}

syn_err store_repaired(syn_store *store, int64_t doc)
{
    pthread_mutex_lock(&store->lock);
    for (uint32_t i = store->damaged.n; i-- > 0;)
        if (store->damaged.at[i] == doc)
            store->damaged.at[i] = store->damaged.at[--store->damaged.n];
    pthread_mutex_unlock(&store->lock);
    return do_one(store, TURN_REPAIRED, doc, true);
}

/* ---- Reading --------------------------------------------------------------------------------- */

syn_err store_find(syn_store *store, syn_str name, struct store_doc *out)
{
    memset(out, 0, sizeof *out);
    return store->backend->find(store, name, out);
}

syn_err store_was_deleted(syn_store *store, syn_str name,
                          const uint8_t lineage[STORE_LINEAGE_BYTES], bool *out)
{
    return store->backend->was_deleted(store, name, lineage, out);
}

syn_err store_read_snapshot(syn_store *store, int64_t doc, store_visit visit, void *user)
{
    return store->backend->read_snapshot(store, doc, visit, user);
}

syn_err store_read_log(syn_store *store, int64_t doc, uint32_t from, uint32_t end,
                       store_visit visit, void *user)
{
    return store->backend->read_log(store, doc, from, end, visit, user);
}

syn_err store_read_peer(syn_store *store, int64_t doc, uint64_t peer, struct store_peer *out)
{
    return store->backend->read_peer(store, doc, peer, out);
}

syn_err store_read_peers(syn_store *store, int64_t doc,
                         syn_err (*visit)(void *, const struct store_peer *), void *user)
{
    return store->backend->read_peers(store, doc, visit, user);
}

syn_err store_read_note(syn_store *store, int64_t doc, syn_str key, void *out, size_t cap,
                        size_t *len)
{
    return store->backend->read_note(store, doc, key, out, cap, len);
}

syn_err store_read_notes(syn_store *store, int64_t doc, syn_str prefix,
                         syn_err (*visit)(void *, syn_str key, syn_str value), void *user)
{
    return store->backend->read_notes(store, doc, prefix, visit, user);
}

syn_err store_list(syn_store *store,
                   syn_err (*visit)(void *, syn_str name, const struct store_doc *), void *user)
{
    return store->backend->list(store, visit, user);
}

/* The chunks of one folding have one number: one entry. */
struct joining {
    syn_store *store;
    syn_err (*visit)(void *, const struct store_news *);
    void *user;
    struct store_news news; /* doc 0: none yet */
    struct store_cursor at;
};

static syn_err pass_joined(struct joining *joining)
{
    char name[STORE_MAX_NAME];
    struct store_news news = joining->news;
    if (news.doc == 0) return SYN_OK;
    joining->news.doc = 0;
    joining->at.commit = news.at.commit;
    news.at = joining->at;
    news.name = (syn_str){name, 0};
    syn_err err = joining->store->backend->name(joining->store, news.doc, name, &news.name.len);
    if (err == SYN_ENOTFOUND || err == SYN_EDAMAGED) return SYN_OK; /* nothing that could be told */
    return err ? err : joining->visit(joining->user, &news);
}

static syn_err join(void *user, const struct store_news *news)
{
    struct joining *joining = user;
    struct store_news *held = &joining->news;
    if (news->doc == 0) {
        struct store_news deletion = *news;
        joining->at.deletion = news->at.deletion;
        deletion.at = joining->at;
        return joining->visit(joining->user, &deletion);
    }
    if (held->doc == 0 || held->at.commit != news->at.commit) {
        syn_err err = pass_joined(joining);
        *held = *news;
        return err;
    }
    if (news->end > held->end) held->end = news->end;
    if (news->from < held->from) held->from = news->from;
    return SYN_OK;
}

syn_err store_feed(syn_store *store, struct store_cursor after,
                   syn_err (*visit)(void *, const struct store_news *), void *user)
{
    struct joining joining = {.store = store, .visit = visit, .user = user, .at = after};
    syn_err err = store->backend->feed(store, after, join, &joining);
    return err ? err : pass_joined(&joining);
}

syn_err store_feed_end(syn_store *store, struct store_cursor *out)
{
    return store->backend->feed_end(store, out);
}

syn_err store_fsck(syn_store *store, void (*problem)(void *, const char *text),
                   store_progress progress, void *user)
{
    return store->backend->fsck(store, problem, progress, user);
}
