/* sqlite_read.c -- reading on the caller's thread, through a connection that nobody else uses then.
 *
 * The first is there always, the others are opened when threads read at once: whoever loads a long
 * document holds up nobody else.  Each call is one read transaction, kept short: a long one would
 * hold the WAL open and keep it from being overwritten in place.  What a checksum or a position
 * contradicts is SYN_EDAMAGED and marks the document; an error of the disk is SYN_EIO and marks
 * nothing. */
#include "store_sqlite.h"

#include <sqlite3.h>

/* Of the readers that nobody uses the one where this thread reads already, or else the first; the
 * locks are recursive, so that a visitor who reads again stays in its transaction. */
static struct reader *take_reader(struct sqlite_store *s)
{
    struct reader *taken = NULL;
    for (uint32_t i = 0; i < READERS; i++) {
        struct reader *reader = &s->readers[i];
        if (pthread_mutex_trylock(&reader->lock) != 0) continue;
        bool better = taken == NULL || (taken->depth == 0 && reader->depth != 0);
        struct reader *other = better ? taken : reader;
        if (better) taken = reader;
        if (other != NULL) pthread_mutex_unlock(&other->lock);
    }
    if (taken != NULL && taken->db.handle == NULL &&
        db_open(&taken->db, s->path, s->vfs, DB_READ) != SYN_OK) {
        pthread_mutex_unlock(&taken->lock);
        taken = NULL;
    }
    if (taken != NULL) return taken;
    pthread_mutex_lock(&s->readers[0].lock);
    return &s->readers[0];
}

static syn_err begin_on(struct sqlite_store *s, struct reader *reader, struct db **out)
{
    struct db *db = *out = &reader->db;
    syn_err err = store_damage_room(&s->base);
    if (err != SYN_OK) {
        pthread_mutex_unlock(&reader->lock);
        return err;
    }
    if (reader->depth == 0) {
        err = db_run(db, SQL_BEGIN_READ);
        if (err == SYN_OK) err = db_look_again(db);
        if (err != SYN_OK && !sqlite3_get_autocommit(db->handle))
            (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
    if (err == SYN_OK) {
        reader->depth++;
        return SYN_OK;
    }
    (void)store_refuse(&s->base, err, "%s", db->error);
    pthread_mutex_unlock(&reader->lock);
    return err;
}

syn_err read_begin(struct sqlite_store *s, struct db **out)
{
    return begin_on(s, take_reader(s), out);
}

syn_err read_begin_first(struct sqlite_store *s)
{
    struct db *first;
    pthread_mutex_lock(&s->readers[0].lock);
    return begin_on(s, &s->readers[0], &first);
}

syn_err read_end(struct sqlite_store *s, struct db *db, int64_t doc, syn_err err)
{
    struct reader *reader = (struct reader *)(void *)db; /* its first member */
    if (err != SYN_OK) (void)store_refuse(&s->base, err, "%s", db->error);
    assert(reader->depth > 0);
    if (--reader->depth == 0 && !sqlite3_get_autocommit(db->handle)) {
        /* Ends by force where COMMIT has no memory: a read transaction must not stay open. */
        if (db_run(db, SQL_COMMIT) != SYN_OK)
            (void)sqlite3_exec(db->handle, "ROLLBACK", NULL, NULL, NULL);
    }
    pthread_mutex_unlock(&reader->lock);
    if (err == SYN_EDAMAGED) store_damage_found(&s->base, doc);
    return err;
}

/* A visitor's refusal is its own: it must not be taken for damage that was found here. */
struct walk {
    syn_err err;     /* the store's */
    syn_err stopped; /* the visitor's */
};

static syn_err walked(struct sqlite_store *s, struct db *db, int64_t doc, struct walk walk)
{
    if (walk.stopped == SYN_OK) return read_end(s, db, doc, walk.err);
    (void)read_end(s, db, 0, SYN_OK);
    return walk.stopped;
}

static syn_err find_tombstone(struct db *db, syn_str name, struct store_doc *out)
{
    sqlite3_stmt *statement;
    bool row;
    syn_err err = db_get(db, SQL_TOMBSTONE_LAST, &statement);
    if (err != SYN_OK) return err;
    db_bind_bytes(statement, 1, name);
    err = db_step(db, statement, &row);
    if (err == SYN_OK && !row) err = db_say(db, SYN_ENOTFOUND, "no document of that name");
    if (err == SYN_OK) {
        syn_str lineage = db_bytes(statement, 0);
        uint64_t sum = row_sum(&(struct row_key){.kind = 't'}, name, lineage);
        bool right = lineage.len == STORE_LINEAGE_BYTES &&
                     sum == (uint64_t)sqlite3_column_int64(statement, 1);
        out->has_lineage = right;
        if (right) memcpy(out->lineage, lineage.data, STORE_LINEAGE_BYTES);
        err = right ? db_say(db, SYN_EDELETED, "the document was deleted")
                    : db_say(db, SYN_EDAMAGED, "a tombstone is damaged");
    }
    db_put(db, SQL_TOMBSTONE_LAST, statement);
    return err;
}

syn_err sqlite_find(syn_store *store, syn_str name, struct store_doc *out)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    sqlite3_stmt *statement;
    bool found = false;
    struct doc_row row;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    err = db_get(db, SQL_DOC_BY_NAME, &statement);
    if (err == SYN_OK) {
        db_bind_bytes(statement, 1, name);
        err = db_step(db, statement, &found);
        if (found) err = doc_row_read(db, statement, &row);
    }
    db_put(db, SQL_DOC_BY_NAME, statement);
    if (err == SYN_OK && !found) return read_end(s, db, 0, find_tombstone(db, name, out));
    int64_t id = found ? row.doc.id : 0;
    if (found) *out = row.doc;
    if (found && err == SYN_EDAMAGED) {
        (void)read_end(s, db, id, err); /* it is there, and damaged: that is the answer */
        return SYN_OK;
    }
    err = read_end(s, db, id, err);
    if (err == SYN_OK && store_is_damaged(store, id)) out->damaged = true;
    return err;
}

syn_err sqlite_was_deleted(syn_store *store, syn_str name, const uint8_t *lineage, bool *out)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    sqlite3_stmt *statement;
    *out = false;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    err = db_get(db, SQL_TOMBSTONE_IS, &statement);
    if (err == SYN_OK) {
        db_bind_bytes(statement, 1, name);
        db_bind_bytes(statement, 2, (syn_str){(const char *)lineage, STORE_LINEAGE_BYTES});
        err = db_step(db, statement, out);
    }
    db_put(db, SQL_TOMBSTONE_IS, statement);
    return read_end(s, db, 0, err);
}

syn_err sqlite_read_snapshot(syn_store *store, int64_t doc, store_visit visit, void *user)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    struct walk w = {SYN_OK, SYN_OK};
    sqlite3_stmt *statement = NULL;
    struct doc_row row;
    uint32_t next = 0;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    w.err = doc_row_by_id(db, doc, &row);
    if (w.err == SYN_OK) w.err = db_get(db, SQL_SNAPSHOT_READ, &statement);
    if (w.err == SYN_OK) sqlite3_bind_int64(statement, 1, doc);
    for (bool more = true; w.err == SYN_OK && w.stopped == SYN_OK;) {
        struct store_piece part;
        w.err = db_step(db, statement, &more);
        if (w.err != SYN_OK || !more) break;
        w.err = part_read(db, statement, &row, &part);
        if (w.err == SYN_OK && part.from != next++)
            w.err = db_say(db, SYN_EDAMAGED, "a part of the snapshot is missing");
        if (w.err == SYN_OK) w.stopped = visit(user, &part);
    }
    if (w.err == SYN_OK && w.stopped == SYN_OK && next != row.parts)
        w.err = db_say(db, SYN_EDAMAGED, "a part of the snapshot is missing");
    db_put(db, SQL_SNAPSHOT_READ, statement);
    return walked(s, db, doc, w);
}

/* The pieces from the statement, which must follow each other without a gap. */
static struct walk walk_pieces(struct db *db, sqlite3_stmt *statement, int64_t doc, uint32_t from,
                               uint32_t end, store_visit visit, void *user)
{
    struct walk w = {SYN_OK, SYN_OK};
    uint32_t at = from;
    bool first = true;
    for (bool more = true; w.stopped == SYN_OK; first = false) {
        struct store_piece piece;
        w.err = db_step(db, statement, &more);
        if (w.err != SYN_OK || !more) break;
        w.err = piece_read(db, statement, doc, &piece);
        if (w.err != SYN_OK) return w;
        if (first ? piece.from > at : piece.from != at) break;
        at = piece.end;
        w.stopped = visit(user, &piece);
    }
    if (w.err == SYN_OK && w.stopped == SYN_OK && at < end)
        w.err = db_say(db, SYN_EDAMAGED, "a piece of the log is missing");
    return w;
}

syn_err sqlite_read_log(syn_store *store, int64_t doc, uint32_t from, uint32_t end,
                        store_visit visit, void *user)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    struct walk w = {SYN_OK, SYN_OK};
    sqlite3_stmt *statement = NULL;
    struct doc_row row;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    enum sql sql = db->version == 1 ? SQL_PIECES_V1 : SQL_PIECES;
    w.err = doc_row_by_id(db, doc, &row);
    if (w.err == SYN_OK && end > row.doc.events) end = row.doc.events;
    if (w.err == SYN_OK && from < end) {
        w.err = db_get(db, sql, &statement);
        if (w.err == SYN_OK) {
            sqlite3_bind_int64(statement, 1, doc);
            sqlite3_bind_int64(statement, 2, from);
            sqlite3_bind_int64(statement, 3, end);
            w = walk_pieces(db, statement, doc, from, end, visit, user);
        }
        db_put(db, sql, statement);
    }
    return walked(s, db, doc, w);
}

syn_err sqlite_read_peer(syn_store *store, int64_t doc, uint64_t peer, struct store_peer *out)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    sqlite3_stmt *statement;
    bool row;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    err = db_get(db, SQL_PEER_READ, &statement);
    if (err == SYN_OK) {
        sqlite3_bind_int64(statement, 1, doc);
        sqlite3_bind_int64(statement, 2, (int64_t)peer);
        err = db_step(db, statement, &row);
        if (err == SYN_OK)
            err = row ? peer_read(db, statement, doc, out)
                      : db_say(db, SYN_ENOTFOUND, "no events of that peer");
    }
    db_put(db, SQL_PEER_READ, statement);
    return read_end(s, db, doc, err);
}

syn_err sqlite_read_peers(syn_store *store, int64_t doc,
                          syn_err (*visit)(void *, const struct store_peer *), void *user)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    struct walk w = {SYN_OK, SYN_OK};
    sqlite3_stmt *statement;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    w.err = db_get(db, SQL_PEER_ALL, &statement);
    if (w.err == SYN_OK) sqlite3_bind_int64(statement, 1, doc);
    for (bool more = true; w.err == SYN_OK && w.stopped == SYN_OK;) {
        struct store_peer peer;
        w.err = db_step(db, statement, &more);
        if (w.err != SYN_OK || !more) break;
        w.err = peer_read(db, statement, doc, &peer);
        if (w.err == SYN_OK) w.stopped = visit(user, &peer);
    }
    db_put(db, SQL_PEER_ALL, statement);
    return walked(s, db, doc, w);
}

syn_err sqlite_read_note(syn_store *store, int64_t doc, syn_str key, void *out, size_t cap,
                         size_t *len)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    sqlite3_stmt *statement;
    syn_str is, value = {"", 0};
    bool row = false;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    err = db_get(db, SQL_NOTE_READ, &statement);
    if (err == SYN_OK) {
        sqlite3_bind_int64(statement, 1, doc);
        db_bind_bytes(statement, 2, key);
        err = db_step(db, statement, &row);
        if (err == SYN_OK)
            err = row ? note_read(db, statement, doc, &is, &value)
                      : db_say(db, SYN_ENOTFOUND, "no such note");
    }
    if (err == SYN_OK) {
        *len = value.len;
        size_t copied = value.len < cap ? value.len : cap;
        if (copied > 0) memcpy(out, value.data, copied);
    }
    db_put(db, SQL_NOTE_READ, statement);
    return read_end(s, db, doc, err);
}

syn_err sqlite_read_notes(syn_store *store, int64_t doc, syn_str prefix,
                          syn_err (*visit)(void *, syn_str, syn_str), void *user)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    struct walk w = {SYN_OK, SYN_OK};
    sqlite3_stmt *statement;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    w.err = db_get(db, SQL_NOTE_ALL, &statement);
    if (w.err == SYN_OK) {
        sqlite3_bind_int64(statement, 1, doc);
        db_bind_bytes(statement, 2, prefix);
    }
    for (bool more = true; w.err == SYN_OK && w.stopped == SYN_OK;) {
        syn_str key, value;
        w.err = db_step(db, statement, &more);
        if (w.err != SYN_OK || !more) break;
        w.err = note_read(db, statement, doc, &key, &value);
        if (w.err != SYN_OK || key.len < prefix.len ||
            (prefix.len > 0 && memcmp(key.data, prefix.data, prefix.len) != 0))
            break;
        w.stopped = visit(user, key, value);
    }
    db_put(db, SQL_NOTE_ALL, statement);
    return walked(s, db, doc, w);
}

syn_err sqlite_list(syn_store *store, syn_err (*visit)(void *, syn_str, const struct store_doc *),
                    void *user)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    struct walk w = {SYN_OK, SYN_OK};
    sqlite3_stmt *statement;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    w.err = db_get(db, SQL_DOC_LIST, &statement);
    for (bool more = true; w.err == SYN_OK && w.stopped == SYN_OK;) {
        struct doc_row row;
        w.err = db_step(db, statement, &more);
        if (w.err != SYN_OK || !more) break;
        /* A damaged row is listed as such: it must not hide the others. */
        (void)doc_row_read(db, statement, &row);
        if (store_is_damaged(store, row.doc.id)) row.doc.damaged = true;
        w.stopped = visit(user, (syn_str){row.name, row.name_len}, &row.doc);
    }
    db_put(db, SQL_DOC_LIST, statement);
    return walked(s, db, 0, w);
}

static struct walk walk_deletions(struct db *db, int64_t after,
                                  syn_err (*visit)(void *, const struct store_news *), void *user)
{
    struct walk w = {SYN_OK, SYN_OK};
    sqlite3_stmt *statement;
    w.err = db_get(db, SQL_TOMBSTONE_ALL, &statement);
    if (w.err == SYN_OK) sqlite3_bind_int64(statement, 1, after);
    for (bool more = true; w.err == SYN_OK && w.stopped == SYN_OK;) {
        w.err = db_step(db, statement, &more);
        if (w.err != SYN_OK || !more) break;
        /* A damaged one has no name to tell; fsck says so, and the others go on. */
        if (!db_tombstone_holds(statement)) continue;
        const struct store_news news = {.at.deletion = sqlite3_column_int64(statement, 3),
                                        .name = db_bytes(statement, 0)};
        w.stopped = visit(user, &news);
    }
    db_put(db, SQL_TOMBSTONE_ALL, statement);
    return w;
}

static struct walk walk_changes(struct db *db, int64_t after,
                                syn_err (*visit)(void *, const struct store_news *), void *user)
{
    struct walk w = {SYN_OK, SYN_OK};
    sqlite3_stmt *statement;
    w.err = db_get(db, SQL_FEED, &statement);
    if (w.err == SYN_OK) sqlite3_bind_int64(statement, 1, after);
    for (bool more = true; w.err == SYN_OK && w.stopped == SYN_OK;) {
        w.err = db_step(db, statement, &more);
        if (w.err != SYN_OK || !more) break;
        const struct store_news news = {.at.commit = sqlite3_column_int64(statement, 0),
                                        .doc = sqlite3_column_int64(statement, 1),
                                        .from = (uint32_t)sqlite3_column_int64(statement, 2),
                                        .end = (uint32_t)sqlite3_column_int64(statement, 3)};
        w.stopped = visit(user, &news);
    }
    db_put(db, SQL_FEED, statement);
    return w;
}

syn_err sqlite_feed(syn_store *store, struct store_cursor after,
                    syn_err (*visit)(void *, const struct store_news *), void *user)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    struct walk w = walk_deletions(db, after.deletion, visit, user);
    if (w.err == SYN_OK && w.stopped == SYN_OK) w = walk_changes(db, after.commit, visit, user);
    return walked(s, db, 0, w);
}

syn_err sqlite_feed_end(syn_store *store, struct store_cursor *out)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    sqlite3_stmt *statement;
    bool found = false;
    *out = (struct store_cursor){0};
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    err = db_get(db, SQL_FEED_END, &statement);
    if (err == SYN_OK) err = db_step(db, statement, &found);
    if (err == SYN_OK && found) /* a table without rows yet has no number: NULL, which reads as 0 */
        *out = (struct store_cursor){sqlite3_column_int64(statement, 0),
                                     sqlite3_column_int64(statement, 1)};
    db_put(db, SQL_FEED_END, statement);
    return read_end(s, db, 0, err);
}

syn_err sqlite_name(syn_store *store, int64_t doc, char *name, size_t *len)
{
    struct sqlite_store *s = sqlite_of(store);
    struct db *db;
    struct doc_row row;
    syn_err err = read_begin(s, &db);
    if (err != SYN_OK) return err;
    err = doc_row_by_id(db, doc, &row);
    if (err == SYN_OK) {
        memcpy(name, row.name, row.name_len);
        *len = row.name_len;
    }
    return read_end(s, db, err == SYN_EDAMAGED ? doc : 0, err);
}
